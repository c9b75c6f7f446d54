"""Find out how large packed numbers become, before a codec makes room for them.

A few kilobytes can unpack to gigabytes. Formats that state the size say it in their first bytes; of the others as much as is
allowed is unpacked, and no more.
"""

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable
from typing import Any

HEAD_BYTES = 32
"""That the codecs of ``STATED`` need."""

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def _blosc(head: bytes) -> int:
    return int(struct.unpack_from("<I", head, 4)[0])


def _lz4(head: bytes) -> int:
    return int(struct.unpack_from("<I", head)[0])


def _zstd(head: bytes) -> int:
    """Return the content size of the first frame; 0 where it states none, or is none."""
    if not head.startswith(_ZSTD_MAGIC):
        return 0
    descriptor = head[4]
    is_single, dictionary = bool(descriptor & 0x20), (0, 1, 2, 4)[descriptor & 3]
    length = (1 if is_single else 0, 2, 4, 8)[descriptor >> 6]
    start = 5 + (0 if is_single else 1) + dictionary
    size = int.from_bytes(head[start : start + length], "little")
    return size + 256 if length == 2 else size  # as the format has it


STATED: dict[str, Callable[[bytes], int]] = {"blosc": _blosc, "lz4": _lz4, "zstd": _zstd}

UNPACKED: dict[str, Callable[[], Any]] = {
    "zlib": lambda: zlib.decompressobj(),
    "gzip": lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 16),
    "bz2": lambda: bz2.BZ2Decompressor(),
    "lzma": lambda: lzma.LZMADecompressor(),
}


def check_unpacked(content: bytes, codec: str, most: int) -> None:
    """Check that packed bytes do not unpack to more than a limit.

    Parameters
    ----------
    content : all of them, of a codec in ``UNPACKED``; the first ``HEAD_BYTES`` are enough of one in ``STATED``. Of other codecs
        nothing is known.

    Raises
    ------
    ValueError
        They do, or are cut off.
    """
    size = 0
    try:
        if codec in STATED:
            size = STATED[codec](content)
        elif codec in UNPACKED:
            size = len(UNPACKED[codec]().decompress(content, most + 1))
    except (struct.error, IndexError, zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        raise ValueError(f"it cannot be unpacked by {codec}: {error}") from error
    if size > most:
        raise ValueError(f"it unpacks to more than the {most:,} bytes of a chunk")
