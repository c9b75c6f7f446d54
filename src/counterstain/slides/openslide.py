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

from counterstain.errors import DamagedTileError, UnreadableSlideError
from counterstain.geometry import Box, Size
from counterstain.images import to_rgb
from counterstain.slides.base import WHITE, WHOLE_FILE, Damage, Resolution
from counterstain.slides.pixel_size import Stated, nominal, stated
from counterstain.slides.pyramid import Level, damage_in_pyramid, level_of, read_pyramid
from counterstain.slides.tiles import TileCache, fill

_GENERIC = "generic-tiff"
"""OpenSlide's name of a tiled TIFF that no scanner has signed."""

_BOUNDS = tuple(getattr(openslide, f"PROPERTY_NAME_BOUNDS_{side}") for side in ("Y", "X", "HEIGHT", "WIDTH"))


TILE_PX, MAX_TILE_PX = 256, 4096
"""Side of the pieces in which damage is looked for, where a format does not state that of its tiles; and the largest that is
believed."""


def is_whole_slide(path: Path) -> bool:
    """Return whether a scanner's format is recognised; a generic TIFF does not count."""
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
        When the slide cannot be opened, or later not opened again after a tile that cannot be decoded.
    """

    def __init__(self, path: Path, *, name: str, resolution: Resolution) -> None:
        self._path = path
        self._slide = _open(path)
        self._bounds = _bounds(self._slide)
        self._levels = _levels(self._slide, self._bounds)
        self._tile = TileCache(self._decode, limit_bytes=0)  # OpenSlide keeps its own
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
        return read_pyramid(self._read_level, self._levels, self.resolution.factors(mpp), box, self._damage_in)

    def damage(self, box: Box, mpp: float) -> tuple[Damage, ...]:
        """Return the parts of a box that could not be decoded; see ``Slide.damage``."""
        return damage_in_pyramid(self._damage_in, self._levels, self.resolution.factors(mpp), box)

    def _damage_in(self, box: Box, level: int) -> list[Damage]:
        rows, cols = self._offset(level)
        found = self._tile.damage_in(box.shifted(rows, cols), level, *self._lattice(level))
        return [Damage(damage.box.shifted(-rows, -cols), damage.reason) for damage in found]

    def _read_level(self, box: Box, level: int) -> NDArray[np.uint8]:
        """Read a box at once, or tile by tile where a part of it is damaged."""
        try:
            return self._read_region(box, level)
        except DamagedTileError:
            pixels = np.full((box.height, box.width, 3), WHITE, np.uint8)
            stored = box.shifted(*self._offset(level))
            fill(pixels, stored, *self._lattice(level), lambda number: self._tile(level, number))
            return pixels

    def _decode(self, level: int, number: int) -> NDArray[np.uint8]:
        tile, across = self._lattice(level)
        row, col = divmod(number, across)
        rows, cols = self._offset(level)
        return self._read_region(Box(row * tile.height - rows, col * tile.width - cols, tile.height, tile.width), level)

    def _offset(self, level: int) -> tuple[int, int]:
        """Return the row and column of the first pixel of the slide in the stored level, whose tiles begin at (0, 0)."""
        downsample = self._slide.level_downsamples[level]
        return round(self._bounds.row / downsample), round(self._bounds.col / downsample)

    def _lattice(self, level: int) -> tuple[Size, int]:
        """Return the size of the tiles of a level, as far as the format has tiles, and the number of them in a row."""
        sides = (self._slide.properties.get(f"openslide.level[{level}].tile-{side}") for side in ("height", "width"))
        height, width = (int(side) if side and side.isdecimal() and 0 < int(side) <= MAX_TILE_PX else TILE_PX for side in sides)
        return Size(height, width), -(-self._slide.level_dimensions[level][0] // width)

    def _read_region(self, box: Box, level: int) -> NDArray[np.uint8]:
        downsample = self._slide.level_downsamples[level]
        corner = (self._bounds.col + round(box.col * downsample), self._bounds.row + round(box.row * downsample))
        try:
            return to_rgb(np.asarray(self._slide.read_region(corner, level, (box.width, box.height))))
        except openslide.OpenSlideError as error:
            self._slide.close()
            self._slide = _open(self._path)  # after an error, a handle fails for ever
            raise DamagedTileError(
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
