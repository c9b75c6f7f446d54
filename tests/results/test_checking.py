"""Tables that other programs have saved again: read as what they are, or refused with what differs."""

import csv
import dataclasses
import io

import numpy as np
import pytest

from counterstain.cells.table import COLUMNS
from counterstain.errors import OutputError
from counterstain.geometry import Box
from counterstain.outputs.tables.cells_csv import write_csv
from counterstain.results.folder import write_folder
from counterstain.results.opening import read_cells, read_qualities
from counterstain.results.record import read_record
from counterstain.tiling.quality import TileQuality


@pytest.fixture
def folder(analysis, tmp_path):
    write_folder(analysis, tmp_path / "tile", ("csv",))
    return tmp_path / "tile"


@pytest.fixture
def rows(folder):
    with (folder / "cells.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def text_of(rows, columns=tuple(COLUMNS), words=("true", "false"), missing="", **how):
    said = {"true": words[0], "false": words[1], "": missing}
    file = io.StringIO()
    writer = csv.writer(file, **{"lineterminator": "\r\n", **how})
    writer.writerow(columns)
    writer.writerows([said.get(row.get(name, ""), row.get(name, "x")) for name in columns] for row in rows)
    return file.getvalue()


def as_german_excel(rows):
    return text_of(
        [{name: text.replace(".", ",") for name, text in row.items()} for row in rows], words=("WAHR", "FALSCH"), delimiter=";"
    )


def as_r(rows):
    return text_of(rows, columns=("", *COLUMNS), words=("TRUE", "FALSE"), missing="NA", quoting=csv.QUOTE_ALL)


SAVED = {
    "excel": lambda rows: "\ufeff" + text_of(rows, words=("TRUE", "FALSE")),
    "excel in German": as_german_excel,
    "excel with a blank line": lambda rows: (
        "\ufeff" + text_of(rows, words=("TRUE", "FALSE")) + "," * (len(COLUMNS) - 1) + "\r\n"
    ),
    "pandas": lambda rows: text_of(rows, columns=("", *COLUMNS), words=("True", "False")),
    "numpy": lambda rows: text_of(rows, words=("1", "0"), missing="nan", lineterminator="\n"),
    "r": as_r,
    "turned round": lambda rows: text_of(rows[::-1], columns=tuple(COLUMNS)[::-1]),
    "with more columns": lambda rows: text_of(rows, columns=("note", *COLUMNS, "more")),
    "tabs": lambda rows: text_of(rows, delimiter="\t", words=("VRAI", "FAUX")),
    "under the earlier name": lambda rows: text_of(rows).replace("quality_flags", "flags"),
}


@pytest.mark.parametrize("program", SAVED)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_table_that_was_saved_again_is_the_same_table(folder, rows, analysis, program, encoding):
    (folder / "cells.csv").write_bytes(SAVED[program](rows).encode(encoding))
    cells = read_cells(folder, read_record(folder))
    for name in COLUMNS:
        np.testing.assert_array_equal(cells[name], analysis.cells[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text[: text[:-1].rindex("\n") + 1],
            "holds 2 nuclei, of which 1 are positive, and the record counts 3 nuclei",
        ),
        (lambda text: text[:-30], "row 3 has .* fields and the header 17"),
        (lambda text: text + text.splitlines()[-1] + "\n", "holds 4 nuclei"),
        (lambda text: text.replace("true", "false"), "holds 3 nuclei, of which 0 are positive"),
        (lambda text: text.replace("true", "maybe"), "column is_positive: 'maybe' is neither true nor false"),
        (lambda text: text.replace("is_positive", "positive"), "lacks the columns is_positive"),
        (lambda text: text.replace("\n", ",is_positive\n"), "more than one of the columns is_positive"),
        (lambda text: text.replace("100,", "1.5E+02x,"), "column cell_id"),
        (lambda text: text.replace("200,", "100,"), "digits of cell_id are lost"),
        (lambda text: text.replace(",2.5,", ",25,"), "row_px, col_px: values cannot be right|row_um"),
        (lambda text: text.replace("0.9,true", "9,true"), "p_positive: values cannot be right"),
        (lambda text: "", "it is empty"),
    ],
)
def test_a_table_that_was_cut_or_changed_is_refused_with_what_differs(folder, change, message):
    path = folder / "cells.csv"
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(OutputError, match=message):
        read_cells(folder, read_record(folder))


def test_long_numbers_whose_last_digits_a_spreadsheet_dropped_are_refused(folder, analysis, rows):
    long = [{**row, "cell_id": text} for row, text in zip(rows, ("1.23457E+12", "1.23458E+12", "1.23459E+12"), strict=True)]
    (folder / "cells.csv").write_text(text_of(long))
    with pytest.raises(OutputError, match="digits of cell_id are lost"):
        read_cells(folder, read_record(folder))


def test_what_was_written_is_what_is_read(folder, analysis):
    write_csv(analysis, folder / "again.csv")
    assert (folder / "again.csv").read_bytes() == (folder / "cells.csv").read_bytes()


def test_a_table_of_tiles_that_was_cut_is_refused(analysis, tmp_path):
    quality = TileQuality(tissue=0.5, blur=0.0, pen=0.25, fold=0.0333, black_border=0.0)
    tiles = ((Box(0, 0, 8, 8), quality), (Box(0, 8, 8, 8), quality))
    write_folder(dataclasses.replace(analysis, tiles=tiles), tmp_path / "tile", ("tiles",))
    path = tmp_path / "tile" / "tiles.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines).replace(",", ";").replace(".", ","))
    assert len(read_qualities(tmp_path / "tile", read_record(tmp_path / "tile"), analysis.slide)) == 2
    path.write_text("".join(lines[:-1]))
    with pytest.raises(OutputError, match="holds 1 tiles, and the record counts 2"):
        read_qualities(tmp_path / "tile", read_record(tmp_path / "tile"), analysis.slide)
