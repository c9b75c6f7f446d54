import csv
import dataclasses
import subprocess
import sys

import numpy as np
import pyarrow.parquet
import pytest

from counterstain.cells.table import COLUMNS, Cells
from counterstain.outputs.tables import cells_csv, parquet
from counterstain.outputs.tables.cells_csv import read_csv, write_csv
from counterstain.outputs.tables.parquet import read_parquet, write_parquet


def test_csv_reads_back_as_the_table(analysis, tmp_path):
    write_csv(analysis, tmp_path / "cells.csv")
    rows = list(csv.DictReader((tmp_path / "cells.csv").read_text(encoding="utf-8").splitlines()))
    assert list(rows[0]) == list(COLUMNS)
    for name, kind in COLUMNS.items():
        texts = [row[name] for row in rows]
        values = [text == "true" for text in texts] if kind is np.bool_ else [text or "nan" for text in texts]
        np.testing.assert_array_equal(np.array(values).astype(kind), analysis.cells[name])


def test_a_modality_that_was_not_inferred_is_an_empty_field_and_a_null(analysis, tmp_path):
    write_csv(analysis, tmp_path / "cells.csv")
    write_parquet(analysis, tmp_path / "cells.parquet")
    assert [row["lap2_mean"] for row in csv.DictReader((tmp_path / "cells.csv").read_text().splitlines())] == ["", "", ""]
    assert pyarrow.parquet.read_table(tmp_path / "cells.parquet")["lap2_mean"].null_count == 3


def test_parquet_keeps_types_and_says_its_version(analysis, tmp_path):
    write_parquet(analysis, tmp_path / "cells.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "cells.parquet")
    assert table.schema.metadata[b"counterstain.format_version"] == b"2"
    for name, kind in COLUMNS.items():
        assert table[name].type == pyarrow.from_numpy_dtype(kind)
    assert table["is_positive"].to_pylist() == [True, False, True]


@pytest.mark.parametrize(
    ("write", "read", "module"),
    [(write_csv, read_csv, cells_csv), (write_parquet, read_parquet, parquet)],
    ids=["csv", "parquet"],
)
def test_a_table_written_in_groups_is_read_back_bit_for_bit(analysis, tmp_path, monkeypatch, write, read, module):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
    write(analysis, tmp_path / "cells")
    cells = read(tmp_path / "cells")
    assert len(cells) == 3
    for name, kind in COLUMNS.items():
        assert cells[name].dtype == kind
        np.testing.assert_array_equal(cells[name], analysis.cells[name])
    if read is read_parquet:
        assert pyarrow.parquet.ParquetFile(tmp_path / "cells").num_row_groups == 2


@pytest.mark.parametrize("read", [read_csv, read_parquet])
def test_what_is_no_table_of_cells_is_refused(tmp_path, read):
    (tmp_path / "cells").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"lacks the columns cell_id|Parquet"):
        read(tmp_path / "cells")


@pytest.mark.parametrize("writer", [write_csv, write_parquet])
def test_a_slide_without_nuclei_gives_a_table_without_rows(analysis, tmp_path, writer):
    empty = Cells(columns={name: np.empty(0, kind) for name, kind in COLUMNS.items()}, outlines=[])
    writer(dataclasses.replace(analysis, cells=empty), tmp_path / "cells")
    if writer is write_csv:
        assert (tmp_path / "cells").read_text() == ",".join(COLUMNS) + "\n"
    else:
        assert pyarrow.parquet.read_table(tmp_path / "cells").num_rows == 0


def test_the_names_of_the_formats_are_known_without_pyarrow():
    code = "import sys, counterstain.outputs.names; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
