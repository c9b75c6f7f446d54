"""Which stains an image shows, and whether a model that was trained for certain stains knows them.

Pixels of about 1 um and the names of stains come in, one frozen verdict comes out. Nothing here knows slides, networks or
nuclei.

In the plane of ``colours``, hematoxylin and DAB lie at the two ends of one line, which all their mixtures fill. Eosin and the
red and pink chromogens lie above it, the green dyes below, and black ones at grey. Both ends are found as by Macenko et al.
(ISBI 2009): from the outermost of the stained pixels, not from their mean, which is a mixture. The limits were set on the clean
images and the recoloured ones of ``benchmarks/stains.py``, which measures how often they err.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from counterstain.images import Stain
from counterstain.tiling.colours import Colours, Point, as_stain, background, darkness_of_ground, stained

Verdict = Literal["known", "unknown", "undetermined", "not_bright_field"]
"""``known``: nothing but what the model was trained for. ``unknown``: another stain. ``undetermined``: too little to tell.
``not_bright_field``: no image of stained tissue in colour on a bright ground."""

Hue = Literal["blue", "brown", "red", "purple", "green", "black"]

STAIN_HUES: dict[str, Hue] = {
    "hematoxylin": "blue",
    "DAB": "brown",
    "AEC": "red",
    "Fast Red": "red",
    "magenta": "red",
    "eosin": "red",
    "Vector Blue": "blue",
    "HRP Green": "green",
    "methyl green": "green",
    "nickel DAB": "black",
}
"""Stains that a bundle can name, and how they look."""

HEMATOXYLIN_AND_DAB = ("hematoxylin", "DAB")
"""What a model was trained for, where its bundle does not say."""

LOOKS_LIKE: dict[Hue, str] = {
    "blue": "blue (as hematoxylin is)",
    "brown": "brown (as DAB is)",
    "red": "red or pink (as AEC, Fast Red, magenta and eosin are)",
    "purple": "purple (as hematoxylin under eosin is)",
    "green": "green (as HRP Green and methyl green are)",
    "black": "black (as nickel DAB is)",
}

LEAST_PIXELS = 60
"""Pixels below which an end, or what is dense, is not looked at: a nucleus or two."""

LEAST_STAINED = 350
"""Stained pixels below which nothing can be said: some seven nuclei. Of fewer, in clean squares of 64 um, some looked red or
green."""

WARM, COOL = -0.1, 0.1
"""Redness below which a pixel shows a brown or red stain, and above which a blue or green one."""

LEAST_WARM, WARM_SHARE = 40, 0.015
MANY_WARM, MANY_WARM_SHARE = 150, 0.03
"""Warm pixels, and their share of the stained ones, from which they are a stain (fewer are rims, blood and noise), and from
which their hue is sure."""

OUTERMOST = 0.3
"""Share of the warm, or cool, pixels that is taken for the end of the line."""

RED_SLOPE, RED_ABOVE, RED_ABOVE_OF_FEW = 0.72, 0.24, 0.30
"""A warm stain so far above the line of this slope is red, and where it is of few pixels, above the last. Clean images have up
to 0.195, and up to 0.242 with few pixels; AEC has 0.13 and more (median 0.29), the others have 0.3 and more."""

LINE_SLOPE = 0.9
"""Slope of the line from DAB to hematoxylin."""

PURPLE_ABOVE = 0.33
"""Distance above that line from which what is not warm is purple: hematoxylin alone has up to 0.28, under eosin 0.3 to 0.6."""

GREEN_BELOW, GREEN_SHARE, DENSE_GREEN_SHARE = -0.35, 0.2, 0.12
"""Pixels so far below that line are green; with one of these shares of the stained or of the dense pixels they are a stain.
Clean images have up to 0.08 and 0.01."""

GREEN_ANGLE_DEG, GREEN_END_BELOW = 13.0, -0.25
"""A cool end is green when its hue is below this angle (hematoxylin has 18 to 60) and it lies so far below the line."""

DENSE, DARK, LEAST_DARK = 0.25, 0.4, 150
"""Mean optical density of dense pixels, and of dark ones, which show a black chromogen best where there are at least so many:
of fewer, in clean squares of 64 um, up to 0.54 have no hue."""

NEUTRAL, BLACK_SHARE, BROWN_SHARE = 0.1, 0.35, 0.05
"""A pixel so near to grey has no hue; a chromogen is black where so many of the dark pixels have none (in clean images up to
0.19), and fewer than the last of all are warm. Dark DAB has no hue in places, but is brown in others."""

COLOURLESS, COLOURLESS_SHARE = 0.06, 0.9
"""Distance from grey of nine tenths of the stained pixels in an image without colour; in clean images it is at least 0.17."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stains:
    """What the colours of an image say of its stains."""

    verdict: Verdict
    hues: tuple[Hue, ...] = ()
    """Of the stains that were seen: counterstain, then chromogen."""
    reason: str = ""
    """Why, in words; empty when the stains are known."""
    background: tuple[int, int, int]
    """RGB of the clearest pixels."""
    stained_share: float = 0.0
    """Of the pixels that were looked at, in [0, 1]."""
    chromogen_share: float = 0.0
    """Of the stained pixels: those in which the chromogen outweighs the counterstain."""
    counterstain_od: Stain | None = None
    """Optical density in red, green and blue, of length 1; None where there is too little of it."""
    chromogen_od: Stain | None = None


