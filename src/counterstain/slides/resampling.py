"""Read a box of a slide at another resolution, anti-aliased, so that boxes read one by one fit together.

Target pixel (r, c) covers source rows [r * factor, (r + 1) * factor), and columns likewise, whatever box it is read in.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from counterstain.geometry import Box, Size

SAME_MPP_TOLERANCE = 1e-6
"""Relative difference below which two resolutions are the same and pixels are copied."""

_FILTER = Image.Resampling.BICUBIC
FILTER_REACH = 2
"""Half width of the filter in target pixels (source pixels when enlarging)."""

Factors = tuple[float, float]
"""Source pixels per target pixel, down and across; they differ where the pixels of the source are not square."""

ReadSource = Callable[[Box], NDArray[np.uint8]]
"""Takes a box within the source and returns its (h, w, 3) pixels."""


def read_resampled(read: ReadSource, source: Size, factors: Factors, box: Box) -> NDArray[np.uint8]:
    """Return the pixels of a box of the target grid; white where it lies outside the source.

    Parameters
    ----------
    read : reads a box of source pixels.
    source : size of the source.
    factors : source pixels per target pixel; where both are within ``SAME_MPP_TOLERANCE`` of 1, pixels are copied.
    box : in target pixels; may reach outside.

    Returns
    -------
    (h, w, 3) uint8.
    """
    same = all(abs(factor - 1) <= SAME_MPP_TOLERANCE for factor in factors)
    inside = box.intersection(Box.whole(source if same else source.scaled(*(1 / factor for factor in factors))))
    pixels = np.full((box.height, box.width, 3), 255, np.uint8)
    if inside.size.area:
        target = inside.shifted(-box.row, -box.col)
        pixels[target.slices] = read(inside) if same else _resample(read, source, factors, inside)
    return pixels


def _resample(read: ReadSource, source: Size, factors: Factors, box: Box) -> NDArray[np.uint8]:
    """Resize the source pixels under a box and a halo that the filter reaches; beyond the source its edge is repeated."""
    down, across = factors
    # A pixel more than the filter needs, so that it sees whole pixels where the box begins within one.
    halo_rows, halo_cols = (math.ceil(FILTER_REACH * max(factor, 1)) + 1 for factor in factors)
    row, col = math.floor(box.row * down) - halo_rows, math.floor(box.col * across) - halo_cols
    stop_row, stop_col = math.ceil(box.stop_row * down) + halo_rows, math.ceil(box.stop_col * across) + halo_cols
    crop = read_extended(read, source, Box(row, col, stop_row - row, stop_col - col))
    # Across, then down, each on its own: Pillow picks the order by the shape, and rounds to whole grey levels in between.
    # The box may begin within a source pixel, so Pillow is told where, in fractions of pixels of the crop.
    wide = (box.col * across - col, 0, box.stop_col * across - col, crop.shape[0])
    narrowed = Image.fromarray(crop).resize((box.width, crop.shape[0]), _FILTER, box=wide)
    tall = (0, box.row * down - row, box.width, box.stop_row * down - row)
    return np.asarray(narrowed.resize((box.width, box.height), _FILTER, box=tall))


def read_extended(read: ReadSource, source: Size, box: Box) -> NDArray[np.uint8]:
    """Return the (h, w, 3) uint8 pixels of a box that meets the source; outside the source its edge is repeated."""
    inside = box.intersection(Box.whole(source))
    above, left = inside.row - box.row, inside.col - box.col
    below, right = box.stop_row - inside.stop_row, box.stop_col - inside.stop_col
    return np.pad(read(inside), ((above, below), (left, right), (0, 0)), mode="edge")
