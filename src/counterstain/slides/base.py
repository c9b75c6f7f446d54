"""The one thing the rest of the package knows about an input: the ``Slide`` protocol."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import Box, Size

MppSource = Literal["metadata", "option", "assumed"]


@dataclass(frozen=True, slots=True)
class Resolution:
    """Micrometres per pixel of a slide at full size, and where that number comes from."""

    mpp: float
    """Side of a square with the area of a pixel: the side of the pixel where it is square."""
    source: MppSource
    aspect: float = 1.0
    """Height of a pixel over its width."""

    @property
    def sides(self) -> tuple[float, float]:
        """Height and width of a pixel in micrometres."""
        root = math.sqrt(self.aspect)
        return self.mpp * root, self.mpp / root

    def factors(self, mpp: float) -> tuple[float, float]:
        """Return pixels at full size per square pixel of ``mpp``, down and across."""
        height, width = self.sides
        return mpp / height, mpp / width


def stated_resolution(sides: tuple[float, float]) -> Resolution:
    """Return the resolution of pixels of the height and width, in micrometres, that a file states."""
    height, width = sides
    if height == width:
        return Resolution(height, "metadata")
    return Resolution(math.sqrt(height * width), "metadata", height / width)


class Slide(Protocol):
    """An image of any size that can be read piece by piece at any resolution.

    A slide is open from construction to ``close`` and is a context manager.
    """

    @property
    def name(self) -> str:
        """File name without folder and suffix; names the output folder."""

    @property
    def size(self) -> Size:
        """Height and width at full resolution."""

    @property
    def resolution(self) -> Resolution:
        """Pixel size at full resolution."""

    def read(self, box: Box, mpp: float) -> NDArray[np.uint8]:
        """Return the pixels of ``box``, which counts in square pixels of ``mpp`` from the slide's origin.

        Returns
        -------
        (h, w, 3) uint8 RGB of exactly the size of the box. What lies outside the slide is white. Reading in pieces gives the
        pixels of reading at once: exactly where the slide is not resampled, else to one grey level (two in rare pixels, as both
        passes round).
        """

    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> "Slide": ...

    def __exit__(self, *exc_info: object) -> None: ...


def size_um(slide: Slide) -> tuple[float, float]:
    """Return height and width of the whole slide in micrometres."""
    height, width = slide.resolution.sides
    return slide.size.height * height, slide.size.width * width


def size_at(slide: Slide, mpp: float) -> Size:
    """Return the size of the whole slide in square pixels of ``mpp``."""
    down, across = slide.resolution.factors(mpp)
    return slide.size.scaled(1 / down, 1 / across)
