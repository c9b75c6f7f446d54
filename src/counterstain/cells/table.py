"""The cells table: one row per nucleus, units in the column names, outlines beside it.

``Cells`` holds it in memory. What scores and writes nuclei takes any ``CellTable``, which may also lie on disk.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import Box
from counterstain.polygons.rings import ring_bounds

COLUMNS: dict[str, type[np.generic]] = {
    "cell_id": np.int64,
    "row_um": np.float64,
    "col_um": np.float64,
    "row_px": np.float64,
    "col_px": np.float64,
    "area_um2": np.float64,
    "perimeter_um": np.float64,
    "eccentricity": np.float64,
    "p_positive": np.float32,
    "is_positive": np.bool_,
    "marker_mean": np.float32,
    "marker_max": np.float32,
    "dab_od_mean": np.float32,
    "hematoxylin_od_mean": np.float32,
    "dapi_mean": np.float32,
    "lap2_mean": np.float32,
    "quality_flags": np.uint8,
}
"""Column name -> NumPy type, in the order in which every table is written. Positions are of the centroid, in pixels of the
slide at full size (``_px``, pixel centres at whole numbers) and micrometres. ``p_positive`` and the ``_mean`` and ``_max`` of
modalities are in [0, 1]; a modality that the model does not infer is NaN."""

EARLIER_NAMES = {"quality_flags": "flags"}
"""Column -> its name in tables of format version 1; a table with either name is read."""

FLAG_TOUCHES_BORDER = 1
"""Bit of ``quality_flags``: the nucleus touches the border of the image, so its area and shape are those of a part."""


Thresholds = dict[str, float | str | None]
"""What made a table: decoder, probability and area limits."""


class CellColumns(Protocol):
    """The columns of some nuclei: all that a score needs."""

    def __len__(self) -> int:
        """Return the number of nuclei."""

    def __getitem__(self, column: str) -> NDArray[Any]:
        """Return a column of ``COLUMNS``, (n,)."""


class CellTable(CellColumns, Protocol):
    """All nuclei of one slide, wherever they are kept."""

    @property
    def thresholds(self) -> Thresholds:
        """What made the table."""

    def parts(self) -> Iterator["Cells"]:
        """Yield the table piece by piece, in the order of ``cell_id``, so that one piece at a time is in memory."""

    def within(self, box: Box) -> "Cells":
        """Return the nuclei that reach into a box, which counts in pixels of the slide, in the order of ``cell_id``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenCells:
    """The columns of some nuclei of a table."""

    cells: CellColumns
    chosen: NDArray[np.bool_]
    """(n,) bool over the rows of the table."""

    def __len__(self) -> int:
        return int(np.count_nonzero(self.chosen))

    def __getitem__(self, column: str) -> NDArray[Any]:
        values: NDArray[Any] = self.cells[column][self.chosen]
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """All nuclei of one slide, or of a part of it, in memory."""

    columns: dict[str, NDArray[Any]]
    """The columns of ``COLUMNS``, in that order, each of shape (n,)."""
    outlines: list[NDArray[np.float64]]
    """Per cell an open ring of (k, 2) float64 (row, col) corners in slide pixels; pixel r, c covers [r, r + 1) x [c, c + 1)."""
    thresholds: Thresholds = field(default_factory=dict)
    """What made the table."""

    def __post_init__(self) -> None:
        if list(self.columns) != list(COLUMNS):
            raise ValueError(f"a cells table has the columns {list(COLUMNS)}, got {list(self.columns)}")
        lengths = {len(column) for column in self.columns.values()} | {len(self.outlines)}
        if len(lengths) > 1:
            raise ValueError(f"columns and outlines must have one entry per cell, got lengths {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.outlines)

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.columns[column]

    def parts(self) -> Iterator["Cells"]:
        """Yield the table itself."""
        yield self

    def within(self, box: Box) -> "Cells":
        """Return the nuclei whose outlines reach into a box; a nucleus without outline counts by its centroid."""
        top, left, low, right = bounds(self).T
        chosen = np.flatnonzero((top < box.stop_row) & (low > box.row) & (left < box.stop_col) & (right > box.col))
        columns = {name: column[chosen] for name, column in self.columns.items()}
        return Cells(columns=columns, outlines=[self.outlines[index] for index in chosen], thresholds=self.thresholds)


def bounds(cells: Cells) -> NDArray[np.float64]:
    """Return (n, 4) float64: the top, left, bottom and right edge of each nucleus in pixels of the slide."""
    middles = np.column_stack([cells["row_px"], cells["col_px"]]) + 0.5  # where the first pixel covers 0 to 1, as in outlines
    return ring_bounds(
        [ring if len(ring) else middle[np.newaxis] for ring, middle in zip(cells.outlines, middles, strict=True)]
    )


def regrouped(table: CellTable, rows: int) -> Iterator[Cells]:
    """Yield the table in parts of so many rows, of which the last may have fewer."""
    waiting = Cells(columns={name: np.empty(0, kind) for name, kind in COLUMNS.items()}, outlines=[])
    for part in table.parts():
        both = _both(waiting, part) if len(waiting) else part
        full = len(both) // rows * rows
        for first in range(0, full, rows):
            yield _cut(both, first, first + rows)
        waiting = _cut(both, full, len(both))
    if len(waiting):
        yield waiting


def _both(one: Cells, other: Cells) -> Cells:
    columns = {name: np.concatenate([one[name], other[name]]) for name in COLUMNS}
    return Cells(columns=columns, outlines=[*one.outlines, *other.outlines])


def _cut(cells: Cells, first: int, stop: int) -> Cells:
    columns = {name: column[first:stop] for name, column in cells.columns.items()}
    return Cells(columns=columns, outlines=cells.outlines[first:stop])
