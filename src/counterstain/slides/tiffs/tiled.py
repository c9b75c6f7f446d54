"""Tiled TIFF and OME-TIFF files of any size, pyramids or flat, of which only the tiles that are asked for are decoded.

Only the image that is analysed is read: labels and overviews, which may show a name, are others.
"""

from pathlib import Path
from typing import Any, Self

import numpy as np
import tifffile
from numpy.typing import NDArray

from counterstain.errors import DamagedTileError, SlideError, UnreadableSlideError
from counterstain.geometry import Box, Size
from counterstain.slides.base import WHOLE_FILE, Damage, Origin, Resolution
from counterstain.slides.pyramid import damage_in_pyramid, is_level, level_of, read_pyramid
from counterstain.slides.tiffs.flat import (
    TIFF_ERRORS,
    check_kind,
    chosen_image,
    page_to_rgb,
    stored_segment,
    white_in,
    white_of,
)
from counterstain.slides.tiffs.images import Level, TiffImage
from counterstain.slides.tiles import TileCache, fill
from counterstain.slides.turning import shown_box, stored_box, turned, turned_size
from counterstain.slides.white_level import FULL, WhiteLevel, with_white

FLAT_PIXELS = 25_000_000
"""Tiled files without a pyramid and with at most this many pixels are decoded whole, which is faster."""

RANGE_TILES = 16
"""Tiles that are looked at to see how bright a 16-bit slide is."""


def reads_in_pieces(image: TiffImage) -> bool:
    """Return whether an image is tiled and is a pyramid or large; a stack, which is refused anyhow, is not."""
    is_large = image.page.imagelength * image.page.imagewidth > FLAT_PIXELS
    return not image.stack and _is_tiled(image.levels[0]) and (is_large or len(_usable(image)) > 1)


class TiledTiffSlide:
    """A ``Slide`` over a tiled TIFF file; a tile that the file leaves out is white.

    Raises
    ------
    UnreadableSlideError
        When the file, or later a part of it, is damaged.
    UnsupportedSlideError
        When it is a stack, has separate fluorescence channels, is not 8 or 16-bit, holds 12-bit values in 16, or needs a codec
        that is not installed.
    """

    def __init__(self, path: Path, *, name: str, resolution: Resolution, origin: Origin = WHOLE_FILE) -> None:
        self._path = path
        self._tile = TileCache(self._decode)
        self._file = tifffile.TiffFile(path)
        self.name = name
        self.resolution = resolution
        try:
            self._image = chosen_image(self._file, path, origin.series)
            check_kind(self._image, path)
            self._stored = _usable(self._image)
            turned_sizes = [turned_size(_size(level), self._image.orientation) for level in self._stored]
            self._levels = [level_of(size, turned_sizes[0]) for size in turned_sizes]
            self._tile(0, _first_tile(self._stored[0]))  # a missing codec is known at once
            self._white = self._white_level(path)
        except TIFF_ERRORS as error:
            self.close()
            raise UnreadableSlideError(f"cannot decode {path}: {error}; the file is damaged or truncated") from error
        except SlideError:
            self.close()
            raise
        self.origin = with_white(origin, self._white)

    def _white_level(self, path: Path) -> WhiteLevel:
        """Return the value of white, by tiles spread over the smallest level where the file does not state it."""
        level = len(self._stored) - 1
        if self._image.page.dtype != np.uint16:
            return FULL
        count = _tiles(self._stored[level])
        chosen = (self._tile(level, index) for index in range(0, count, -(-count // RANGE_TILES)))
        highest = [tile.max(axis=(0, 1)) for tile in chosen if tile is not None]
        return white_of(np.array([highest or [np.zeros(1, np.uint16)]], np.uint16), self._image, path)

    @property
    def size(self) -> Size:
        """Height and width at full resolution."""
        return self._levels[0].size

    def read(self, box: Box, mpp: float) -> NDArray[np.uint8]:
        """Return the (h, w, 3) uint8 pixels of a box in pixels of ``mpp``, from the next finer level; white outside."""
        return read_pyramid(self._read_level, self._levels, self.resolution.factors(mpp), box, self._damage_in)

    def damage(self, box: Box, mpp: float) -> tuple[Damage, ...]:
        """Return the parts of a box that could not be decoded; see ``Slide.damage``."""
        return damage_in_pyramid(self._damage_in, self._levels, self.resolution.factors(mpp), box)

    def _damage_in(self, box: Box, level: int) -> list[Damage]:
        shown, orientation, page = self._levels[level].size, self._image.orientation, self._stored[level][0].page
        tile, across = Size(page.tilelength, page.tilewidth), -(-page.imagewidth // page.tilewidth)
        found = self._tile.damage_in(stored_box(box, shown, orientation), level, tile, across)
        return [Damage(shown_box(damage.box, shown, orientation), damage.reason) for damage in found]

    def _read_level(self, box: Box, level: int) -> NDArray[np.uint8]:
        stored, page = stored_box(box, self._levels[level].size, self._image.orientation), self._stored[level][0].page
        tile, across = Size(page.tilelength, page.tilewidth), -(-page.imagewidth // page.tilewidth)
        pixels = np.full((stored.height, stored.width, _samples(self._stored[level])), white_in(page), page.dtype)
        fill(pixels, stored, tile, across, lambda index: self._tile(level, index))
        return turned(page_to_rgb(pixels, self._image, self._white), self._image.orientation)

    def _decode(self, level: int, index: int) -> NDArray[Any] | None:
        """Return the (h, w, samples) pixels of a tile, None where the file has none."""
        page = self._stored[level][0].page
        try:
            parts = [stored_segment(self._file, part.page, part.first + index, self._path) for part in self._stored[level]]
        except TIFF_ERRORS as error:
            row, col = divmod(index, -(-page.imagewidth // page.tilewidth))
            raise DamagedTileError(
                f"cannot decode tile {index} of level {level} of {self._path}, at row {row * page.tilelength} and "
                f"column {col * page.tilewidth} of the level: {error}"
            ) from error
        found = [part for part in parts if part is not None]
        return np.concatenate(found, axis=-1) if len(found) == len(parts) else None

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()
        self._tile.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _first_tile(level: Level) -> int:
    """Return the index of the first tile that is in the file; 0 when none is."""
    counts: tuple[int, ...] = level[0].page.databytecounts[: _tiles(level)]
    return next((index for index, count in enumerate(counts) if count), 0)


def _tiles(level: Level) -> int:
    """Return the number of tiles of a level."""
    page = level[0].page
    return int(-(-page.imagelength // page.tilelength) * -(-page.imagewidth // page.tilewidth))


def _samples(level: Level) -> int:
    return len(level) if len(level) > 1 else int(level[0].page.samplesperpixel)


def _is_tiled(level: Level) -> bool:
    return all(part.page.is_tiled and part.page.tiledepth <= 1 for part in level)


def _usable(image: TiffImage) -> list[Level]:
    """Return the tiled levels, the largest first; what has another shape or other pixels is not a level."""
    first = image.levels[0]
    return [first, *(level for level in image.levels[1:] if _is_level(level, first))]


def _is_level(level: Level, first: Level) -> bool:
    page, full = level[0].page, first[0].page
    same_kind = (page.dtype, page.photometric, _samples(level)) == (full.dtype, full.photometric, _samples(first))
    return _is_tiled(level) and same_kind and is_level(_size(level), _size(first))


def _size(level: Level) -> Size:
    return Size(level[0].page.imagelength, level[0].page.imagewidth)
