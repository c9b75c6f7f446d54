"""Check that the bytes of a compressed image are complete where its decoder does not: decoders fill in what is missing.

PNG has a checksum for each of its chunks, which Pillow does not compare for those that hold pixels. JPEG has none, but ends
with a marker, and a decoder whose data end early, or stop to make sense, paints what is left in the middle of grey.
"""

import struct
import zlib
from mmap import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import Size

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8"

_END_OF_IMAGE = b"\xff\xd9"

_MARKER = 0xFF
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Second bytes of the markers of a frame of JPEG, which states its size."""

_CODESTREAM, _HEAD_BYTES = b"\xff\x4f\xff\x51", 512
"""How a stream of JPEG 2000 starts, alone or within the boxes of a file."""

_MIDDLE = 128
"""What all samples of a JPEG are where nothing was decoded: all coefficients are 0."""

_CORNER_PX = 6
"""Side of the last corner that is looked at: inside the last block of 8 pixels, whose edge may be blended with others."""


def check_png(content: bytes | mmap) -> None:
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
        with memoryview(content) as view, view[at + 4 : stop] as part:
            checksum = zlib.crc32(part)
        if checksum != struct.unpack(">I", content[stop : stop + 4])[0]:
            raise ValueError(f"the checksum of the chunk {kind!r} at byte {at:,} differs")
        at = stop + 4


def check_jpeg(content: bytes) -> None:
    """Check that a JPEG stream, which zeros may follow, ends with the marker of its end.

    Raises
    ------
    ValueError
        It does not, or is not a JPEG stream.
    """
    if not content.startswith(JPEG_MAGIC):
        raise ValueError(f"it is not JPEG: it starts with the bytes {content[:2].hex(' ') or 'of an empty stream'}")
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


def claimed_size(content: bytes) -> Size | None:
    """Return the size that the header of a JPEG or JPEG 2000 stream claims; None where it claims none."""
    at = content[:_HEAD_BYTES].find(_CODESTREAM)
    if at >= 0 and len(content) >= at + 24:
        width, height, left, top = struct.unpack(">IIII", content[at + 8 : at + 24])
        return Size(max(0, height - top), max(0, width - left))
    at = 2 if content.startswith(JPEG_MAGIC) else len(content)
    while at + 9 <= len(content) and content[at] == _MARKER:
        kind, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if kind in _FRAMES:
            return Size(int.from_bytes(content[at + 5 : at + 7], "big"), int.from_bytes(content[at + 7 : at + 9], "big"))
        at += 1 if kind == _MARKER else 2 + length
    return None
