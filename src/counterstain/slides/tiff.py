"""Decode flat, tiled and OME-TIFF files to 8-bit RGB through tifffile, and find their pixel size.

Level 0 of the first series is decoded whole. Grey, palette, 16-bit and planar data are converted, alpha is composited on white.
"""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from counterstain.errors import UnreadableSlideError, UnsupportedSlideError
from counterstain.extras import needs
from counterstain.images import to_rgb
from counterstain.slides.raster import check_pixel_count, check_range, decode_raster

TIFF_ERRORS = (OSError, ValueError, IndexError, KeyError, TypeError, RuntimeError, struct.error, zlib.error, MemoryError)
_YCBCR = tifffile.PHOTOMETRIC.YCBCR
DARK_IS_ZERO = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
_PHOTOMETRIC_MEANING = {
    5: "CMYK (separated)",
    6: "YCbCr (without JPEG)",
    8: "CIELAB",
    9: "ICCLAB",
    32803: "a raw camera mosaic",
    32844: "LogL",
}


def decode_tiff(path: Path) -> NDArray[np.uint8]:
    """Return the pixels of the first image of a TIFF file.

    Returns
    -------
    (h, w, 3) uint8 RGB.

    Raises
    ------
    UnreadableSlideError
        When the file is damaged, truncated or too large to decode whole.
    UnsupportedSlideError
        When it is a stack, has separate fluorescence channels, is not 8 or 16-bit, holds 12-bit values in 16, or needs a codec
        that is not installed.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            check_kind(series, path)
            check_pixel_count(series.keyframe.imagelength, series.keyframe.imagewidth, path)
            check_complete(series.keyframe, path)
            page, pixels = series.keyframe, _decode(series, path)
            if pixels.dtype == np.uint16 and page.photometric in DARK_IS_ZERO:
                colours = page.samplesperpixel - len(page.extrasamples)
                check_range(pixels[..., :colours] if pixels.ndim == 3 else pixels, path)
            return page_to_rgb(pixels, page)
    except TIFF_ERRORS as error:
        raise UnreadableSlideError(f"cannot decode {path}: {error}; the file is damaged or truncated") from error


def check_kind(series: Any, path: Path) -> None:
    """Check that a series is one RGB or grey image of defined colours.

    Raises
    ------
    UnreadableSlideError
        When it has no pixels.
    UnsupportedSlideError
        When it is a stack, has separate channels or pixels whose colours would be a guess.
    """
    page = series.keyframe
    if not page.imagelength * page.imagewidth:
        raise UnreadableSlideError(f"{path} holds no pixels; the file is damaged or truncated")
    axes = "".join(axis for axis, length in zip(series.axes, series.shape, strict=True) if length > 1 or axis in "YXS")
    if axes not in ("YX", "YXS", "SYX"):
        raise UnsupportedSlideError(
            f"{path} is a stack with axes {series.axes} and shape {series.shape}, expected one RGB or grey image; "
            "save the plane to analyse as an RGB image of its own"
        )
    if len(page.extrasamples) > 1:
        raise UnsupportedSlideError(f"{path} has {page.samplesperpixel} samples per pixel, expected grey, RGB or RGBA")
    meaning = _PHOTOMETRIC_MEANING.get(int(page.photometric))
    if meaning and not (page.photometric == _YCBCR and page.compression == tifffile.COMPRESSION.JPEG):
        raise UnsupportedSlideError(f"{path} has {meaning} pixels, whose colours would be a guess; convert it to RGB")
    if page.dtype not in (np.bool_, np.uint8, np.uint16):
        raise UnsupportedSlideError(
            f"{path} has {page.dtype} pixels, whose black and white are not defined; save it as 8-bit RGB"
        )


def check_complete(page: Any, path: Path) -> None:
    """Compare the extent of the pixel data with the file: tifffile fills what is missing with black.

    Raises
    ------
    UnreadableSlideError
        When the file is shorter.
    """
    stop = max((start + length for start, length in zip(page.dataoffsets, page.databytecounts, strict=False)), default=0)
    if stop == 0 or stop > path.stat().st_size:
        raise UnreadableSlideError(f"{path} is truncated: its pixels end at byte {stop:,}, the file at {path.stat().st_size:,}")


def _decode(series: Any, path: Path) -> NDArray[Any]:
    """Return (h, w) or (h, w, samples); what tifffile cannot decode without imagecodecs goes to Pillow."""
    page = series.keyframe
    try:
        pixels = series.asarray(level=0)
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        return _decode_without_codecs(page, path, error)
    pixels = pixels.reshape([length for length, axis in zip(series.shape, series.axes, strict=True) if axis in "YXS"])
    return np.moveaxis(pixels, 0, -1) if series.axes.find("S") == 0 else pixels


def _decode_without_codecs(page: Any, path: Path, reason: Exception) -> NDArray[np.uint8]:
    try:
        return decode_raster(path, ("TIFF",))
    except UnreadableSlideError as error:
        raise UnsupportedSlideError(
            needs(f"{path} is compressed with {page.compression.name}, which", ["imagecodecs"], "slides")
        ) from (error if error.__cause__ else reason)


def page_to_rgb(pixels: NDArray[Any], page: Any) -> NDArray[np.uint8]:
    """Return (h, w) or (h, w, samples) pixels of a page, as they were decoded, as (h, w, 3) uint8 RGB."""
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and pixels.ndim == 2:
        colours = (page.colormap >> 8).astype(np.uint8)  # right for writers that scale 8 bits by 257 and by 256
        return np.asarray(colours.T[pixels])  # (h, w, 3)
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        pixels = np.invert(pixels)
    return to_rgb(_without_extra_sample(pixels, page))


def _without_extra_sample(pixels: NDArray[Any], page: Any) -> NDArray[Any]:
    """Drop a last sample of no stated meaning, composite one that colours are multiplied with, leave plain alpha."""
    if not page.extrasamples or page.extrasamples[0] == tifffile.EXTRASAMPLE.UNASSALPHA:
        return pixels
    if page.extrasamples[0] == tifffile.EXTRASAMPLE.UNSPECIFIED:
        return pixels[..., :-1]
    white = np.iinfo(pixels.dtype).max
    room = white - pixels[..., -1:]  # what shows of the white ground
    return np.asarray(np.minimum(pixels[..., :-1], white - room) + room)
