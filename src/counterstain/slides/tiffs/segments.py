"""Decode one strip or tile of a TIFF page, with Pillow where tifffile needs imagecodecs (79 MB) and that is not installed.

JPEG and JPEG 2000 streams go to Pillow as they are, with the tables that the page keeps for all of them; LZW and ZSTD through
libtiff, as a TIFF file of that one strip that is made in memory. Pixels are those of imagecodecs, to one grey level.
"""

import copy
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import ImageFile, Jpeg2KImagePlugin, JpegImagePlugin, TiffImagePlugin

from counterstain.errors import UnsupportedSlideError
from counterstain.extras import needs
from counterstain.slides.checks.streams import check_jpeg, check_jpeg_filled, claimed_size

_JPEG, _JPEG_2000, _APERIO_RGB = 7, 34712, 33005
_STREAMS: dict[int, type[ImageFile.ImageFile]] = {
    _JPEG: JpegImagePlugin.JpegImageFile,
    _JPEG_2000: Jpeg2KImagePlugin.Jpeg2KImageFile,
    _APERIO_RGB: Jpeg2KImagePlugin.Jpeg2KImageFile,
}
_BY_LIBTIFF = (5, 50000)
"""LZW and ZSTD."""

_JPEG_2000_ALSO = (33003, 33004)
"""Aperio's YCbCr, and the lossless one."""

_END_OF_IMAGE = b"\xff\xd9"
_BITS = 8
"""Of a sample in such a stream: Pillow keeps the upper byte of more."""


def decode_segment(page: Any, index: int, content: bytes, path: Path) -> NDArray[Any] | None:
    """Return the (h, w, samples) pixels of a strip or tile, cut to the page; None where it holds none.

    Parameters
    ----------
    page : of tifffile.
    index : number of the strip or tile in the page.
    content : as it is stored.
    path : names the file in messages.

    Raises
    ------
    UnsupportedSlideError
        Nothing that is installed knows the compression.
    ValueError, OSError, ...
        The content is damaged: any of ``TIFF_ERRORS``.
    """
    _check_stream(page, index, content)
    try:
        segment, _, _ = page.decode(content, index, jpegtables=page.jpegtables)
        pixels = None if segment is None else np.asarray(segment[0])
    except (ValueError, ImportError) as error:
        if not _names_imagecodecs(error):
            raise
        pixels = _by_pillow(page, index, content, path)
    if pixels is not None and page.compression == _JPEG:
        check_jpeg_filled(pixels)
    return pixels


def _check_stream(page: Any, index: int, content: bytes) -> None:
    """Check that a JPEG stream is whole, and that no stream claims to be larger than its tile, before a decoder makes room."""
    compression = int(page.compression)
    if compression == _JPEG:
        check_jpeg(content)
    claimed = claimed_size(content) if compression in _STREAMS or compression in _JPEG_2000_ALSO else None
    height, width = _size(page, index)
    if claimed and (claimed.height > max(height, 0 if page.is_tiled else page.rowsperstrip) or claimed.width > width):
        raise ValueError(f"a tile of {width} x {height} px holds {claimed.width} x {claimed.height}")


def _names_imagecodecs(error: Exception) -> bool:
    """Return whether tifffile says that it needs imagecodecs, or a later Python; it has no error of its own for that."""
    return isinstance(error, ImportError) or "imagecodecs" in str(error)


def _by_pillow(page: Any, index: int, content: bytes, path: Path) -> NDArray[Any] | None:
    compression = int(page.compression)
    if compression in _BY_LIBTIFF and page.fillorder == 1:
        segment, _, _ = _unpacked(page).decode(_inflate(page, index, content), index)
        return None if segment is None else np.asarray(segment[0])
    if compression in _STREAMS and not page.extrasamples and page.bitspersample == _BITS:
        return _of_stream(page, index, content)
    raise UnsupportedSlideError(needs(f"{path} is compressed with {page.compression.name}, which", ["imagecodecs"], "slides"))


def _of_stream(page: Any, index: int, content: bytes) -> NDArray[Any]:
    """Decode what is a whole JPEG or JPEG 2000 image of its own, as those of a TIFF file are, but for their tables."""
    height, width = _size(page, index)
    try:
        with _STREAMS[int(page.compression)](io.BytesIO(_with_tables(page, content))) as image:
            if image.width > width or image.height > max(height, page.tilelength if page.is_tiled else page.rowsperstrip):
                raise ValueError(f"a tile of {width} x {height} px holds {image.width} x {image.height}")
            if image.mode not in ("L", "RGB"):
                raise ValueError(f"the tile holds pixels of Pillow mode {image.mode}, expected grey or RGB")
            if _is_plain_rgb(page):
                image.tile = [tile._replace(args=("RGB", "RGB")) for tile in image.tile]  # no YCbCr, whatever is guessed
            pixels = np.array(image)
    except SyntaxError as error:  # what Pillow raises for a head that it does not know
        raise ValueError(str(error)) from error
    return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels


def _is_plain_rgb(page: Any) -> bool:
    """Return whether the three components of a JPEG stream are red, green and blue, by the rule of tifffile."""
    is_rgb = page.photometric == tifffile.PHOTOMETRIC.RGB and page.planarconfig == tifffile.PLANARCONFIG.CONTIG
    return bool(page.compression == _JPEG and is_rgb and not page.is_jfif)


def _with_tables(page: Any, content: bytes) -> bytes:
    tables = page.jpegtables if page.compression == _JPEG else None
    if not tables:
        return content
    end = tables.rfind(_END_OF_IMAGE)
    return bytes(tables[: end if end > 0 else None]) + content[2:]


def _inflate(page: Any, index: int, content: bytes) -> bytes:
    """Unpack a strip or tile as libtiff does, as grey bytes, so that neither samples nor their depth matter."""
    height, width = _size(page, index)
    inside = page.samplesperpixel if page.planarconfig == tifffile.PLANARCONFIG.CONTIG else 1
    row_bytes = -(-width * inside * page.bitspersample // 8)
    with TiffImagePlugin.TiffImageFile(io.BytesIO(_one_strip(page, content, height, row_bytes))) as image:
        return np.asarray(image).tobytes()


def _size(page: Any, index: int) -> tuple[int, int]:
    """Return the height and width that a tile is stored in, or a strip, of which the last may be lower."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    row = index % -(-page.imagelength // page.rowsperstrip) * page.rowsperstrip
    return min(page.rowsperstrip, page.imagelength - row), page.imagewidth


def _one_strip(page: Any, content: bytes, rows: int, row_bytes: int) -> bytes:
    """Return a TIFF file with 8-bit grey pixels in one strip."""
    entries = (
        *((256, row_bytes), (257, rows), (258, 8), (259, int(page.compression)), (262, 1)),
        *((273, 8), (277, 1), (278, rows), (279, len(content))),
    )
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    padded = content + b"\0" * (len(content) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(padded)) + padded + table + bytes(4)


def _unpacked(page: Any) -> Any:
    """Return the page as one whose strips are not compressed, for what is left to do: predictor, order of bytes, shape."""
    plain = copy.copy(page)
    plain.__dict__.pop("decode", None)
    plain.__dict__["hash"] = hash((page.hash, "unpacked"))  # by which tifffile finds the decoder of pages that are alike
    plain.compression = tifffile.COMPRESSION.NONE
    return plain
