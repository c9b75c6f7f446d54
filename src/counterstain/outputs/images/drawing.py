"""Draw the final cells as pixels: outlines in, label image and outline pixels out. Knows no file and no slide."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from counterstain.cells.table import CellTable
from counterstain.geometry import Box
from counterstain.polygons.painting import paint

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
            paint(labels, rings, before + first + 1)
        before += len(part)
    return labels


def wide_outline(labels: NDArray[np.int32], width_px: int) -> NDArray[np.bool_]:
    """Return (h, w) bool: the pixels of each cell that are at most so many steps, at least 1, from its edge.

    A step goes to one of the four neighbours. The border of the image is not an edge, as the cell may go on beyond it.
    """
    edge = outline_pixels(labels)
    for _ in range(width_px - 1):
        edge = ndimage.binary_dilation(edge) & (labels > 0)
    return edge


def casing_pixels(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return (h, w) bool: the pixels of the background that touch a cell, at corners too."""
    return np.asarray(ndimage.binary_dilation(labels > 0, np.ones((3, 3), bool)) & (labels == 0))


def outline_pixels(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return (h, w) bool: the pixels of each cell that touch, by a side, another cell or the background."""
    down, across = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    found = np.zeros(labels.shape, bool)
    found[1:] |= down
    found[:-1] |= down
    found[:, 1:] |= across
    found[:, :-1] |= across
    return found & (labels > 0)


def coloured(labels: NDArray[np.int32], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (h, w, 3) uint8 in which a pixel of cell ``i`` has row ``i`` of ``colours`` (n + 1, 3) and background row 0."""
    return colours[labels]
