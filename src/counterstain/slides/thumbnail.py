"""A small picture of a whole slide, read in pieces so that memory stays bounded where a file has no small level."""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import Box
from counterstain.slides.base import Slide, size_at, size_um

PIECE_PX = 4096
"""Side of the pieces at full resolution: 50 MB."""

OVERVIEW_PX = 1024
"""Longest side of an overview."""


def thumbnail(slide: Slide, mpp: float) -> NDArray[np.uint8]:
    """Return the whole slide at ``mpp``, (h, w, 3) uint8 RGB."""
    size = size_at(slide, mpp)
    pixels = np.empty((size.height, size.width, 3), np.uint8)
    for piece in Box.whole(size).split(max(16, math.floor(PIECE_PX * slide.resolution.mpp / mpp))):
        pixels[piece.slices] = slide.read(piece, mpp)
    return pixels


def overview(slide: Slide) -> NDArray[np.uint8]:
    """Return the whole slide, (h, w, 3) uint8 RGB, at most ``OVERVIEW_PX`` long; a smaller slide as it is."""
    return thumbnail(slide, overview_mpp(slide))


def overview_mpp(slide: Slide) -> float:
    """Return the micrometres per pixel of the overview of a slide."""
    return max(slide.resolution.mpp, max(size_um(slide)) / OVERVIEW_PX)


def digest(pixels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of a picture, by which a slide is known again."""
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
