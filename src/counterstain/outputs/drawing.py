"""Draw the final cells as pixels: outlines in, label image and outline pixels out. Knows no file and no slide."""

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from counterstain.cells.table import CellTable
from counterstain.geometry import Box

CELLS_AT_ONCE = 4096
"""How many outlines are scanned together, so that memory stays small."""


def painted_labels(cells: CellTable, box: Box, scale: float | tuple[float, float]) -> NDArray[np.int32]:
    """Fill every outline with the number of its row in the table, counted from 1.

    Parameters
    ----------
    box : the part to draw, in drawn pixels.
    scale : drawn pixels per slide pixel, positive; a pair is down and across.

    Returns
    -------
    (h, w) int32, 0 = background. A pixel belongs to a cell whose outline holds the pixel's centre; the later cell wins.
    """
    labels = np.zeros((box.height, box.width), np.int32)
    before = 0
    for part in cells.parts():
        for first in range(0, len(part), CELLS_AT_ONCE):
            rings = [outline * scale - (box.row, box.col) for outline in part.outlines[first : first + CELLS_AT_ONCE]]
            number, row, left, right = _spans(rings)
            _fill(labels, number + before + first + 1, row, left, right)
        before += len(part)
    return labels


def _spans(rings: list[NDArray[np.float64]]) -> tuple[NDArray[np.int64], ...]:
    """Scan the rings row by row and return, per run of pixels inside one: ring, row, first column and column after the last.

    The centre of row r is at r + 0.5. A ring crosses it an even number of times; the runs lie between the odd and the even
    crossings.
    """
    ring = np.repeat(np.arange(len(rings)), [len(points) for points in rings])
    start, stop = np.concatenate(rings), np.concatenate([np.roll(points, -1, axis=0) for points in rings])
    first, end = (np.ceil(rows - 0.5).astype(np.int64) for rows in np.sort([start[:, 0], stop[:, 0]], axis=0))
    edge = np.repeat(np.arange(len(start)), end - first)
    row = _counted(first, end)
    slope = (stop[edge, 1] - start[edge, 1]) / (stop[edge, 0] - start[edge, 0])
    crossing = start[edge, 1] + (row + 0.5 - start[edge, 0]) * slope
    order = np.lexsort((crossing, row, ring[edge]))
    columns = np.ceil(crossing[order] - 0.5).astype(np.int64)
    return ring[edge][order][::2], row[order][::2], columns[::2], columns[1::2]


def _fill(
    labels: NDArray[np.int32],
    number: NDArray[np.int64],
    row: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
) -> None:
    """Write each run's number into the part of it that lies in the array."""
    height, width = labels.shape
    left, right = left.clip(0, width), right.clip(0, width)
    inside = (row >= 0) & (row < height)
    number, row, left, right = number[inside], row[inside], left[inside], right[inside]
    labels[np.repeat(row, right - left), _counted(left, right)] = np.repeat(number, right - left)


def _counted(first: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return all whole numbers from each first to before its end, one after the other."""
    lengths = end - first
    offsets = np.repeat(first - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    return offsets + np.arange(lengths.sum())


def outline_pixels(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return (h, w) bool: the pixels of each cell that touch, by a side, another cell or the background."""
    found: NDArray[np.bool_] = find_boundaries(labels, connectivity=1, mode="inner")
    return found


def coloured(labels: NDArray[np.int32], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (h, w, 3) uint8 in which a pixel of cell ``i`` has row ``i`` of ``colours`` (n + 1, 3) and background row 0."""
    return colours[labels]
