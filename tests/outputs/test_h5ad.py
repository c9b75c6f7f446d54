import dataclasses
import resource
from contextlib import contextmanager
from itertools import pairwise

import anndata
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterstain.cells.table import COLUMNS, Cells, regrouped
from counterstain.errors import OutputError
from counterstain.outputs.tables import annotated
from counterstain.outputs.tables.annotated import INTENSITIES
from counterstain.outputs.tables.h5ad import write_h5ad


def drawn_cells(count):
    generator = np.random.default_rng(count)
    columns = {name: generator.integers(0, 2, count).astype(kind) for name, kind in COLUMNS.items()}
    columns["cell_id"] = np.arange(count)
    return Cells(columns=columns, outlines=[np.full((3, 2), float(row)) for row in range(count)])


@dataclasses.dataclass(frozen=True)
class InParts:
    """A table whose parts have any number of rows."""

    cells: Cells
    lengths: tuple[int, ...]

    def __len__(self):
        return len(self.cells)

    def parts(self):
        stops = np.cumsum([0, *self.lengths])
        for first, stop in pairwise(stops.tolist()):
            columns = {name: column[first:stop] for name, column in self.cells.columns.items()}
            yield Cells(columns=columns, outlines=self.cells.outlines[first:stop])


def test_anndata_reads_positions_intensities_and_the_other_columns(analysis, tmp_path):
    write_h5ad(analysis, tmp_path / "cells.h5ad")
    table = anndata.read_h5ad(tmp_path / "cells.h5ad")
    cells = analysis.cells
    assert table.obs_names.tolist() == ["100", "200", "300"]
    assert set(table.obs.columns) - {"classification"} | set(table.var_names) == set(COLUMNS)
    for name in set(COLUMNS) - set(INTENSITIES):
        np.testing.assert_array_equal(table.obs[name], cells[name])
        assert table.obs[name].dtype == COLUMNS[name]
    np.testing.assert_array_equal(table.obsm["spatial"], np.column_stack([cells["col_px"], cells["row_px"]]))
    np.testing.assert_array_equal(table.obsm["spatial_um"], np.column_stack([cells["col_um"], cells["row_um"]]))
    for number, name in enumerate(INTENSITIES):
        np.testing.assert_array_equal(table.X[:, number], cells[name])
    assert table[table.obs["is_positive"]].n_obs == 2
    assert table.uns["counterstain"] == {"format_version": 2, "slide": "tile", "mpp": 0.25}


def test_the_class_is_a_category_with_the_colours_of_qupath(analysis, tmp_path):
    write_h5ad(analysis, tmp_path / "cells.h5ad")
    table = anndata.read_h5ad(tmp_path / "cells.h5ad")
    classes = table.obs["classification"]
    assert classes.tolist() == ["Positive", "Negative", "Positive"]
    colours = dict(zip(classes.cat.categories, table.uns["classification_colors"], strict=True))
    assert colours == {"Negative": "#7070e1", "Positive": "#fa3e3e"}


def test_what_is_read_is_what_anndata_writes_and_reads_itself(analysis, tmp_path):
    write_h5ad(analysis, tmp_path / "cells.h5ad")
    table = anndata.read_h5ad(tmp_path / "cells.h5ad")
    table.write_h5ad(tmp_path / "again.h5ad")
    again = anndata.read_h5ad(tmp_path / "again.h5ad")
    assert again.obs.equals(table.obs)
    np.testing.assert_array_equal(again.X, table.X)


@contextmanager
def at_most(length):
    """Let no file of this process grow beyond a length in bytes: a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_at_any_byte_is_an_error_and_leaves_nothing(analysis, tmp_path):
    many, path = dataclasses.replace(analysis, cells=drawn_cells(3000)), tmp_path / "cells.h5ad"
    write_h5ad(many, path)
    length = path.stat().st_size
    path.unlink()
    for limit in range(0, length, length // 25):
        with at_most(limit), pytest.raises(OutputError, match=r"cells.h5ad: .*[Ff]ile too large"):
            write_h5ad(many, path)
        assert list(tmp_path.iterdir()) == []
    write_h5ad(many, path)
    assert anndata.read_h5ad(path).n_obs == 3000


def test_a_slide_without_nuclei_gives_a_table_without_rows(analysis, tmp_path):
    empty = Cells(columns={name: np.empty(0, kind) for name, kind in COLUMNS.items()}, outlines=[])
    write_h5ad(dataclasses.replace(analysis, cells=empty), tmp_path / "cells.h5ad")
    assert anndata.read_h5ad(tmp_path / "cells.h5ad").shape == (0, len(INTENSITIES))


def test_a_table_in_parts_gives_the_file_of_the_whole(analysis, tmp_path, monkeypatch):
    monkeypatch.setattr(annotated, "ROWS_AT_ONCE", 4)
    cells = drawn_cells(11)
    tables = []
    for name, kept in {"whole": cells, "parts": InParts(cells, (0, 3, 7, 1))}.items():
        write_h5ad(dataclasses.replace(analysis, cells=kept), tmp_path / f"{name}.h5ad")
        tables.append(anndata.read_h5ad(tmp_path / f"{name}.h5ad"))
    assert tables[0].obs.equals(tables[1].obs)
    assert tables[0].obs_names.tolist() == [str(number) for number in range(11)]
    np.testing.assert_array_equal(tables[0].X, tables[1].X)
    np.testing.assert_array_equal(tables[0].obsm["spatial"], tables[1].obsm["spatial"])


@given(st.lists(st.integers(0, 9), max_size=6), st.integers(1, 5))
def test_regrouped_parts_have_the_same_rows_in_the_same_order(lengths, rows):
    cells = drawn_cells(sum(lengths))
    parts = list(regrouped(InParts(cells, tuple(lengths)), rows))
    assert [len(part) for part in parts[:-1]] == [rows] * (len(parts) - 1)
    assert sum(map(len, parts)) == len(cells)
    for name in COLUMNS:
        joined = np.concatenate([np.empty(0), *(part[name] for part in parts)])
        np.testing.assert_array_equal(joined, cells[name])
    assert [ring[0, 0] for part in parts for ring in part.outlines] == list(range(len(cells)))


@pytest.mark.parametrize("length", [1, 65_536])
def test_what_is_in_memory_does_not_grow_with_the_table(length):
    parts = regrouped(InParts(drawn_cells(10), (10,)), length)
    assert max(len(part) for part in parts) <= length
