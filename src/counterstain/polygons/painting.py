"""Fill polygons: rings in, pixels out. A pixel belongs to a ring that holds its centre."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from counterstain.polygons.rings import Ring


def paint(labels: NDArray[np.int32], rings: Sequence[Ring], first: int) -> None:
    """Write a number into the pixels of each ring: ``first`` into those of the first ring, and so on; the later ring wins.

    Parameters
    ----------
    labels : (h, w) int32, changed in place.
    rings : open, in pixels of ``labels``; what lies outside is left out.
    """
    if not rings:
        return
    number, row, left, right = _spans(rings)
    _fill(labels, number + first, row, left, right)


def _spans(rings: Sequence[Ring]) -> tuple[NDArray[np.int64], ...]:
    """Scan the rings row by row and return, per run of pixels inside one: ring, row, first column and column after the last.

    The centre of row r is at r + 0.5. A ring crosses it an even number of times; the runs lie between the odd and the even
    crossings.
    """
    ring = np.repeat(np.arange(len(rings)), [len(points) for points in rings])  # (edges,), as start and stop are (edges, 2)
    start, stop = np.concatenate([*rings]), np.concatenate([np.roll(points, -1, axis=0) for points in rings])
    # The rows whose centre an edge crosses, from first to before end; an edge along a row crosses none.
    first, end = (np.ceil(rows - 0.5).astype(np.int64) for rows in np.sort([start[:, 0], stop[:, 0]], axis=0))
    edge = np.repeat(np.arange(len(start)), end - first)  # (crossings,), as row and crossing
    row = counted(first, end)
    slope = (stop[edge, 1] - start[edge, 1]) / (stop[edge, 0] - start[edge, 0])
    crossing = start[edge, 1] + (row + 0.5 - start[edge, 0]) * slope
    order = np.lexsort((crossing, row, ring[edge]))  # by ring, then row, then from left to right
    columns = np.ceil(crossing[order] - 0.5).astype(np.int64)  # the first pixel whose centre is not left of the crossing
    return ring[edge][order][::2], row[order][::2], columns[::2], columns[1::2]


def _fill(
    labels: NDArray[np.int32],
    number: NDArray[np.int64],
    row: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
) -> None:
    """Write a number into the part of each run that lies in the array; all but ``labels`` are (runs,)."""
    height, width = labels.shape
    left, right = left.clip(0, width), right.clip(0, width)
    inside = (row >= 0) & (row < height)
    number, row, left, right = number[inside], row[inside], left[inside], right[inside]
    # Later runs come later in the index, and the last write to a pixel wins.
    labels[np.repeat(row, right - left), counted(left, right)] = np.repeat(number, right - left)


def counted(first: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (n,) int64: the whole numbers from each first to before its end, one range after the other.

    ``counted([2, 7], [5, 9])`` is ``[2, 3, 4, 7, 8]``.
    """
    lengths = end - first
    # Count through all ranges at once; an offset moves each to where it begins.
    offsets = np.repeat(first - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    return offsets + np.arange(lengths.sum())
