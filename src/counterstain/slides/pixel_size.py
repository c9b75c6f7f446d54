"""What a file states of the size of its pixels, whether that can be believed, and what is taken for it.

An option of the user wins over the file, the file over what is assumed. Anything odd about it is reported in a sentence and
never corrected silently.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from counterstain.errors import MissingResolutionError, Remedy, UnsupportedSlideError
from counterstain.geometry import MPP_AT_1X, mpp_of_magnification
from counterstain.slides.base import Resolution, stated_resolution

PLAUSIBLE_MPP = (0.05, 10.0)
"""Range of micrometres per pixel that is believed."""

PLACEHOLDER_MPP = 1.0
"""Written by programs that know no pixel size. Real pixels of a micrometre are too coarse to be common."""

SQUARE_ASPECT = 1.001
"""Pixels whose sides differ by at most this factor are square, up to the rounding of what was stated."""

MAX_ASPECT = 4.0
"""No scanner makes pixels whose sides differ by more than this factor."""

CONTRADICTION = 0.03
"""An option that differs from what the file states by more than this share is warned of."""

NOMINAL_CONTRADICTION = 0.25
"""The same where the file states only its objective."""

UM_OF_UNIT = {
    **dict.fromkeys(("µm", "\u03bcm", "um", "micron", "microns", "micrometer", "\\u00B5m"), 1.0),
    "nm": 1e-3,
    "Å": 1e-4,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "in": 25400.0,
    "inch": 25400.0,
    "pm": 1e-6,
}

Sides = tuple[float, float]
"""Micrometres per pixel down and across."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a file says of its pixel size."""

    sides: Sides | None = None
    """Height and width of a pixel in micrometres; None where none are stated that can be believed."""
    doubt: str = ""
    """What is stated and not believed, and why, to follow "the file"; empty where there is no such thing."""
    is_nominal: bool = False
    """Whether the sides follow from the name of the objective alone."""
    is_of_print: bool = False
    """Whether what is not believed is the resolution of a screen or printer, which many files carry."""


def stated(sides: Sides | None) -> Stated:
    """Return what a file states, with the reason where it cannot be believed."""
    if sides is None:
        return Stated()
    if all(side == PLACEHOLDER_MPP for side in sides):
        return Stated(doubt="states exactly 1 um per pixel, which programs write that know no pixel size")
    if believable(sides):
        return Stated(sides=_squared(sides))
    if min(sides) > PLAUSIBLE_MPP[1]:
        return Stated(doubt=f"states {_text(sides)} um per pixel, which is that of a screen or printer", is_of_print=True)
    return Stated(doubt=f"states {_text(sides)} um per pixel, which no microscope has")


def nominal(objective: float, doubt: str = "") -> Stated:
    """Return the pixel size of an objective, by the convention that 40x is 0.25, where no other is stated that is believed."""
    side = mpp_of_magnification(objective)
    return Stated(sides=(side, side), doubt=doubt, is_nominal=True) if believable((side, side)) else Stated(doubt=doubt)


def believable(sides: Sides) -> bool:
    """Return whether a microscope can have made pixels of these sides."""
    low, high = PLAUSIBLE_MPP
    return all(low <= side <= high for side in sides)


def _squared(sides: Sides) -> Sides:
    """Return the sides of a pixel as they are, or their mean twice where they differ by ``SQUARE_ASPECT`` at most."""
    if max(sides) > SQUARE_ASPECT * min(sides):
        return sides
    mean = math.sqrt(sides[0] * sides[1])
    return mean, mean


def resolution_of(path: Path, found: Stated, *, option: float | None, assumed: float | None) -> Resolution:
    """Return the pixel size that is taken, and a warning where it is in doubt.

    Parameters
    ----------
    path : names the file in messages.
    option : what the user says: the side of a square pixel, or of a square of the area of one that is not; the file says how
        much higher than wide that is.
    assumed : taken where nothing else is known; None refuses.

    Raises
    ------
    MissingResolutionError
        Nothing is known and nothing is assumed.
    UnsupportedSlideError
        The file states pixels that are far from square, and the user says nothing.
    """
    sides = found.sides
    if option is not None:
        return _of_option(option, sides, found)
    if sides:
        if _is_far_from_square(sides):
            raise UnsupportedSlideError(
                f"{path} states pixels of {_text(sides)} um, which no scanner makes",
                Remedy("state the pixel size where the file is wrong", "mpp"),
            )
        taken = stated_resolution(sides)
        doubt = f"the file {found.doubt}; {taken.mpp:.4g}, which it states elsewhere, is taken" if found.doubt else ""
        return stated_resolution(sides, doubt)
    if assumed is None:
        raise MissingResolutionError(
            f"{path} {found.doubt or 'does not state its pixel size'}",
            Remedy("state it: for a 40x scan", "mpp", "0.25"),
            Remedy("for 20x", "mpp", "0.5"),
        )
    return Resolution(assumed, "assumed", warning=assumption(assumed, found.doubt and f"the file {found.doubt}"))


def assumption(mpp: float, reason: str = "") -> str:
    """Return the warning that a pixel size is assumed."""
    return (
        f"{reason or 'the pixel size is not stated in the file'}; {mpp:g} um per pixel is assumed "
        f"({MPP_AT_1X / mpp:.0f}x); state it (mpp) or the magnification if that is wrong"
    )


def _of_option(option: float, sides: Sides | None, found: Stated) -> Resolution:
    """Return what the user says, with what the file says of the shape of a pixel, and a warning where they differ."""
    if sides is None:
        doubt = "" if found.is_of_print or not found.doubt else f"the file {found.doubt}; {option:g} was given and is taken"
        return Resolution(option, "option", warning=doubt)
    if _is_far_from_square(sides):
        doubt = f"the file states pixels of {_text(sides)} um, which no scanner makes; square ones of {option:g} um are taken"
        return Resolution(option, "option", warning=doubt)
    in_file = stated_resolution(sides)
    allowed = NOMINAL_CONTRADICTION if found.is_nominal else CONTRADICTION
    times = option / in_file.mpp
    doubt = (
        ""
        if abs(times - 1) <= allowed
        else (
            f"{option:g} um per pixel was given and is taken, but the file states {in_file.mpp:.4g}: if the file is right, "
            f"lengths are {times:.3g} and areas {times**2:.3g} times what they should be"
        )
    )
    return Resolution(option, "option", in_file.aspect, doubt)


def _is_far_from_square(sides: Sides) -> bool:
    return max(sides) > MAX_ASPECT * min(sides)


def _text(sides: Sides) -> str:
    down, across = sides
    return f"{down:.4g}" if down == across else f"{down:.4g} x {across:.4g}"
