"""``cells.csv``: the cells table as text, one row per nucleus."""

import csv
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterstain.analysis import Analysis
from counterstain.cells.table import COLUMNS, EARLIER_NAMES, Cells, regrouped
from counterstain.files import replacing
from counterstain.spreadsheets import numbers, open_text, read_sheet, truths

ROWS_AT_ONCE = 8192
"""Rows that are text in memory while a table of any length is written or read."""

NO_OUTLINE: NDArray[np.float64] = np.zeros((0, 2))


def write_csv(analysis: Analysis, path: Path) -> None:
    """Write the table with a header, comma-separated, UTF-8; an empty field is a value that does not exist."""
    with replacing(path) as hidden, hidden.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for part in regrouped(analysis.cells, ROWS_AT_ONCE):
            writer.writerows(zip(*map(_as_text, part.columns.values()), strict=True))


def read_csv(path: Path) -> Cells:
    """Return the table in a file, also one that a spreadsheet, pandas or R has saved again, without outlines.

    Columns may have any order and others beside them; rows come back in the order of ``cell_id``. An empty field is NaN.

    Raises
    ------
    OSError
        The file is missing.
    ValueError
        It is damaged, lacks a column, or holds a text that is not a value of its column; the message says which.
    """
    with open_text(path) as file:
        sheet = read_sheet(file)
        places = places_of(sheet.names)
        parts = [_columns([], places)]
        while rows := [fields for _, fields in islice(sheet.rows, ROWS_AT_ONCE)]:
            parts.append(_columns(rows, places))
    return without_outlines({name: np.concatenate([part[name] for part in parts]) for name in COLUMNS})


def places_of(names: Sequence[str]) -> dict[str, int]:
    """Return where each column of the table is among these names, whether it has its present or its earlier one.

    Raises
    ------
    ValueError
        Some are not there, or there twice; the message names them.
    """
    known = {name: [place for place, found in enumerate(names) if found in (name, EARLIER_NAMES.get(name))] for name in COLUMNS}
    lacking = [name for name, places in known.items() if not places]
    if lacking:
        raise ValueError(f"it lacks the columns {', '.join(lacking)}")
    double = [name for name, places in known.items() if len(places) > 1]
    if double:
        raise ValueError(f"it has more than one of the columns {', '.join(double)}")
    return {name: places[0] for name, places in known.items()}


def without_outlines(columns: dict[str, NDArray[Any]]) -> Cells:
    """Return a table whose outlines were not kept, in the order of ``cell_id``; each outline is empty."""
    ids = columns["cell_id"]
    if (np.diff(ids) < 0).any():
        order = np.argsort(ids, kind="stable")
        columns = {name: values[order] for name, values in columns.items()}
    return Cells(columns=columns, outlines=[NO_OUTLINE] * len(ids))


def _columns(rows: list[list[str]], places: dict[str, int]) -> dict[str, NDArray[Any]]:
    return {name: _from_text(name, [fields[place] for fields in rows]) for name, place in places.items()}


def _from_text(name: str, texts: list[str]) -> NDArray[Any]:
    kind = COLUMNS[name]
    try:
        return truths(texts) if kind is np.bool_ else numbers(texts, kind)
    except ValueError as error:
        raise ValueError(f"column {name}: {error}") from error


def _as_text(column: NDArray[Any]) -> list[str]:
    """Return each value in the fewest digits that read back as the same value."""
    if column.dtype == np.bool_:
        return ["true" if value else "false" for value in column]
    return ["" if text == "nan" else text for text in column.astype(str).tolist()]
