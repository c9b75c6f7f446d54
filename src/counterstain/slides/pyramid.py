"""Read a box from the level of a pyramid that is just finer than asked for, so that nothing is enlarged and little is read."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import Box, Size
from counterstain.slides.resampling import SAME_MPP_TOLERANCE, Factors, read_extended, read_resampled

MAX_ASPECT_DIFFERENCE = 0.02
"""Images whose sides shrink by factors that differ more are no levels of the first."""

ReadLevel = Callable[[Box, int], NDArray[np.uint8]]
"""Takes a box within a level, and the level's number, and returns its (h, w, 3) pixels."""


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a pyramid."""

    size: Size
    """Of the pixels that are stored."""
    downsample: float
    """Pixels at full size per pixel of the level, 1 for the first."""


def level_of(size: Size, full: Size) -> Level:
    """Return a level by its size. A last row or column that does not fill a pixel may be stored or not: it says nothing."""
    rows, cols = full.height / size.height, full.width / size.width
    whole = round((rows * cols) ** 0.5)
    fits = all(abs(whole * side - wide) < whole for side, wide in ((size.height, full.height), (size.width, full.width)))
    return Level(size, float(whole) if fits else (rows + cols) / 2)


def is_level(size: Size, full: Size) -> bool:
    """Return whether an image has the shape of a smaller copy of another, up to the rounding of its sides."""
    if not size.area:
        return False
    rows, cols = full.height / size.height, full.width / size.width
    return abs(rows / cols - 1) <= MAX_ASPECT_DIFFERENCE + 1 / min(size.height, size.width)


def level_for(levels: Sequence[Level], factor: float) -> int:
    """Return the number of the coarsest level that is no coarser than ``factor``; the first when all are.

    Parameters
    ----------
    levels : in any order of size, the first at full size.
    factor : pixels at full size per pixel that is asked for.
    """
    fine_enough = [number for number, level in enumerate(levels) if level.downsample <= factor * (1 + SAME_MPP_TOLERANCE)]
    return max(fine_enough, key=lambda number: levels[number].downsample, default=0)


def read_pyramid(read: ReadLevel, levels: Sequence[Level], factors: Factors, box: Box) -> NDArray[np.uint8]:
    """Return the (h, w, 3) uint8 pixels of a box of the target grid, anti-aliased; white outside the slide.

    Parameters
    ----------
    read : reads pixels of one level.
    levels : the first at full size.
    factors : pixels at full size per target pixel, down and across; neither is enlarged that need not be.
    box : in target pixels; may reach outside.
    """
    full = levels[0].size
    number = level_for(levels, min(factors))
    level = levels[number]
    covered = (math.ceil(side / level.downsample - 1e-6) for side in (full.height, full.width))  # half a pixel is one too
    source = Size(*(max(sides) for sides in zip(covered, (level.size.height, level.size.width), strict=True)))
    down, across = factors
    inside = box.intersection(Box.whole(full.scaled(*(1 / factor for factor in factors))))
    pixels = np.full((box.height, box.width, 3), 255, np.uint8)
    pixels[inside.shifted(-box.row, -box.col).slices] = read_resampled(
        lambda part: _read_stored(lambda stored: read(stored, number), level.size, part),
        source,
        (down / level.downsample, across / level.downsample),
        inside,
    )
    return pixels


def _read_stored(read: Callable[[Box], NDArray[np.uint8]], stored: Size, box: Box) -> NDArray[np.uint8]:
    """Read a box that may reach a pixel beyond what is stored, where the last row or column is repeated."""
    if box.stop_row <= stored.height and box.stop_col <= stored.width:
        return read(box)
    return read_extended(read, stored, box.grown(2))[2:-2, 2:-2]
