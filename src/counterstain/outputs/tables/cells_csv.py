"""``cells.csv``: the cells table as text, one row per nucleus."""

import csv
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterstain.analysis import Analysis
from counterstain.cells.table import COLUMNS, Cells, regrouped
from counterstain.files import replacing

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
    """Return the table in a file, without outlines; an empty field is NaN.

    Raises
    ------
    OSError
        The file is missing.
    ValueError
        It is damaged, or lacks a column.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        parts = [_columns(header, [])]
        while rows := list(islice(reader, ROWS_AT_ONCE)):
            parts.append(_columns(header, rows))
    return without_outlines({name: np.concatenate([part[name] for part in parts]) for name in COLUMNS})


def without_outlines(columns: dict[str, NDArray[Any]]) -> Cells:
    """Return a table whose outlines were not kept: each is empty."""
    return Cells(columns=columns, outlines=[NO_OUTLINE] * len(columns["cell_id"]))


def _columns(header: list[str], rows: list[list[str]]) -> dict[str, NDArray[Any]]:
    texts = list(zip(*rows, strict=True)) if rows else [()] * len(header)
    return {name: _from_text(texts[header.index(name)], kind) for name, kind in COLUMNS.items()}


def _from_text(texts: Sequence[str], kind: type[np.generic]) -> NDArray[Any]:
    if kind is np.bool_:
        return np.array([text == "true" for text in texts], dtype=kind)
    return np.array([text or "nan" for text in texts] if np.issubdtype(kind, np.floating) else texts, dtype="U32").astype(kind)


def _as_text(column: NDArray[Any]) -> list[str]:
    """Return each value in the fewest digits that read back as the same value."""
    if column.dtype == np.bool_:
        return ["true" if value else "false" for value in column]
    return ["" if text == "nan" else text for text in column.astype(str).tolist()]
