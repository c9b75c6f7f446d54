"""Decode flat, tiled and OME-TIFF files to 8-bit RGB through tifffile.

Level 0 of the image that is analysed is decoded whole. Grey, palette, 16-bit and planar data are converted, alpha is composited
on white, and the orientation tag is followed.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from counterstain.errors import UnreadableSlideError, UnsupportedSlideError
from counterstain.geometry import Box, Size
from counterstain.images import to_rgb
from counterstain.slides.base import WHITE, Damage, Origin
from counterstain.slides.choosing import Candidate, choose
from counterstain.slides.raster import Decoded, check_pixel_count
from counterstain.slides.tiffs.images import Level, TiffImage, images_of
from counterstain.slides.tiffs.segments import decode_segment
from counterstain.slides.turning import shown_box, turned, with_turn
from counterstain.slides.white_level import FULL, WhiteLevel, scaled, white_level

TIFF_ERRORS = (
    *(OSError, ValueError, IndexError, KeyError, TypeError, AttributeError, ArithmeticError, RuntimeError, MemoryError),
    *(struct.error, zlib.error),
)
_YCBCR = tifffile.PHOTOMETRIC.YCBCR
_PHOTOMETRIC_MEANING = {
    5: "CMYK (separated)",
    6: "YCbCr (without JPEG)",
    8: "CIELAB",
    9: "ICCLAB",
    32803: "a raw camera mosaic",
    32844: "LogL",
}


def headers_of_tiff(path: Path, series: int | None) -> tuple[TiffImage, Origin]:
    """Return the image with a number, or the one of full size, and what the record says of it.

    Raises
    ------
    UnreadableSlideError
        When the file is damaged.
    UnsupportedSlideError
        When there are several of full size, or none with the number; see ``choose``.
    """
    images = _listed(path)
    origin = choose([image.candidate for image in images], path, series)
    image = images[origin.series]
    origin = replace(origin, warnings=(*origin.warnings, *_unscanned(image.levels[0])))
    return image, with_turn(origin, image.orientation)


def _unscanned(level: Level) -> list[str]:
    """Return a warning of tiles that have no place in the file, by which some scanners leave out glass."""
    places = [pair for part in level for pair in zip(part.page.dataoffsets, part.page.databytecounts, strict=False)]
    count = sum(not start and not length for start, length in places)
    return (
        [f"{count:,} of {len(places):,} tiles are not in the file and are taken for glass that was not scanned"]
        if count
        else []
    )


def candidates_of_tiff(path: Path) -> list[Candidate]:
    """Return all images of a file; raises what ``headers_of_tiff`` raises."""
    return [image.candidate for image in _listed(path)]


def _listed(path: Path) -> list[TiffImage]:
    try:
        with tifffile.TiffFile(path) as tiff:
            return images_of(tiff)
    except TIFF_ERRORS as error:
        raise UnreadableSlideError(f"cannot decode {path}: {error}; the file is damaged or truncated") from error


def chosen_image(tiff: tifffile.TiffFile, path: Path, series: int | None) -> TiffImage:
    """Return the image with a number, or the one of full size; see ``choose`` for what is refused."""
    images = images_of(tiff)
    number = choose([image.candidate for image in images], path, series).series
    return images[number]


def decode_tiff(path: Path, series: int | None = None) -> Decoded:
    """Return the pixels of an image of a TIFF file.

    Parameters
    ----------
    series : its number in the file; None takes the one of full size.

    Raises
    ------
    UnreadableSlideError
        When the file is damaged, truncated or too large to decode whole.
    UnsupportedSlideError
        When it is a stack, has separate fluorescence channels, is not 8 or 16-bit, holds 16-bit values whose white is not
        known, or needs a codec that is not installed.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            image = chosen_image(tiff, path, series)
            check_kind(image, path)
            check_pixel_count(image.page.imagelength, image.page.imagewidth, path)
            pixels, damaged = _decode(tiff, image.levels[0], path)
            white = white_of(pixels, image, path)
            shown = np.ascontiguousarray(turned(page_to_rgb(pixels, image, white), image.orientation))
            places = (shown_box(damage.box, Size(*shown.shape[:2]), image.orientation) for damage in damaged)
            found = tuple(Damage(place, damage.reason) for place, damage in zip(places, damaged, strict=True))
            return Decoded(pixels=_white_where(found, shown), white=white, orientation=image.orientation, damaged=found)
    except TIFF_ERRORS as error:
        raise UnreadableSlideError(f"cannot decode {path}: {error}; the file is damaged or truncated") from error


