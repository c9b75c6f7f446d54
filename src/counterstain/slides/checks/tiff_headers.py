"""What the headers of a TIFF file claim, compared with the file before any decoder sees it.

Decoders allocate what a header asks for, fill with black what is missing and may end the whole program over one wrong number.
So every claim is checked here, in plain Python: where tables and values lie, how large an image and its tiles say they are, how
many tiles are listed, and that the file was not cut short. Pixels are not looked at.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from counterstain.errors import UnreadableSlideError

MAX_SIDE_PX = 10_000_000

MAX_TILE_BYTES = 256 * 2**20
"""Of one decoded tile. Scanners and converters write tiles of up to 3 MB."""

MAX_STRIP_BYTES = 2 * 10**9
"""Of one decoded strip, which may be the whole of a flat image, RGB of 16 bits and of the most pixels that are decoded."""

MAX_DIRECTORIES = 10_000

MAX_ENTRIES = 4_096
"""Of one directory; usual ones have 10 to 60."""

MAX_NUMBERS = 50_000_000
"""Of one value: the offsets of the tiles of a slide with sides of ``MAX_SIDE_PX`` are fewer."""

_BYTES_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
"""NumPy's names of the types that a count or an offset may have."""

_WIDTH, _HEIGHT, _BITS, _SAMPLES, _ROWS_PER_STRIP, _PLANAR = 256, 257, 258, 277, 278, 284
_COMPRESSION, _COLOURS, _ORIENTATION, _PREDICTOR = 259, 262, 274, 317
_STRIPS, _TILES, _TILE_WIDTH, _TILE_HEIGHT, _SUBDIRECTORIES, _NDPI = (273, 279), (324, 325), 322, 323, 330, 65420
_SINGLE = (
    *(_WIDTH, _HEIGHT, _COMPRESSION, _COLOURS, _ORIENTATION, _SAMPLES),
    *(_ROWS_PER_STRIP, _PLANAR, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT),
)
"""Tags that hold one number."""
_SEPARATE = 2

Values = Mapping[int, "NDArray[Any] | None"]
"""Tag -> its (n,) unsigned numbers; None for a value that is not a number."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a file writes its tables: classic TIFF or BigTIFF, in either byte order."""

    order: Literal["<", ">"]
    is_big: bool

    @property
    def word(self) -> str:
        return self.order + ("Q" if self.is_big else "I")

    @property
    def entry_bytes(self) -> int:
        return 20 if self.is_big else 12

    @property
    def inline_bytes(self) -> int:
        return 8 if self.is_big else 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    file: BinaryIO
    path: Path
    layout: _Layout
    length: int

    def check(self, start: int, count: int, what: str) -> None:
        if start + count > self.length:
            raise UnreadableSlideError(
                f"{self.path} is damaged or truncated: {what} should lie at byte {start:,} to {start + count:,}, "
                f"and the file ends at byte {self.length:,}"
            )

    def read(self, start: int, count: int, what: str) -> bytes:
        self.check(start, count, what)
        self.file.seek(start)
        return self.file.read(count)

    def number(self, start: int, what: str) -> int:
        return int(struct.unpack(self.layout.word, self.read(start, struct.calcsize(self.layout.word), what))[0])


def check_tiff_headers(path: Path) -> None:
    """Check all that the headers of a TIFF file claim.

    Raises
    ------
    UnreadableSlideError
        A table or a value lies outside the file, an image or a tile has no size or one that no scanner makes, more or fewer
        tiles are listed than the image has, or the file ends in the middle of its last tile.
    """
    with path.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(0)
        layout = _layout(file.read(16), path)
        source = _Source(file=file, path=path, layout=layout, length=length)
        for number, values in enumerate(_directories(source)):
            if _NDPI in values:
                return  # of Hamamatsu: one strip for a whole slide, and positions beyond 4 GB in words of 32 bits
            _check_image(values, f"image {number} of {path}", length)


def _layout(head: bytes, path: Path) -> _Layout:
    order: Literal["<", ">"] = "<" if head[:2] == b"II" else ">"
    if len(head) < 8:
        raise UnreadableSlideError(f"{path} is truncated: it has {len(head)} bytes")
    return _Layout(order, is_big=struct.unpack(order + "H", head[2:4])[0] == 43)


def _directories(source: _Source) -> Iterator[Values]:
    """Yield the values of every directory, sub-directories too, each once."""
    following = [source.number(8 if source.layout.is_big else 4, "the place of the first image")]
    seen: set[int] = set()
    while following:
        start = following.pop(0)
        if start in seen or not start:
            continue
        seen.add(start)
        if len(seen) > MAX_DIRECTORIES:
            raise UnreadableSlideError(f"{source.path} lists more than {MAX_DIRECTORIES:,} images; expected one slide")
        values, after = _directory(source, start)
        inner = values.get(_SUBDIRECTORIES)
        following += [after, *(map(int, inner) if inner is not None else ())]
        yield values