def stain_warning(stains: Stains, known: tuple[str, ...]) -> str | None:
    """Return what to tell people of stains that are not among the ``known`` ones of the model; None when there are none."""
    if stains.verdict == "unknown":
        return f"the model was trained for {' and '.join(known)}, and this image {stains.reason}; its scores cannot be trusted"
    if stains.verdict == "not_bright_field":
        return f"this is not a bright-field image of stained tissue: {stains.reason}; its scores cannot be trusted"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ends:
    """The outermost colours on both sides of grey; None where there are too few pixels."""

    warm: Point | None
    cool: Point | None
    warm_share: float
    is_sure: bool
    """Whether there are many warm pixels."""


def find_stains(pixels: NDArray[np.uint8], known: tuple[str, ...] = HEMATOXYLIN_AND_DAB) -> Stains:
    """Return which stains an image shows and whether they are the ``known`` ones.

    Parameters
    ----------
    pixels : (h, w, 3) uint8 RGB at about 1 um per pixel, at least one pixel; parts of an image may lie below each other.
    known : names in ``STAIN_HUES`` of what the model was trained for.

    Notes
    -----
    A missing stain is not an error: all negative tissue is blue alone, all positive tissue may be brown alone. A blue
    chromogen is not told from hematoxylin, and a few cells of any chromogen are not seen.
    """
    white = background(pixels)
    colours = stained(pixels, white)
    ground = (int(white[0]), int(white[1]), int(white[2]))
    share = round(len(colours) / (pixels.size // 3), 4)
    darkness = darkness_of_ground(pixels)
    if darkness == "dark":
        return Stains(
            verdict="not_bright_field",
            reason="it is bright on a dark ground, as fluorescence and negatives are",
            background=ground,
            stained_share=share,
        )
    if len(colours) >= LEAST_PIXELS and np.mean(colours.greyness() < COLOURLESS) > COLOURLESS_SHARE:
        return Stains(
            verdict="not_bright_field",
            reason="it is grey, without the colours of stains",
            background=ground,
            stained_share=share,
        )
    if len(colours) < LEAST_STAINED:
        return Stains(
            verdict="undetermined", reason="there is too little stain to tell", background=ground, stained_share=share
        )
    judged = _judged(colours, known, ground, share)
    if darkness == "doubtful" and judged.verdict == "known":
        return replace(judged, verdict="unknown", reason="looks like a negative: it is dark, and smooth where it is dark")
    return judged


def _judged(colours: Colours, known: tuple[str, ...], ground: tuple[int, int, int], share: float) -> Stains:
    ends = _ends(colours)
    hues = _hues(colours, ends)
    expected = {STAIN_HUES[name] for name in known}
    odd = [hue for hue in hues if hue not in expected]
    return Stains(
        verdict="unknown" if odd else "known",
        hues=hues,
        reason=f"looks {' and '.join(LOOKS_LIKE[hue] for hue in odd)}" if odd else "",
        background=ground,
        stained_share=share,
        chromogen_share=round(ends.warm_share, 4),
        counterstain_od=as_stain(ends.cool) if ends.cool else None,
        chromogen_od=as_stain(ends.warm) if ends.warm else None,
    )


def _ends(colours: Colours) -> _Ends:
    warm, cool = colours.where(colours.red < WARM), colours.where(colours.red > COOL)
    is_warm = len(warm) >= max(LEAST_WARM, WARM_SHARE * len(colours))
    is_sure = len(warm) >= max(MANY_WARM, MANY_WARM_SHARE * len(colours))
    return _Ends(
        warm=warm.where(warm.red <= np.quantile(warm.red, OUTERMOST)).mean() if is_warm else None,
        cool=cool.where(cool.red >= np.quantile(cool.red, 1 - OUTERMOST)).mean() if len(cool) >= LEAST_PIXELS else None,
        warm_share=len(warm) / len(colours),
        is_sure=is_sure,
    )


def _hues(colours: Colours, ends: _Ends) -> tuple[Hue, ...]:
    """Return how the stains look: what is not warm, then what is."""
    found: list[Hue] = []
    limit = RED_ABOVE if ends.is_sure else RED_ABOVE_OF_FEW
    is_red = ends.warm is not None and ends.warm[1] - RED_SLOPE * ends.warm[0] > limit
    if _is_green(colours, ends.cool):
        found.append("green")
    elif not is_red and _is_purple(colours):  # red on blue is purple where both are
        found.append("purple")
    elif ends.cool:
        found.append("blue")
    if ends.warm:
        found.append("red" if is_red else "brown")
    if _is_black(colours):
        found.append("black")
    return tuple(found)


def _is_green(colours: Colours, cool: Point | None) -> bool:
    is_green = colours.above(LINE_SLOPE) < GREEN_BELOW
    dense = is_green[colours.density > DENSE]
    if is_green.mean() > GREEN_SHARE or (len(dense) >= LEAST_PIXELS and dense.mean() > DENSE_GREEN_SHARE):
        return True
    if cool is None:
        return False
    angle_deg = math.degrees(math.atan2(cool[1], cool[0]))
    return angle_deg < GREEN_ANGLE_DEG and cool[1] - LINE_SLOPE * cool[0] < GREEN_END_BELOW


def _is_purple(colours: Colours) -> bool:
    rest = colours.where(colours.red >= WARM)
    return len(rest) >= LEAST_PIXELS and float(np.average(rest.above(LINE_SLOPE), weights=rest.density)) > PURPLE_ABOVE


def _is_black(colours: Colours) -> bool:
    dark = colours.where(colours.density > DARK)
    if len(dark) < LEAST_DARK or np.mean(colours.red < WARM) > BROWN_SHARE:
        return False
    return bool(np.mean(dark.greyness() < NEUTRAL) > BLACK_SHARE)
