"""Whole slides of the scanner vendors through OpenSlide, read piece by piece from the level that fits.

Labels and overviews (OpenSlide's associated images), which may show a name, are never read.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import openslide
from numpy.typing import NDArray

from counterstain.errors import UnreadableSlideError
from counterstain.geometry import Box, Size
from counterstain.images import to_rgb
from counterstain.slides.base import WHOLE_FILE, Resolution
from counterstain.slides.pixel_size import Stated, nominal, stated
from counterstain.slides.pyramid import Level, level_of, read_pyramid

_GENERIC = "generic-tiff"
"""OpenSlide's name of a tiled TIFF that no scanner has signed."""

_BOUNDS = tuple(getattr(openslide, f"PROPERTY_NAME_BOUNDS_{side}") for side in ("Y", "X", "HEIGHT", "WIDTH"))


def is_whole_slide(path: Path) -> bool:
    """Return whether a scanner's format is recognised; a generic TIFF is none."""
    try:
        return openslide.OpenSlide.detect_format(path) not in (None, _GENERIC)
    except openslide.OpenSlideError:
        return False


def opens(path: Path) -> bool:
    """Return whether a scanner's format is recognised and its compression is known: of CZI, JPEG XR is not."""
    if not is_whole_slide(path):
        return False
    try:
        _open(path).close()
    except UnreadableSlideError:
        return False
    return True


def stated_by_openslide(path: Path) -> Stated:
    """Return the micrometres per pixel down and across in the slide's properties.

    A slide that states its objective (``AppMag``) and no pixel size has that of the convention that 40x is 0.25.

    Raises
    ------
    UnreadableSlideError
        When the slide cannot be opened.
    """
    with _open(path) as slide:
        names = (openslide.PROPERTY_NAME_MPP_Y, openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_OBJECTIVE_POWER)
        down, across, objective = (_positive(slide.properties.get(name)) for name in names)
    found = stated((down or across or 0.0, across or down or 0.0)) if down or across else Stated()
    if found.sides or not objective:
        return found
    return nominal(objective, found.doubt)


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

    Where the file says which part of the glass was scanned, the slide is that part, as QuPath shows it: its first pixel is the
    first of the part.

    Raises
    ------
    UnreadableSlideError
        When the slide, or later a part of it, cannot be read.
    """

    def __init__(self, path: Path, *, name: str, resolution: Resolution) -> None:
        self._path = path
        self._slide = _open(path)
        self._bounds = _bounds(self._slide)
        self._levels = _levels(self._slide, self._bounds)
        self._closed = False
        self.name = name
        self.resolution = resolution
        self.origin = replace(WHOLE_FILE, row_px=self._bounds.row, col_px=self._bounds.col)

    @property
    def size(self) -> Size:
        """Height and width at full resolution."""
        return self._bounds.size

    def read(self, box: Box, mpp: float) -> NDArray[np.uint8]:
        """Return the (h, w, 3) uint8 pixels of a box in pixels of ``mpp``, from the next finer level; white outside."""
        return read_pyramid(self._read_level, self._levels, self.resolution.factors(mpp), box)

    def _read_level(self, box: Box, level: int) -> NDArray[np.uint8]:
        downsample = self._slide.level_downsamples[level]
        corner = (self._bounds.col + round(box.col * downsample), self._bounds.row + round(box.row * downsample))
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


def _bounds(slide: openslide.OpenSlide) -> Box:
    """Return the part of the glass that was scanned, by the rule of QuPath: all four sides are stated, else it is the whole."""
    width, height = slide.dimensions
    whole = Box(0, 0, height, width)
    try:
        row, col, rows, cols = (int(slide.properties[name]) for name in _BOUNDS)
        stated_part = Box(row, col, rows, cols).intersection(whole)
    except (KeyError, ValueError):
        return whole
    return stated_part if stated_part.size.area else whole


def _levels(slide: openslide.OpenSlide, bounds: Box) -> list[Level]:
    """Return the levels of a part of a slide."""
    width, height = slide.dimensions
    if bounds == Box(0, 0, height, width):
        return [level_of(Size(rows, cols), bounds.size) for cols, rows in slide.level_dimensions]
    steps = [level_of(Size(rows, cols), Size(height, width)).downsample for cols, rows in slide.level_dimensions]
    return [Level(Size(*(math.ceil(side / step) for side in (bounds.height, bounds.width))), step) for step in steps]
