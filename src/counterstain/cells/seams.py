"""Cut maps into nuclei block by block, so that memory does not grow with the slide, and put the blocks together.

Each block is decoded with a halo around it and keeps the nuclei whose first pixel (topmost row, then leftmost) lies in the
block. The blocks partition the slide and a nucleus has one first pixel, so none is counted twice; the halo shows every nucleus
whole, so none is cut. What a decoder makes of a nucleus depends on its neighbourhood alone, so a block finds the same nuclei,
to the last pixel, as the whole slide at once. Nothing here knows decoders, slides or measurements.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from counterstain.cells.decoders.base import Nuclei, numbered_by_first_pixel
from counterstain.cells.table import COLUMNS, Cells, Thresholds
from counterstain.geometry import Box, Size

BLOCK_PX = 1024
"""Side of a block, which takes 150 MB to decode. Larger blocks read less halo but no longer fit in a processor's cache."""

DecodeBox = Callable[[Box], Nuclei]
"""Decodes the maps within a box; labels are (h, w) of the box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The nuclei that one block owns."""

    box: Box
    """The part of the slide that the labels cover: the smallest that holds all of the nuclei."""
    nuclei: Nuclei


def blocks(size: Size, block_px: int = BLOCK_PX) -> Iterator[Box]:
    """Return the blocks of a slide row by row: squares from (0, 0) on, the last ones as narrow as the slide leaves them."""
    return Box.whole(size).split(block_px)


def cut_block(decode: DecodeBox, block: Box, size: Size, halo_px: int, *, most_widths: int = 1) -> Piece:
    """Return the nuclei whose first pixel lies in a block.

    Parameters
    ----------
    decode : a decoder over the maps of the slide.
    block : inside the slide.
    size : of the maps of the whole slide.
    halo_px : what is added on each side.
    most_widths : how many times ``halo_px`` is added instead on a side where the halo cuts a nucleus of the block. A nucleus
        that is cut even then is left out.
    """
    whole, margins = Box.whole(size), np.full(4, halo_px)  # top, bottom, left, right
    while True:  # five rounds at most: each widens the sides that still cut a nucleus, and a side only once
        box = _extended(block, margins).intersection(whole)
        nuclei = _owned(decode(box), box, block)
        cut = _cut_sides(nuclei.labels, box, whole)
        widened = np.where(cut, halo_px * most_widths, margins)
        if (widened == margins).all():
            return _cropped(_without(nuclei, _at_sides(nuclei.labels, cut)), box)
        margins = widened


def no_wider(nuclei: Nuclei, limit_px: int) -> Nuclei:
    """Return the nuclei without those that are higher or wider than a limit."""
    boxes = ndimage.find_objects(nuclei.labels)  # one pair of slices for each label
    sides = np.array([[rows.stop - rows.start, cols.stop - cols.start] for rows, cols in boxes], np.int64).reshape(-1, 2)
    return _without(nuclei, np.flatnonzero((sides > limit_px).any(axis=1)) + 1)


def touching_border(piece: Piece, size: Size) -> NDArray[np.bool_]:
    """Return (n,) bool: which nuclei of a piece touch the border of the slide."""
    found = _at_sides(piece.nuclei.labels, _border_sides(piece.box, Box.whole(size)))
    return np.isin(np.arange(1, len(piece.nuclei.p_positive) + 1), found)


def joined(parts: Sequence[Cells], thresholds: Thresholds) -> Cells:
    """Return one table of all rows of the parts, in the order of ``cell_id``; empty without parts."""
    columns = {
        name: np.concatenate([part[name] for part in parts] or [np.empty(0, dtype)]).astype(dtype, copy=False)
        for name, dtype in COLUMNS.items()
    }
    order = np.argsort(columns["cell_id"], kind="stable")
    rings = [ring for part in parts for ring in part.outlines]
    return Cells(
        columns={name: column[order] for name, column in columns.items()},
        outlines=[rings[index] for index in order],
        thresholds=thresholds,
    )


