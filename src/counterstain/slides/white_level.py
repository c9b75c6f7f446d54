"""What value is white in an image of 16 bits: cameras of 10 to 15 bits write files of 16 whose white is far below 65,535.

Taken for full range, such an image is dark and all its tissue looks stained. So white is what the file states, else what the
values show beyond doubt, with a warning, and an image from which it cannot be told is refused.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterstain.errors import UnsupportedSlideError
from counterstain.slides.base import Origin

FULL_RANGE = 2**16 - 1

LEAST_FULL_RANGE = 2**15
"""Slides are bright: values of full range end above it."""

NEAR_WHITE = 0.98
"""Values that end at this share of the white of a camera at least are of that camera: glass is as bright as it can show."""

CAMERA_BITS = (15, 14, 12, 10)


@dataclass(frozen=True, slots=True)
class WhiteLevel:
    """The value that is white."""

    value: int
    source: str = ""
    """``metadata`` or ``values``; empty where it is that of the type."""

    @property
    def warning(self) -> str:
        """What to say of a level that is not stated."""
        if self.source != "values":
            return ""
        return (
            f"the image has 16 bits but its values end near {self.value:,}, and it does not say what is white: {self.value:,} "
            f"({self.value.bit_length()} bits) is taken"
        )


FULL = WhiteLevel(FULL_RANGE)


def with_white(origin: Origin, white: WhiteLevel) -> Origin:
    """Return what the record says of an image, with the value that was taken for white."""
    if white == FULL:
        return origin
    return replace(origin, white=white.value, warnings=(*origin.warnings, *filter(None, [white.warning])))


def white_level(highest: int, path: Path, stated: int | None = None) -> WhiteLevel:
    """Return the value of white.

    Parameters
    ----------
    highest : largest value that was seen.
    path : names the file in messages.
    stated : the largest value that a pixel can have, where the file says it.

    Raises
    ------
    UnsupportedSlideError
        The values neither use the full range nor end at the white of a camera, or exceed what is stated.
    """
    if stated is not None and 0 < stated < FULL_RANGE:
        if highest > stated:
            raise UnsupportedSlideError(
                f"{path} says that its values end at {stated:,}, but they reach {highest:,}: what is white would be a guess; "
                "save it as 8-bit RGB"
            )
        return WhiteLevel(stated, "metadata")
    if highest >= LEAST_FULL_RANGE or not highest:
        return FULL
    for bits in CAMERA_BITS:
        if NEAR_WHITE * (2**bits - 1) <= highest < 2**bits:
            return WhiteLevel(2**bits - 1, "values")
    raise UnsupportedSlideError(
        f"{path} is a 16-bit file whose values end at {highest} (12-bit camera?), and it does not say what is white; "
        "scale it to 8 bit"
    )


def scaled(samples: NDArray[np.uint16], white: WhiteLevel) -> NDArray[np.uint8]:
    """Return uint16 of any shape as uint8, ``white`` and what is above it as 255, rounded to nearest."""
    wide = np.minimum(samples, white.value).astype(np.uint32)
    return ((wide * 255 + white.value // 2) // white.value).astype(np.uint8)
