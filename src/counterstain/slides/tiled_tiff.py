"""Tiled TIFF and OME-TIFF files of any size, pyramids or flat, of which only the tiles that are asked for are decoded.

Only the first series of a file is read: labels and overviews, which may show a name, are other series or pages.
"""

from pathlib import Path
from typing import Any, Self

import numpy as np
import tifffile
from numpy.typing import NDArray

from counterstain.errors import UnreadableSlideError, UnsupportedSlideError
from counterstain.extras import needs
from counterstain.geometry import Box, Size
from counterstain.slides.base import Resolution
from counterstain.slides.pyramid import is_level, level_of, read_pyramid
from counterstain.slides.raster import check_range
from counterstain.slides.tiff import DARK_IS_ZERO, TIFF_ERRORS, check_complete, check_kind, page_to_rgb
from counterstain.slides.tiles import TileCache, fill

FLAT_PIXELS = 25_000_000
"""Tiled files without a pyramid and with at most this many pixels are decoded whole, which is faster."""

RANGE_TILES = 16
"""Tiles that are looked at to see how bright a 16-bit slide is."""


def reads_in_pieces(path: Path) -> bool:
    """Return whether a TIFF file is tiled, with the samples of a pixel together, and is a pyramid or large.

    Raises
    ------
    UnreadableSlideError
        When the file is damaged.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.series[0].keyframe
            is_large = page.imagelength * page.imagewidth > FLAT_PIXELS
            return _is_tiled(page) and (is_large or len(_level_pages(tiff.series[0])) > 1)
    except TIFF_ERRORS as error:
        raise UnreadableSlideError(f"cannot decode {path}: {error}; the file is damaged or truncated") from error


def lacks_codec(path: Path) -> bool:
    """Return whether the tiles of a file are compressed in a way that only imagecodecs, which is not installed, knows."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.series[0].keyframe
        index = _first_tile(page)
        try:
            tiff.filehandle.seek(page.dataoffsets[index])
            page.decode(tiff.filehandle.read(page.databytecounts[index]), index, jpegtables=page.jpegtables)
        except TIFF_ERRORS as error:
            return _names_imagecodecs(error)
    return False


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

    def __init__(self, path: Path, *, name: str, resolution: Resolution) -> None:
        self._path = path
        self._tile = TileCache(self._decode)
        self._file = tifffile.TiffFile(path)
        self.name = name
        self.resolution = resolution
        try:
            series = self._file.series[0]
            check_kind(series, path)
            self._pages = _level_pages(series)
            for page in self._pages:
                check_complete(page, path)
            self._levels = [level_of(_size(page), _size(self._pages[0])) for page in self._pages]
            self._tile(0, _first_tile(self._pages[0]))  # a missing codec is known at once
            self._check_range(path)
        except TIFF_ERRORS as error:
            self.close()
            raise UnreadableSlideError(f"cannot decode {path}: {error}; the file is damaged or truncated") from error
        except (UnreadableSlideError, UnsupportedSlideError):
            self.close()
            raise

    def _check_range(self, path: Path) -> None:
        """Refuse 12-bit values in 16 bits, by tiles spread over the smallest level."""
        page = self._pages[-1]
        if page.dtype != np.uint16 or page.photometric not in DARK_IS_ZERO:
            return
        level, count = len(self._pages) - 1, len(page.dataoffsets)
        colours = page.samplesperpixel - len(page.extrasamples)
        chosen = (self._tile(level, index) for index in range(0, count, -(-count // RANGE_TILES)))
        check_range(np.array([tile[..., :colours].max() for tile in chosen if tile is not None], np.uint16), path)

    @property
    def size(self) -> Size:
        """Height and width at full resolution."""
        return self._levels[0].size

    def read(self, box: Box, mpp: float) -> NDArray[np.uint8]:
        """Return the (h, w, 3) uint8 pixels of a box in pixels of ``mpp``, from the next finer level; white outside."""
        return read_pyramid(self._read_level, self._levels, self.resolution.factors(mpp), box)

    def _read_level(self, box: Box, level: int) -> NDArray[np.uint8]:
        page = self._pages[level]
        tile, across = Size(page.tilelength, page.tilewidth), -(-page.imagewidth // page.tilewidth)
        pixels = np.full((box.height, box.width, page.samplesperpixel), _white(page), page.dtype)
        fill(pixels, box, tile, across, lambda index: self._tile(level, index))
        return page_to_rgb(pixels if page.samplesperpixel > 1 else pixels[..., 0], page)

    def _decode(self, level: int, index: int) -> NDArray[Any] | None:
        """Return the (h, w, samples) pixels of a tile, None where the file has none."""
        page = self._pages[level]
        start, count = page.dataoffsets[index], page.databytecounts[index]
        if not count:
            return None
        try:
            self._file.filehandle.seek(start)
            content = self._file.filehandle.read(count)
            segment, _, _ = page.decode(content, index, jpegtables=page.jpegtables)
        except TIFF_ERRORS as error:
            if _names_imagecodecs(error):
                raise UnsupportedSlideError(
                    needs(f"{self._path} is compressed with {page.compression.name}, which", ["imagecodecs"], "slides")
                ) from error
            row, col = divmod(index, -(-page.imagewidth // page.tilewidth))
            raise UnreadableSlideError(
                f"cannot decode tile {index} of level {level} of {self._path}, at row {row * page.tilelength} and "
                f"column {col * page.tilewidth} of the level: {error}"
            ) from error
        return None if segment is None else np.asarray(segment[0])

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()
        self._tile.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _first_tile(page: Any) -> int:
    """Return the index of the first tile that is in the file; 0 when none is."""
    return next((index for index, count in enumerate(page.databytecounts) if count), 0)


def _names_imagecodecs(error: Exception) -> bool:
    """Return whether tifffile says that it needs imagecodecs; it has no error of its own for that."""
    return "imagecodecs" in str(error) and isinstance(error, ValueError)


def _is_tiled(page: Any) -> bool:
    return bool(page.is_tiled and page.planarconfig == tifffile.PLANARCONFIG.CONTIG and page.tiledepth <= 1)


def _level_pages(series: Any) -> list[Any]:
    """Return the tiled pages of the pyramid, the largest first; what has another shape or other pixels is no level."""
    first = series.keyframe
    return [first, *(level.keyframe for level in series.levels[1:] if _is_level(level.keyframe, first))]


def _is_level(page: Any, first: Any) -> bool:
    same_kind = (page.dtype, page.samplesperpixel, page.photometric) == (first.dtype, first.samplesperpixel, first.photometric)
    return _is_tiled(page) and same_kind and is_level(_size(page), _size(first))


def _size(page: Any) -> Size:
    return Size(page.imagelength, page.imagewidth)


def _white(page: Any) -> int:
    """Return the value that means white in the page's own terms; in a palette, that is the brightest colour."""
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        return 0
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        return int(np.argmax(page.colormap.astype(np.int64).sum(axis=0)))
    return 1 if page.dtype == np.bool_ else int(np.iinfo(page.dtype).max)