def check_kind(image: TiffImage, path: Path) -> None:
    """Check that an image is one RGB or grey image of defined colours.

    Raises
    ------
    UnreadableSlideError
        When it has no pixels.
    UnsupportedSlideError
        When it is a stack, has separate channels or pixels whose colours would be a guess.
    """
    page = image.page
    if not page.imagelength * page.imagewidth:
        raise UnreadableSlideError(f"{path} holds no pixels; the file is damaged or truncated")
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and not _has_its_colours(page):
        raise UnreadableSlideError(f"{path} names colours of a palette that it does not hold; the file is damaged")
    if image.stack:
        raise UnsupportedSlideError(
            f"{path} is {image.stack}, expected one RGB or grey image; if its planes are red, green and blue, save it as RGB "
            "(in ImageJ: Image, Type, RGB Color); of focal planes, save the sharpest as an image of its own"
        )
    if len(page.extrasamples) > 1 and not image.is_of_colours:
        raise UnsupportedSlideError(
            f"{path} has {page.samplesperpixel} samples per pixel, expected grey, RGB or RGBA; if they are red, green and "
            "blue, save it as RGB, which says so"
        )
    meaning = _PHOTOMETRIC_MEANING.get(int(page.photometric))
    if meaning and not (page.photometric == _YCBCR and page.compression == tifffile.COMPRESSION.JPEG):
        raise UnsupportedSlideError(f"{path} has {meaning} pixels, whose colours would be a guess; convert it to RGB")
    if page.dtype not in (np.bool_, np.uint8, np.uint16):
        raise UnsupportedSlideError(
            f"{path} has {page.dtype} pixels, whose black and white are not defined; save it as 8-bit RGB"
        )


def white_of(pixels: NDArray[Any], image: TiffImage, path: Path) -> WhiteLevel:
    """Return the value of white by (h, w, samples) pixels, or the brightest of some; raises what ``white_level`` raises."""
    page = image.page
    if pixels.dtype != np.uint16 or page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        return FULL
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        return FULL if image.white is None else white_level(int(pixels.max(initial=0)), path, image.white)
    colours = pixels.shape[-1] if image.is_of_colours else page.samplesperpixel - len(page.extrasamples)
    return white_level(int(pixels[..., :colours].max(initial=0)), path, image.white)


def _decode(tiff: tifffile.TiffFile, level: Level, path: Path) -> tuple[NDArray[Any], list[Damage]]:
    """Return the (h, w, samples) pixels of a level, and the strips or tiles that are damaged."""
    page = level[0].page
    samples = len(level) if len(level) > 1 else page.samplesperpixel
    pixels = np.full((page.imagelength, page.imagewidth, samples), white_in(page), page.dtype)
    damaged: list[Damage] = []
    for number, part in enumerate(level):
        of_part = pixels if len(level) == 1 else pixels[..., number : number + 1]
        damaged += _fill(of_part, tiff, part.page, part.first, path)
    if sum(box.size.area for box in {damage.box for damage in damaged}) >= pixels.shape[0] * pixels.shape[1]:
        raise UnreadableSlideError(f"{damaged[0].reason}; nothing else is left of it, the file is damaged or truncated")
    return pixels, damaged


