"""Read a box from the level of a pyramid that is just finer than asked for, so that nothing is enlarged and little is read."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import Box, Size
from counterstain.slides.base import Damage
from counterstain.slides.resampling import FILTER_REACH, SAME_MPP_TOLERANCE, Factors, read_extended, read_resampled

MAX_ASPECT_DIFFERENCE = 0.02
"""Images whose sides shrink by factors that differ more are not levels of the first."""

ReadLevel = Callable[[Box, int], NDArray[np.uint8]]
"""Takes a box within a level, and the level's number, and returns its (h, w, 3) pixels, white where they are damaged."""

DamageIn = Callable[[Box, int], Sequence[Damage]]
"""Takes a box within a level that was read, and the level's number, and returns the damaged tiles that it meets."""


def undamaged(box: Box, number: int) -> Sequence[Damage]:
    """Return no damage, whatever the box."""
    del box, number
    return ()


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a pyramid."""

    size: Size
    """Of the pixels that are stored."""
    downsample: float
    """Pixels at full size per pixel of the level, 1 for the first."""


def level_of(size: Size, full: Size) -> Level:
    """Return a level by its size. A last row or column that fills no whole pixel may be stored or not: it does not count."""
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


def read_pyramid(
    read: ReadLevel, levels: Sequence[Level], factors: Factors, box: Box, damage_in: DamageIn = undamaged
) -> NDArray[np.uint8]:
    """Return the (h, w, 3) uint8 pixels of a box of the target grid, anti-aliased; white outside the slide.

    Parameters
    ----------
    read : reads pixels of one level.
    levels : the first at full size.
    factors : pixels at full size per target pixel, down and across; a side is enlarged only where it must be.
    box : in target pixels; may reach outside.
    damage_in : what is damaged, which is made from the next larger level where there is one.
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
        lambda part: _read_stored(lambda stored: _read_mended(read, damage_in, levels, number, stored), level.size, part),
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


def damage_in_pyramid(damage_in: DamageIn, levels: Sequence[Level], factors: Factors, box: Box) -> tuple[Damage, ...]:
    """Return the parts of a box of the target grid that no level can show, as they are once the box was read.

    Parameters
    ----------
    damage_in : the damage of one level.
    levels, factors, box : as they were given to ``read_pyramid``.
    """
    number = level_for(levels, min(factors))
    down, across = (factor / levels[number].downsample for factor in factors)
    seen = _spread(box, (1 / down, 1 / across)).intersection(Box.whole(levels[number].size))
    found = _lasting(damage_in, levels, number, seen)
    parts = ((_spread(damage.box, (down, across)).intersection(box), damage.reason) for damage in found)
    return tuple(Damage(part, reason) for part, reason in parts if part.size.area)


def _read_mended(read: ReadLevel, damage_in: DamageIn, levels: Sequence[Level], number: int, box: Box) -> NDArray[np.uint8]:
    """Read a box of a level, with its damaged tiles made from the next larger level."""
    pixels, larger = read(box, number), _next_larger(levels, number)
    damaged = () if larger is None else damage_in(box, number)
    if larger is None or not damaged:
        return pixels
    pixels, ratio = pixels.copy(), levels[number].downsample / levels[larger].downsample
    for damage in damaged:
        part = damage.box.intersection(box)
        pixels[part.shifted(-box.row, -box.col).slices] = read_resampled(
            lambda inside: _read_mended(read, damage_in, levels, larger, inside), levels[larger].size, (ratio, ratio), part
        )
    return pixels


def _lasting(damage_in: DamageIn, levels: Sequence[Level], number: int, box: Box) -> list[Damage]:
    """Return the damage in a box of a level that no larger level mends."""
    damaged, larger = damage_in(box, number), _next_larger(levels, number)
    parts = [Damage(damage.box.intersection(box), damage.reason) for damage in damaged]
    if larger is None:
        return parts
    ratio = levels[number].downsample / levels[larger].downsample
    found = []
    for part in parts:
        looked_at = _spread(part.box, (1 / ratio, 1 / ratio)).intersection(Box.whole(levels[larger].size))
        for rest in _lasting(damage_in, levels, larger, looked_at):
            found.append(Damage(_spread(rest.box, (ratio, ratio)).intersection(part.box), rest.reason))
    return [damage for damage in found if damage.box.size.area]


def _next_larger(levels: Sequence[Level], number: int) -> int | None:
    """Return the number of the smallest level that is larger than a level; None for that of full size."""
    finer = [at for at, level in enumerate(levels) if level.downsample < levels[number].downsample * (1 - SAME_MPP_TOLERANCE)]
    return max(finer, key=lambda at: levels[at].downsample, default=None)


def _spread(box: Box, factors: Factors) -> Box:
    """Return the pixels, each of ``factors`` pixels of a box, whose value depends on the box, or a few more."""
    if all(abs(factor - 1) <= SAME_MPP_TOLERANCE for factor in factors):
        return box
    spans = []
    for start, stop, factor in ((box.row, box.stop_row, factors[0]), (box.col, box.stop_col, factors[1])):
        reach = FILTER_REACH * max(1.0, 1 / factor) + 1  # of the filter, in the pixels that are returned
        spans.append((math.floor(start / factor - reach), math.ceil(stop / factor + reach)))
    (row, stop_row), (col, stop_col) = spans
    return Box(row, col, stop_row - row, stop_col - col)
