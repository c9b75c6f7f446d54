"""Decode PNG, JPEG, BMP, WebP, GIF, JPEG 2000 and PNM files to 8-bit RGB through Pillow.

Palettes and grey become RGB, 16-bit values are scaled by their range, transparency is composited on white and the EXIF
orientation is applied. Resolution tags of these formats describe a screen or a printer and are not read.
"""

import mmap
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    WebPImagePlugin,
)

from counterstain.errors import UnreadableSlideError, UnsupportedSlideError
from counterstain.images import to_rgb
from counterstain.slides.base import Damage
from counterstain.slides.checks.streams import PNG_MAGIC, check_jpeg_filled, check_png
from counterstain.slides.turning import UPRIGHT
from counterstain.slides.white_level import FULL, LEAST_FULL_RANGE, WhiteLevel, scaled, white_level

MAX_RASTER_PIXELS = 250_000_000
"""Images with more pixels are not decoded: in memory, with the copies that are made of them, or as decompression bombs."""

RASTER_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "JPEG2000", "PPM")

PLUGINS = (
    PngImagePlugin,
    JpegImagePlugin,
    BmpImagePlugin,
    WebPImagePlugin,
    GifImagePlugin,
    Jpeg2KImagePlugin,
    PpmImagePlugin,
)
"""What tells Pillow how to read these formats, once it is imported; ``Image.init`` would import forty others too."""

_DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, MemoryError)
_PLAIN_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """An image that was decoded whole."""

    pixels: NDArray[np.uint8]
    """(h, w, 3) uint8 RGB, as it is shown."""
    white: WhiteLevel = FULL
    orientation: int = UPRIGHT
    """The orientation tag that was followed."""
    damaged: tuple[Damage, ...] = ()
    """The parts that cannot be decoded, which are white."""


def decode_raster(path: Path, formats: tuple[str, ...] = RASTER_FORMATS) -> Decoded:
    """Return the pixels of an image file.

    Parameters
    ----------
    path : file whose content, not its suffix, says what it is.
    formats : Pillow's names of the formats to try.

    Raises
    ------
    UnreadableSlideError
        When no format fits, the file is damaged or truncated, or it has more than ``MAX_RASTER_PIXELS``.
    UnsupportedSlideError
        When it is animated, CMYK or of another colour model that cannot be converted without guessing, or has 16-bit values
        whose white is not known.
    """
    with path.open("rb") as file:
        _check_stream(file, path)
        image = _open(file, path, formats)
        check_pixel_count(image.height, image.width, path)
        _check_kind(image, path)
        try:
            return _decode(image, path)
        except _DECODING_ERRORS as error:
            raise UnreadableSlideError(f"cannot decode {path}: {error}; the file is damaged or truncated") from error


def _check_stream(file: BinaryIO, path: Path) -> None:
    """Compare the checksums of a PNG file, which Pillow does not for its pixels."""
    is_png = file.read(len(PNG_MAGIC)) == PNG_MAGIC
    file.seek(0)
    if is_png:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                check_png(content)
        except ValueError as error:
            raise UnreadableSlideError(f"cannot decode {path}: {error}; the file is damaged or truncated") from error


def is_raster(head: bytes) -> bool:
    """Return whether the first 16 bytes of a file are those of one of ``RASTER_FORMATS``."""
    return any(_accepts(name, head) for name in RASTER_FORMATS)


def _accepts(name: str, head: bytes) -> bool:
    accept = Image.OPEN[name][1] if name in Image.OPEN else None
    return accept is not None and accept(head) is True


def check_pixel_count(height: int, width: int, path: Path) -> None:
    """Refuse an image that is too large to be decoded whole, from its header.

    Raises
    ------
    UnreadableSlideError
        When it has more than ``MAX_RASTER_PIXELS``.
    """
    if height * width > MAX_RASTER_PIXELS:
        raise UnreadableSlideError(
            f"{path} says it has {height} x {width} pixels, more than the {MAX_RASTER_PIXELS:,} that are decoded in memory; "
            "save it as a tiled, pyramidal TIFF"
        )


def _open(file: BinaryIO, path: Path, formats: tuple[str, ...]) -> ImageFile.ImageFile:
    """Read the header. ``Image.open`` is not used: its own limit on pixels is one global setting of the whole process."""
    head = file.read(16)
    file.seek(0)
    for name in formats:
        if _accepts(name, head):
            try:
                return Image.OPEN[name][0](file, str(path))
            except _DECODING_ERRORS as error:
                raise UnreadableSlideError(
                    f"cannot read {path} as {name}: {error}; the file is damaged or truncated"
                ) from error
    raise UnreadableSlideError(f"{path} is not an image that can be read; expected PNG, JPEG, TIFF, OME-TIFF, BMP or WebP")


def _check_kind(image: ImageFile.ImageFile, path: Path) -> None:
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise UnsupportedSlideError(f"{path} is animated or has several pages; save the one to analyse as an image of its own")
    if image.mode == "CMYK":
        raise UnsupportedSlideError(
            f"{path} is a CMYK image, whose colours depend on a printer; convert it to RGB, for example with: "
            f"magick {path.name} -colorspace sRGB {path.stem}.png"
        )
    if image.mode not in _PLAIN_MODES and not image.mode.startswith("I;16"):
        raise UnsupportedSlideError(
            f"{path} has pixels of Pillow mode {image.mode}, whose black and white are not defined; save it as 8-bit RGB"
        )


def _decode(image: Image.Image, path: Path) -> Decoded:
    is_deep = any("16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    if image.format in ("JPEG", "MPO"):
        check_jpeg_filled(np.asarray(image.crop((max(0, image.width - 8), max(0, image.height - 8), *image.size))))
    orientation = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    ImageOps.exif_transpose(image, in_place=True)
    orientation = orientation if orientation in range(2, 9) else UPRIGHT
    if image.mode.startswith("I;16"):
        samples = np.asarray(image).astype(np.uint16)
        white = white_level(int(samples.max(initial=0)), path)
        return Decoded(pixels=to_rgb(scaled(samples, white)), white=white, orientation=orientation)
    pixels = np.asarray(image if image.mode == "RGB" and not image.has_transparency_data else image.convert(_mode(image)))
    if is_deep:
        _check_deep(pixels, path)
    return Decoded(pixels=to_rgb(pixels), orientation=orientation)


def _check_deep(pixels: NDArray[np.uint8], path: Path) -> None:
    """Refuse colours of 16 bits below full range: Pillow keeps the upper byte, in which little of them is left.

    Raises
    ------
    UnsupportedSlideError
        The image is too dark for full range.
    """
    highest = int(pixels[..., :3].max(initial=0))
    if 0 < highest < LEAST_FULL_RANGE >> 8:
        raise UnsupportedSlideError(
            f"{path} is a 16-bit file whose values end at {highest * 257} (12-bit camera?), and it does not say what is white; "
            "scale it to 8 bit"
        )


def _mode(image: Image.Image) -> str:
    return "RGBA" if image.has_transparency_data else "RGB"
