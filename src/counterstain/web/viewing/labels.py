"""Tiles whose pixels are the numbers of nuclei, which a page colours by a table, and the outlines of those in view."""

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.table import Cells
from counterstain.geometry import Box
from counterstain.polygons.painting import paint
from counterstain.web.viewing.opened import Opened

MOST_NUMBERS = 2**24 - 1
"""What fits into the three bytes of a pixel."""

DRAWN_UP_TO_MPP = 2.5
"""Where a pixel is larger, in micrometres, a nucleus is the pixel that holds its centroid: it has few pixels or none."""


def label_tile(opened: Opened, level: int, box: Box) -> NDArray[np.uint8]:
    """Return (h, w, 3) uint8: the number of the nucleus in each pixel, red times 65536 plus green times 256 plus blue.

    Numbers count the rows of the table from 1; 0 is background. A pixel belongs to the nucleus whose outline holds its centre,
    and to the later one of two; at low power to the last one whose centroid lies in it.

    Parameters
    ----------
    box : in pixels of the level.
    """
    down, across = opened.pyramid.scale(level)
    if opened.pyramid.levels[level].mpp > DRAWN_UP_TO_MPP:
        numbers = _dots(opened, box, (down, across))
    else:
        numbers = _shapes(opened, box, (down, across))
    return np.stack([numbers >> 16 & 255, numbers >> 8 & 255, numbers & 255], axis=2).astype(np.uint8)


def numbers_of(opened: Opened, cells: Cells) -> NDArray[np.int64]:
    """Return (n,) int64: the numbers of some nuclei of a result, counted from 1."""
    return np.searchsorted(opened.cell_ids, cells["cell_id"]) + 1


def slide_box(box: Box, scale: tuple[float, float]) -> Box:
    """Return the pixels of the slide under a box of drawn pixels, of which there are ``scale`` to a pixel of the slide."""
    down, across = scale
    row, col = int(box.row / down), int(box.col / across)
    return Box(row, col, -int(-box.stop_row / down // 1) - row, -int(-box.stop_col / across // 1) - col)


def _shapes(opened: Opened, box: Box, scale: tuple[float, float]) -> NDArray[np.int64]:
    cells = opened.analysis.cells.within(slide_box(box, scale))
    places = np.zeros((box.height, box.width), np.int32)
    paint(places, [outline * scale - (box.row, box.col) for outline in cells.outlines], 1)
    return np.concatenate([[0], numbers_of(opened, cells)])[places]


def _dots(opened: Opened, box: Box, scale: tuple[float, float]) -> NDArray[np.int64]:
    cells, (down, across) = opened.analysis.cells, scale
    rows = np.floor((cells["row_px"] + 0.5) * down).astype(np.int64) - box.row
    cols = np.floor((cells["col_px"] + 0.5) * across).astype(np.int64) - box.col
    inside = np.flatnonzero((rows >= 0) & (rows < box.height) & (cols >= 0) & (cols < box.width))
    numbers = np.zeros((box.height, box.width), np.int64)
    numbers[rows[inside], cols[inside]] = inside + 1
    return numbers