def _cropped(nuclei: Nuclei, box: Box) -> Piece:
    """Return the nuclei in the smallest box that holds them, so that measuring them spends no time on an empty halo."""
    rows, cols = (np.flatnonzero(nuclei.labels.any(axis=axis)) for axis in (1, 0))  # those that hold any nucleus
    if not len(rows):
        return Piece(box=Box(box.row, box.col, 0, 0), nuclei=Nuclei(labels=nuclei.labels[:0, :0], p_positive=nuclei.p_positive))
    part = Box(int(rows[0]), int(cols[0]), int(np.ptp(rows)) + 1, int(np.ptp(cols)) + 1)
    labels = np.ascontiguousarray(nuclei.labels[part.slices])
    return Piece(box=part.shifted(box.row, box.col), nuclei=Nuclei(labels=labels, p_positive=nuclei.p_positive))


def _owned(nuclei: Nuclei, box: Box, block: Box) -> Nuclei:
    """Return the nuclei of a box whose first pixel lies in its block."""
    rows, cols = _first_pixels(nuclei)
    core = block.shifted(-box.row, -box.col)  # the block in pixels of the labels
    inside = (rows >= core.row) & (rows < core.stop_row) & (cols >= core.col) & (cols < core.stop_col)
    return _without(nuclei, np.flatnonzero(~inside) + 1)


def _without(nuclei: Nuclei, labels: NDArray[np.integer]) -> Nuclei:
    """Return the nuclei without those of some labels, renumbered."""
    if not len(labels):
        return nuclei
    keep = np.ones(len(nuclei.p_positive) + 1, dtype=np.bool_)
    keep[labels] = False  # by label; entry 0 is the background
    remaining, kept = numbered_by_first_pixel(nuclei.labels * keep[nuclei.labels])  # what is dropped becomes 0
    return Nuclei(labels=remaining, p_positive=nuclei.p_positive[kept - 1])


def _first_pixels(nuclei: Nuclei) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return row and column of the first pixel of each label, in the labels' own pixels."""
    pixels = np.flatnonzero(nuclei.labels)
    first = np.zeros(len(nuclei.p_positive) + 1, dtype=np.int64)
    first[nuclei.labels.ravel()[pixels[::-1]]] = pixels[::-1]  # the last write to an index wins: the first pixel
    rows, cols = np.divmod(first[1:], max(nuclei.labels.shape[1], 1))
    return rows, cols


def _border_sides(box: Box, whole: Box) -> NDArray[np.bool_]:
    """Return (4,) bool: which of the top, bottom, left and right side of a box lie on the border of the slide."""
    return np.array(
        [box.row == 0, box.stop_row == whole.stop_row, box.col == 0, box.stop_col == whole.stop_col], dtype=np.bool_
    )


def _cut_sides(labels: NDArray[np.int32], box: Box, whole: Box) -> NDArray[np.bool_]:
    """Return (4,) bool: on which sides of a box, inside the slide, a label touches it and so may go on beyond."""
    inner = ~_border_sides(box, whole)
    return inner & [bool(len(_at_sides(labels, side))) for side in np.eye(4, dtype=np.bool_)]


def _extended(box: Box, margins: NDArray[np.integer]) -> Box:
    """Return the box with pixels added at its top, bottom, left and right."""
    top, bottom, left, right = margins.tolist()
    return Box(box.row - top, box.col - left, box.height + top + bottom, box.width + left + right)


def _at_sides(labels: NDArray[np.int32], sides: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the labels, 0 left out, that touch any of the chosen sides, some more than once."""
    edges = (labels[:1], labels[-1:], labels[:, :1], labels[:, -1:])
    found = [edge.ravel() for edge, chosen in zip(edges, sides.tolist(), strict=True) if chosen]
    touching = np.concatenate([np.empty(0, np.int32), *found])
    return touching[touching > 0]
