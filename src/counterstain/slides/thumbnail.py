"""A small picture of a whole slide, read in pieces so that memory stays bounded where a file has no small level."""

import math

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import Box
from counterstain.slides.base import Slide, size_at

PIECE_PX = 4096
"""Side of the pieces at full resolution: 50 MB."""


def thumbnail(slide: Slide, mpp: float) -> NDArray[np.uint8]:
    """Return the whole slide at ``mpp``, (h, w, 3) uint8 RGB."""
    size = size_at(slide, mpp)
    pixels = np.empty((size.height, size.width, 3), np.uint8)
    for piece in Box.whole(size).split(max(16, math.floor(PIECE_PX * slide.resolution.mpp / mpp))):
        pixels[piece.slices] = slide.read(piece, mpp)
    return pixels
