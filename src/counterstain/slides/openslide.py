"""Whole slides of the scanner vendors through OpenSlide, read piece by piece from the level that fits.

Labels and overviews (OpenSlide's associated images), which may show a name, are never read.
"""

from pathlib import Path
from typing import Self

import numpy as np
import openslide
from numpy.typing import NDArray

from counterstain.errors import UnreadableSlideError
from counterstain.geometry import Box, Size, mpp_of_magnification
from counterstain.images import to_rgb
from counterstain.slides.base import Resolution
from counterstain.slides.pyramid import level_of, read_pyramid
from counterstain.slides.tiff_resolution import Sides, believable, plausible

_GENERIC = "generic-tiff"
"""OpenSlide's name of a tiled TIFF that no scanner has signed."""


def is_whole_slide(path: Path) -> bool:
    """Return whether a scanner's format is recognised; a generic TIFF is none."""
    return _format(path) not in (None, _GENERIC)


def is_generic_tiff(path: Path) -> bool:
    """Return whether OpenSlide can read a file as a tiled TIFF of no scanner's."""
    return _format(path) == _GENERIC


def opens(path: Path) -> bool:
    """Return whether a scanner's format is recognised and its compression is known: of CZI, JPEG XR is not."""
    if not is_whole_slide(path):
        return False
    try:
        _open(path).close()
    except UnreadableSlideError:
        return False
    return True


def stated_sides(path: Path) -> Sides | None:
    """Return the micrometres per pixel down and across in the slide's properties, or None.

    A slide that states its objective (``AppMag``) and no pixel size has that of the convention that 40x is 0.25.

    Raises
    ------
    UnreadableSlideError
        When the slide cannot be opened.
    UnsupportedSlideError
        When the stated pixels are far from square.
    """
    with _open(path) as slide:
        names = (openslide.PROPERTY_NAME_MPP_Y, openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_OBJECTIVE_POWER)
        down, across, objective = (_positive(slide.properties.get(name)) for name in names)
    if down and across and believable((down, across)):
        return plausible((down, across), path)
    side = mpp_of_magnification(objective) if objective else down or across
    return (side, side) if side and believable((side, side)) else None


def _format(path: Path) -> str | None:
    try:
        name: str | None = openslide.OpenSlide.detect_format(path)
    except openslide.OpenSlideError:
        return None
    return name


def _positive(text: str | None) -> float | None:
    """Return a number that a slide states; None for one that is missing, no number or not above 0."""
    try:
        value = float(text or 0)
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _open(path: Path) -> openslide.OpenSlide:
    try:
        return openslide.OpenSlide(path)
    except (openslide.OpenSlideError, OSError) as error:
        raise UnreadableSlideError(f"cannot read the whole slide {path}: {error}") from error


class OpenSlideSlide:
    """A ``Slide`` over a pyramid; what was not scanned is white.

    Raises
    ------
    UnreadableSlideError
        When the slide, or later a part of it, cannot be read.
    """

    def __init__(self, path: Path, *, name: str, resolution: Resolution) -> None:
        self._path = path
        self._slide = _open(path)
        self._levels = [level_of(Size(height, width), self.size) for width, height in self._slide.level_dimensions]
        self._closed = False
        self.name = name
        self.resolution = resolution

    @property
    def size(self) -> Size:
        """Height and width at full resolution."""
        width, height = self._slide.dimensions
        return Size(height, width)

    def read(self, box: Box, mpp: float) -> NDArray[np.uint8]:
        """Return the (h, w, 3) uint8 pixels of a box in pixels of ``mpp``, from the next finer level; white outside."""
        return read_pyramid(self._read_level, self._levels, self.resolution.factors(mpp), box)

    def _read_level(self, box: Box, level: int) -> NDArray[np.uint8]:
        downsample = self._slide.level_downsamples[level]
        corner = (round(box.col * downsample), round(box.row * downsample))
        try:
            return to_rgb(np.asarray(self._slide.read_region(corner, level, (box.width, box.height))))
        except openslide.OpenSlideError as error:
            raise UnreadableSlideError(
                f"cannot decode rows {box.row} to {box.stop_row - 1}, columns {box.col} to {box.stop_col - 1} "
                f"of level {level} of {self._path}: {error}"
            ) from error

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if not self._closed:
            self._closed = True
            self._slide.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