def _fill(pixels: NDArray[Any], tiff: tifffile.TiffFile, page: Any, first: int, path: Path) -> Iterator[Damage]:
    """Decode every strip or tile of a part of a page into its (h, w, samples) pixels, and yield those that are damaged."""
    name = "tile" if page.is_tiled else "strip"
    height, width = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    across = -(-page.imagewidth // width)
    for number in range(-(-page.imagelength // height) * across):
        row, col = number // across * height, number % across * width
        try:
            segment = stored_segment(tiff, page, first + number, path)
        except TIFF_ERRORS as error:
            box = Box(row, col, height, width).intersection(Box.whole(Size(*pixels.shape[:2])))
            yield Damage(box, f"cannot decode {name} {number} of {path}, at row {row} and column {col}: {error}")
            continue
        if segment is not None:
            target = pixels[row : row + height, col : col + width]
            target[: segment.shape[0], : segment.shape[1]] = segment[: target.shape[0], : target.shape[1]]


def _white_where(damaged: Sequence[Damage], pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (h, w, 3) pixels, white in damaged parts: of three planes, only one may be damaged."""
    for damage in damaged:
        pixels[damage.box.slices] = WHITE
    return pixels


def stored_segment(tiff: tifffile.TiffFile, page: Any, index: int, path: Path) -> NDArray[Any] | None:
    """Return the (h, w, samples) pixels of a strip or tile; None of glass that was not scanned, which has no place in the file.

    Raises
    ------
    ValueError, OSError, ...
        It is damaged, or lies outside the file; see ``decode_segment``.
    """
    start, count = page.dataoffsets[index], page.databytecounts[index]
    if not start and not count:
        return None
    if not start or not count or start + count > tiff.filehandle.size:
        raise ValueError(f"it should lie at byte {start:,} to {start + count:,} of {tiff.filehandle.size:,}")
    tiff.filehandle.seek(start)
    return decode_segment(page, index, tiff.filehandle.read(count), path)


def _has_its_colours(page: Any) -> bool:
    """Return whether a page of a palette has a colour for every value that its pixels can have."""
    colours = page.colormap
    return colours is not None and bool(colours.ndim == 2 and colours.shape[1] >= 2**page.bitspersample)


def white_in(page: Any) -> int:
    """Return the value that means white in the page's own terms; in a palette, that is the brightest colour."""
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        return 0
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        return int(np.argmax(page.colormap.astype(np.int64).sum(axis=0)))
    return 1 if page.dtype == np.bool_ else int(np.iinfo(page.dtype).max)


def page_to_rgb(pixels: NDArray[Any], image: TiffImage, white: WhiteLevel) -> NDArray[np.uint8]:
    """Return (h, w, samples) pixels of an image, as they were decoded, as (h, w, 3) uint8 RGB."""
    page = image.page
    if image.is_of_colours:
        return to_rgb(_eight_bit(pixels, white))
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and pixels.shape[2] == 1:
        colours = (page.colormap >> 8).astype(np.uint8)  # right for writers that scale 8 bits by 257 and by 256
        return np.asarray(colours.T[pixels[..., 0]])  # (h, w, 3)
    pixels = _eight_bit(pixels, white)
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        pixels = np.invert(pixels)
    return to_rgb(_without_extra_sample(pixels, page))


def _eight_bit(pixels: NDArray[Any], white: WhiteLevel) -> NDArray[Any]:
    return scaled(pixels, white) if pixels.dtype == np.uint16 else pixels


def _without_extra_sample(pixels: NDArray[Any], page: Any) -> NDArray[Any]:
    """Drop a last sample of no stated meaning, composite one that colours are multiplied with, leave plain alpha."""
    if not page.extrasamples or page.extrasamples[0] == tifffile.EXTRASAMPLE.UNASSALPHA:
        return pixels
    if page.extrasamples[0] == tifffile.EXTRASAMPLE.UNSPECIFIED:
        return pixels[..., :-1]
    white = np.iinfo(pixels.dtype).max
    room = white - pixels[..., -1:]  # what shows of the white ground
    return np.asarray(np.minimum(pixels[..., :-1], white - room) + room)
