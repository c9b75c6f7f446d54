"""The orientation tag of TIFF and EXIF: which side of what is stored is up.

1 is as stored, 2 mirrored, 3 turned by half, 4 upside down, 5 to 8 with rows and columns exchanged.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import Box, Size
from counterstain.slides.base import Origin

UPRIGHT = 1

_MIRRORED_ROWS, _MIRRORED_COLS = (3, 4, 7, 8), (2, 3, 6, 7)
"""Orientations in which what is shown first in a column, or in a row, is stored last. Of 5 to 8, once rows and columns are
exchanged: columns of what is shown are rows of what is stored."""


def with_turn(origin: Origin, orientation: int) -> Origin:
    """Return what the record says of an image that is turned as its orientation tag says."""
    if orientation == UPRIGHT:
        return origin
    warning = (
        f"the image is turned as its orientation tag ({orientation}) says; a viewer that ignores the tag, as QuPath may, shows "
        "it otherwise, and outlines and regions do not fit there"
    )
    return replace(origin, orientation=orientation, warnings=(*origin.warnings, warning))


def is_exchanged(orientation: int) -> bool:
    """Return whether rows are stored as columns."""
    return orientation in (5, 6, 7, 8)


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return stored pixels, (h, w) or (h, w, samples), as they are to be shown."""
    if is_exchanged(orientation):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in _MIRRORED_ROWS:
        pixels = pixels[::-1]
    if orientation in _MIRRORED_COLS:
        pixels = pixels[:, ::-1]
    return pixels


def turned_size(size: Size, orientation: int) -> Size:
    """Return the size that is shown of a size that is stored."""
    return Size(size.width, size.height) if is_exchanged(orientation) else size


def stored_box(box: Box, shown: Size, orientation: int) -> Box:
    """Return where a box of what is shown, which has the size ``shown``, is stored."""
    row = shown.height - box.stop_row if orientation in _MIRRORED_ROWS else box.row
    col = shown.width - box.stop_col if orientation in _MIRRORED_COLS else box.col
    if is_exchanged(orientation):
        return Box(col, row, box.width, box.height)
    return Box(row, col, box.height, box.width)


def shown_box(box: Box, shown: Size, orientation: int) -> Box:
    """Return where a stored box is shown, in what has the size ``shown``: the inverse of ``stored_box``."""
    if is_exchanged(orientation):
        box = Box(box.col, box.row, box.width, box.height)
    row = shown.height - box.stop_row if orientation in _MIRRORED_ROWS else box.row
    col = shown.width - box.stop_col if orientation in _MIRRORED_COLS else box.col
    return Box(row, col, box.height, box.width)
