"""Whether the bytes of a compressed image are whole, where its decoder does not say: decoders fill in for what is missing.

PNG has a checksum for each of its chunks, which Pillow does not compare for those that hold pixels. JPEG has none, but ends
with a marker, and a decoder whose data end early, or stop to make sense, paints what is left in the middle of grey.
"""

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8"

_END_OF_IMAGE = b"\xff\xd9"

_MIDDLE = 128
"""What all samples of a JPEG are where nothing was decoded: all coefficients are 0."""

_CORNER_PX = 6
"""Side of the last corner that is looked at: inside the last block of 8 pixels, whose edge may be blended with others."""


def check_png(content: bytes) -> None:
    """Compare the checksum of each chunk of a PNG file.

    Raises
    ------
    ValueError
        One differs, or the file ends before its last chunk.
    """
    at, kind = len(PNG_MAGIC), b""
    while kind != b"IEND":
        if at + 12 > len(content):
            raise ValueError("it ends before its last chunk")
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        stop = at + 8 + length
        if stop + 4 > len(content):
            raise ValueError(f"it ends within the chunk {kind!r} at byte {at:,}")
        if zlib.crc32(memoryview(content)[at + 4 : stop]) != struct.unpack(">I", content[stop : stop + 4])[0]:
            raise ValueError(f"the checksum of the chunk {kind!r} at byte {at:,} differs")
        at = stop + 4


def check_jpeg(content: bytes) -> None:
    """Check that a JPEG stream, which zeros may follow, ends with the marker of its end.

    Raises
    ------
    ValueError
        It does not, or is no JPEG stream.
    """
    if not content.startswith(JPEG_MAGIC):
        raise ValueError(f"it is no JPEG: it starts with the bytes {content[:2].hex(' ') or 'of nothing'}")
    if not content[-2:] == _END_OF_IMAGE and not content.rstrip(b"\0").endswith(_END_OF_IMAGE):
        raise ValueError("the JPEG ends early: it lacks the marker of its end")


def check_jpeg_filled(pixels: NDArray[Any]) -> None:
    """Check that the last corner of what a JPEG stream was decoded to is not what decoders paint for missing data.

    Parameters
    ----------
    pixels : (h, w) or (h, w, samples) uint8, as decoded, of all of the stream.

    Raises
    ------
    ValueError
        All of it has the middle of grey: no block of tissue or of glass has.
    """
    corner = pixels[-_CORNER_PX:, -_CORNER_PX:]
    if corner.dtype == np.uint8 and corner.size and (corner == _MIDDLE).all():
        raise ValueError("the JPEG is damaged: its last part holds no picture")
