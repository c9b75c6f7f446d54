"""``cells.npz``: the cells table with all outlines, in squares, so that a part of a slide is read without the rest.

Reading needs NumPy alone, and the memory of one square. ``docs/format.md`` says what is in the file.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterstain.analysis import Analysis
from counterstain.cells.describe import ROW_STRIDE
from counterstain.cells.seams import joined
from counterstain.cells.table import COLUMNS, Cells, CellTable, Thresholds, bounds
from counterstain.errors import OutputError, Remedy
from counterstain.files import replacing
from counterstain.geometry import Box

FILE_NAME = "cells.npz"
VERSION = 1

SQUARE_PX = 1024
"""Side of a square, in pixels of the maps: that of the blocks in which large slides are cut, so that one row of them is in
memory while it is written."""

PARTS_OF_A_PIXEL = 8
"""Corners of outlines are whole numbers of eighths of a pixel of the maps."""

ROW = np.dtype([*((name, np.dtype(kind).newbyteorder("<")) for name, kind in COLUMNS.items()), ("corners", "<u4")])
SQUARE = np.dtype([("strip", "<i8"), ("nuclei", "<i8"), *((side, "<f8") for side in ("top", "left", "low", "right"))])

LARGEST_BYTES = 2**30
"""Of one array in the file; a square with a million corners has 16 MB."""

_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, OSError, NotImplementedError)


def write_cells(analysis: Analysis, path: Path) -> None:
    """Write the table; equal cells give equal bytes, however the table came in parts."""
    unit = np.array(analysis.slide.resolution.factors(analysis.maps.mpp)) / PARTS_OF_A_PIXEL
    squares: list[tuple[Any, ...]] = []
    with replacing(path) as hidden, zipfile.ZipFile(hidden, "w") as file:
        _add(file, "version", np.array(VERSION, "<i8"))
        _add(file, "unit", unit.astype("<f8"))
        for strip, cells in _strips(analysis.cells):
            for square in _squares(cells):
                number, ends = len(squares), bounds(square)
                _add(file, f"table/{number}", _rows(square))
                _add(file, f"outlines/{number}", _packed(square, unit), compressed=True)
                squares.append((strip, len(square), *ends[:, :2].min(axis=0), *ends[:, 2:].max(axis=0)))
        _add(file, "squares", np.array(squares, SQUARE))


def _strips(table: CellTable) -> Iterator[tuple[int, Cells]]:
    """Yield number and nuclei of each row of squares, however the table comes in parts; first pixels decide the row."""
    waiting: list[Cells] = []
    number = 0
    for part in table.parts():
        strips = part["cell_id"] // ROW_STRIDE // SQUARE_PX
        for strip in np.unique(strips).tolist():
            if waiting and strip != number:
                yield number, joined(waiting, table.thresholds)
                waiting = []
            number = strip
            waiting.append(_chosen(part, np.flatnonzero(strips == strip)))
    if waiting:
        yield number, joined(waiting, table.thresholds)


def _squares(strip: Cells) -> Iterator[Cells]:
    squares = strip["cell_id"] % ROW_STRIDE // SQUARE_PX
    for square in np.unique(squares):
        yield _chosen(strip, np.flatnonzero(squares == square))


def _chosen(cells: Cells, rows: NDArray[np.intp]) -> Cells:
    columns = {name: column[rows] for name, column in cells.columns.items()}
    return Cells(columns=columns, outlines=[cells.outlines[row] for row in rows])


def _rows(cells: Cells) -> NDArray[np.void]:
    rows = np.empty(len(cells), ROW)
    for name in COLUMNS:
        rows[name] = cells[name]
    rows["corners"] = [len(ring) for ring in cells.outlines]
    return rows


def _packed(cells: Cells, unit: NDArray[np.float64]) -> NDArray[np.int32] | NDArray[np.float64]:
    """Return the corners of all outlines as steps of whole units where all lie on such units; else as they are."""
    corners = np.concatenate([np.empty((0, 2)), *cells.outlines])
    whole = np.round(corners / unit)
    if (np.abs(whole) < 2**30).all() and (whole * unit == corners).all():
        return np.diff(whole, axis=0, prepend=0).astype("<i4")
    return corners.astype("<f8")


def _unpacked(packed: NDArray[Any], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    if packed.dtype.kind != "i":
        return packed.astype(np.float64)
    corners: NDArray[np.float64] = np.cumsum(packed, axis=0, dtype=np.int64) * unit
    return corners


def _add(file: zipfile.ZipFile, name: str, values: NDArray[Any], *, compressed: bool = False) -> None:
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    entry = zipfile.ZipInfo(f"{name}.npy")  # of the first day that a ZIP knows, so that files of two runs are equal
    entry.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    file.writestr(entry, content.getvalue(), compresslevel=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCells:
    """A ``CellTable`` over a ``cells.npz``; only columns that were asked for are in memory.

    Raises
    ------
    OutputError
        The file was damaged.
    """

    path: Path
    file: zipfile.ZipFile
    """Open as long as the table is used."""
    unit: NDArray[np.float64]
    squares: NDArray[np.void]
    thresholds: Thresholds
    _columns: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.squares["nuclei"].sum())

    def __getitem__(self, column: str) -> NDArray[Any]:
        if column not in self._columns:
            pairs = [(table["cell_id"].copy(), table[column].copy()) for table in self._tables()]
            cell_ids = np.concatenate([np.empty(0, np.int64), *(cell_ids for cell_ids, _ in pairs)])
            values = np.concatenate([np.empty(0, COLUMNS[column]), *(values for _, values in pairs)], dtype=COLUMNS[column])
            self._columns[column] = values[np.argsort(cell_ids, kind="stable")]
        return self._columns[column]

    def _tables(self) -> Iterator[NDArray[np.void]]:
        for number in range(len(self.squares)):
            yield self._table(number)

    def _table(self, number: int) -> NDArray[np.void]:
        table = self._read(f"table/{number}")
        if table.dtype != ROW or len(table) != self.squares["nuclei"][number]:
            raise _damaged(self.path, f"square {number} has not the columns or the nuclei that it should have")
        return table

    def parts(self) -> Iterator[Cells]:
        """Yield the nuclei of one row of squares after the other."""
        for strip in np.unique(self.squares["strip"]):
            yield joined([*self._chosen(self.squares["strip"] == strip)], self.thresholds)

    def within(self, box: Box) -> Cells:
        """Return the nuclei whose outlines reach into a box; only squares of which a nucleus may do so are read."""
        ends = self.squares
        near = (
            (ends["top"] < box.stop_row) & (ends["low"] > box.row) & (ends["left"] < box.stop_col) & (ends["right"] > box.col)
        )
        return joined([square.within(box) for square in self._chosen(near)], self.thresholds)

    def _chosen(self, squares: NDArray[np.bool_]) -> Iterator[Cells]:
        for number in np.flatnonzero(squares).tolist():
            yield self._square(number)

    def _square(self, number: int) -> Cells:
        table, corners = self._table(number), _unpacked(self._read(f"outlines/{number}"), self.unit)
        if corners.shape != (table["corners"].sum(), 2):
            raise _damaged(self.path, f"square {number} has not the corners that it should have")
        columns = {name: np.ascontiguousarray(table[name], dtype=kind) for name, kind in COLUMNS.items()}
        outlines = [corners[start:stop] for start, stop in pairwise([0, *np.cumsum(table["corners"]).tolist()])]
        return Cells(columns=columns, outlines=outlines)

    def _read(self, name: str) -> NDArray[Any]:
        return _member(self.path, self.file, name)


def open_cells(path: Path, thresholds: Thresholds, nuclei: int) -> StoredCells:
    """Open the table in a file that ``write_cells`` wrote.

    Parameters
    ----------
    nuclei : that the record of the result counts.

    Raises
    ------
    OutputError
        The file is missing, damaged, of a later version or of another result.
    """
    try:
        file = zipfile.ZipFile(path)
    except _DAMAGES as error:
        raise _damaged(path, str(error)) from error
    version = int(_member(path, file, "version"))
    if version > VERSION:
        raise OutputError(f"{path} is of version {version} and this software reads {VERSION}", Remedy("upgrade it"))
    squares = _member(path, file, "squares")
    if squares.dtype != SQUARE or squares["nuclei"].sum() != nuclei:
        raise _damaged(path, f"it does not hold the {nuclei:,} nuclei of the record")
    return StoredCells(path=path, file=file, unit=_member(path, file, "unit"), squares=squares, thresholds=thresholds)


def _member(path: Path, file: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Return an array of the file. Its size is checked before memory is taken, as the file may come from a stranger."""
    try:
        entry = file.getinfo(f"{name}.npy")
        if entry.file_size > LARGEST_BYTES:
            raise ValueError(f"{name} has {entry.file_size:,} bytes")
        content = io.BytesIO(file.read(entry))
        np.lib.format.read_magic(content)
        shape, is_by_column, dtype = np.lib.format.read_array_header_1_0(content)
        if is_by_column or dtype.hasobject:
            raise ValueError(f"{name} is not a plain array")
        values: NDArray[Any] = np.frombuffer(content.getbuffer()[content.tell() :], dtype).reshape(shape)
    except _DAMAGES as error:
        raise _damaged(path, str(error)) from error
    return values


def _damaged(path: Path, what: str) -> OutputError:
    return OutputError(f"cannot read {path}: {what}", Remedy("analyse the slide again"))