def _directory(source: _Source, start: int) -> tuple[Values, int]:
    """Return the values of a directory and the place of the next one."""
    layout = source.layout
    what, head = f"the table at byte {start:,}", 8 if layout.is_big else 2
    count = struct.unpack(layout.order + ("Q" if layout.is_big else "H"), source.read(start, head, what))[0]
    if not 0 < count <= MAX_ENTRIES:
        raise UnreadableSlideError(f"{source.path} is damaged: {what} says it has {count:,} entries")
    table = source.read(start + head, count * layout.entry_bytes, what)
    values: dict[int, NDArray[Any] | None] = {}
    for first in range(0, len(table), layout.entry_bytes):
        tag, value = _value(source, table[first : first + layout.entry_bytes])
        values.setdefault(tag, value)
    end = start + head + len(table)
    return values, source.number(end, "the place of the next image") if end < source.length else 0


def _value(source: _Source, entry: bytes) -> tuple[int, "NDArray[Any] | None"]:
    layout = source.layout
    tag, kind, count = struct.unpack(layout.order + ("HHQ" if layout.is_big else "HHI"), entry[: -layout.inline_bytes])
    if kind not in _BYTES_OF_TYPE:
        raise UnreadableSlideError(f"{source.path} is damaged: the value of its tag {tag} has the unknown type {kind}")
    length, stored = count * _BYTES_OF_TYPE[kind], entry[-layout.inline_bytes :]
    is_read = kind in _NUMBERS and count <= MAX_NUMBERS
    if length > layout.inline_bytes:
        start = struct.unpack(layout.word, stored)[0]
        source.check(start, length, f"the value of tag {tag}")
        stored = source.read(start, length, f"the value of tag {tag}") if is_read else b""
    if not is_read:
        return tag, None
    return tag, np.frombuffer(stored[:length], np.dtype(_NUMBERS[kind]).newbyteorder(layout.order))


def _check_image(values: Values, what: str, length: int) -> None:
    """Check one directory; what has no pixels, such as one of metadata only, has nothing to check."""
    is_tiled = any(tag in values for tag in (*_TILES, _TILE_WIDTH, _TILE_HEIGHT))
    offsets_tag, counts_tag = _TILES if is_tiled else _STRIPS
    if not is_tiled and not any(tag in values for tag in _STRIPS):
        return
    for tag in _SINGLE:
        if tag in values and ((found := values[tag]) is None or len(found) != 1):
            raise UnreadableSlideError(f"{what} has more or less than one number for its tag {tag}; the file is damaged")
    height, width = _first(values, _HEIGHT), _first(values, _WIDTH)
    if not 0 < height <= MAX_SIDE_PX or not 0 < width <= MAX_SIDE_PX:
        raise UnreadableSlideError(f"{what} says it has {height:,} x {width:,} px; the file is damaged")
    if is_tiled:
        tile_height, tile_width = _first(values, _TILE_HEIGHT), _first(values, _TILE_WIDTH)
    else:
        tile_height, tile_width = min(_first(values, _ROWS_PER_STRIP, height), height), width
    _check_tile(values, tile_height, tile_width, what, MAX_TILE_BYTES if is_tiled else MAX_STRIP_BYTES)
    planes = _first(values, _SAMPLES, 1) if _first(values, _PLANAR, 1) == _SEPARATE else 1
    expected = planes * math.ceil(height / tile_height) * math.ceil(width / tile_width)
    name = "tiles" if is_tiled else "strips"
    for tag, listed in ((offsets_tag, "the places"), (counts_tag, "the lengths")):
        found = values.get(tag)
        if found is None or len(found) != expected:
            raise UnreadableSlideError(
                f"{what} has {height:,} x {width:,} px, which makes {expected:,} {name}, but lists {listed} of "
                f"{0 if found is None else len(found):,}; the file is damaged or incomplete"
            )
    _check_not_cut_short(values[offsets_tag], values[counts_tag], what, length)


def _check_tile(values: Values, height: int, width: int, what: str, limit: int) -> None:
    bits = values.get(_BITS)
    samples = _first(values, _SAMPLES, 1)
    deepest = int(bits.max()) if bits is not None and len(bits) else 1
    inside = samples if _first(values, _PLANAR, 1) != _SEPARATE else 1
    if height < 1 or width < 1 or samples < 1:
        raise UnreadableSlideError(f"{what} says its tiles have {height:,} x {width:,} px; the file is damaged")
    needed = height * width * inside * math.ceil(deepest / 8)
    if needed > limit:
        raise UnreadableSlideError(
            f"{what} says its tiles have {height:,} x {width:,} px in {inside} channels, {needed:,} bytes each, more than the "
            f"{limit:,} that are decoded at once; the file is damaged, or save it with tiles of 512 px"
        )


def _check_not_cut_short(offsets: "NDArray[Any] | None", counts: "NDArray[Any] | None", what: str, length: int) -> None:
    """Refuse a file that ends in the middle of the tile that begins last: it was not copied whole.

    A tile that lies elsewhere beyond the end is one whose place is damaged, and is treated as a damaged tile.
    """
    if offsets is None or counts is None:
        return
    starts, lengths = offsets.astype(np.uint64), counts.astype(np.uint64)
    within = np.flatnonzero((lengths > 0) & (starts < length))
    if not len(within):
        raise UnreadableSlideError(f"{what} lists no pixels within the {length:,} bytes of the file, which is truncated")
    last = within[np.argmax(starts[within])]
    stop = int(starts[last]) + int(lengths[last])
    if stop > length:
        raise UnreadableSlideError(f"{what} is truncated: its pixels end at byte {stop:,}, the file at {length:,}")


def _first(values: Values, tag: int, default: int = 0) -> int:
    found = values.get(tag)
    return int(found[0]) if found is not None and len(found) else default
