"""The one thing the rest of the package knows about an input: the ``Slide`` protocol."""

import math
from dataclasses import dataclass, field
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
    warning: str = field(default="", compare=False)
    """What makes the number less sure, as a sentence; empty where nothing does."""

    @property
    def sides(self) -> tuple[float, float]:
        """Height and width of a pixel in micrometres."""
        root = math.sqrt(self.aspect)
        return self.mpp * root, self.mpp / root

    def factors(self, mpp: float) -> tuple[float, float]:
        """Return pixels at full size per square pixel of ``mpp``, down and across."""
        height, width = self.sides
        return mpp / height, mpp / width


def stated_resolution(sides: tuple[float, float], warning: str = "") -> Resolution:
    """Return the resolution of pixels of the height and width, in micrometres, that a file states."""
    height, width = sides
    if height == width:
        return Resolution(height, "metadata", warning=warning)
    return Resolution(math.sqrt(height * width), "metadata", height / width, warning)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which image of its file a slide is, and where and how its pixels lie there."""

    series: int = 0
    """Number of the image in its file, from 0."""
    name: str = ""
    """Of the image in its file; empty where the file gives it none."""
    images: int = 1
    """Number of images in the file, labels and overviews among them where they are listed; levels of a pyramid are none."""
    fields: int = 1
    """Number of those that are of full size and not labels."""
    left_out: tuple[str, ...] = ()
    """The other images, each in words."""
    row_px: int = 0
    """Row of the first pixel of the slide in the file's own pixels at full size: 0 unless the slide is a part of what the file
    spans, such as the scanned part of the glass."""
    col_px: int = 0
    """Column of the same."""
    orientation: int = 1
    """The orientation tag that was followed: 1 is as stored."""
    white: int | None = None
    """The value that was taken for white in 16-bit pixels; None where it is the largest of the type."""
    warnings: tuple[str, ...] = ()
    """Sentences on what is less sure about it."""


WHOLE_FILE = Origin()
"""The only image of a file, as it is stored."""


WHITE = 255
"""Value of all samples of a pixel that shows glass, or that could not be decoded."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A part of an image that cannot be decoded."""

    box: Box
    reason: str
    """Which tile of the file it is and what is wrong with it."""


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

    @property
    def origin(self) -> Origin:
        """Which image of its file it is, and where its first pixel lies there."""

    def read(self, box: Box, mpp: float) -> NDArray[np.uint8]:
        """Return the pixels of ``box``, which counts in square pixels of ``mpp`` from the slide's origin.

        Returns
        -------
        (h, w, 3) uint8 RGB of exactly the size of the box. What lies outside the slide is white. Reading in pieces gives the
        pixels of reading at once: exactly where the slide is not resampled, else to one grey level (two in rare pixels, as both
        passes round). What cannot be decoded is white too, and ``damage`` names it.
        """

    def damage(self, box: Box, mpp: float) -> tuple[Damage, ...]:
        """Return the parts of a box, in pixels of ``mpp``, that could not be decoded when it was last read; see ``read``.

        A tile of a smaller level that cannot be decoded is made from the next larger one, and is no damage. What is damaged
        depends on the box alone, not on what was read before.
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
