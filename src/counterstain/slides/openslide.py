"""Whole slides of the scanner vendors through OpenSlide, read piece by piece from the level that fits."""

from pathlib import Path
from typing import Self

import numpy as np
import openslide
from numpy.typing import NDArray

from counterstain.errors import UnreadableSlideError
from counterstain.geometry import Box, Size
from counterstain.images import to_rgb
from counterstain.slides.base import Resolution
from counterstain.slides.resampling import read_resampled

_FLAT_FORMATS = (None, "generic-tiff")


def is_whole_slide(path: Path) -> bool:
    """Return whether a scanner's format is recognised; a generic TIFF is none."""
    try:
        return openslide.OpenSlide.detect_format(path) not in _FLAT_FORMATS
    except openslide.OpenSlideError:
        return False


def stated_mpp(path: Path) -> float | None:
    """Return the micrometres per pixel in the slide's properties, or None.

    Raises
    ------
    UnreadableSlideError
        When the slide cannot be opened.
    """
    with _open(path) as slide:
        sides = [slide.properties.get(name) for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)]
    values = [float(side) for side in sides if side]
    return sum(values) / len(values) if values and min(values) > 0 else None


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
        factor = mpp / self.resolution.mpp
        level = self._slide.get_best_level_for_downsample(factor * (1 + 1e-6))
        downsample = self._slide.level_downsamples[level]
        width, height = self._slide.level_dimensions[level]
        inside = box.intersection(Box.whole(self.size.scaled(1 / factor)))
        pixels = np.full((box.height, box.width, 3), 255, np.uint8)
        part = read_resampled(lambda source: self._read_level(source, level), Size(height, width), factor / downsample, inside)
        pixels[inside.shifted(-box.row, -box.col).slices] = part
        return pixels

    def _read_level(self, box: Box, level: int) -> NDArray[np.uint8]:
        downsample = self._slide.level_downsamples[level]
        corner = (round(box.col * downsample), round(box.row * downsample))
        try:
            return to_rgb(np.asarray(self._slide.read_region(corner, level, (box.width, box.height))))
        except openslide.OpenSlideError as error:
            raise UnreadableSlideError(f"cannot read {box} of level {level} of {self._path}: {error}") from error

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if not self._closed:
            self._closed = True
            self._slide.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
