"""OME-Zarr images (0.4 and 0.5, a folder or a zip file) of stained slides, of which only the chunks asked for are decoded.

Of a group with several images (the layout of bioformats2raw) one is read: labels and overviews, which may show a name, are
others. Needs zarr, so it is imported only when it is asked for.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray

from counterstain.errors import DamagedTileError, UnreadableSlideError, UnsupportedSlideError
from counterstain.geometry import Box, Size
from counterstain.images import to_rgb
from counterstain.slides.base import WHOLE_FILE, Damage, Origin, Resolution
from counterstain.slides.checks.unpacking import HEAD_BYTES, STATED, UNPACKED, check_unpacked
from counterstain.slides.pixel_size import Stated
from counterstain.slides.pyramid import damage_in_pyramid, is_level, level_of, read_pyramid
from counterstain.slides.tiles import TileCache, fill
from counterstain.slides.white_level import FULL, WhiteLevel, scaled, white_level, with_white
from counterstain.slides.zarrs.metadata import Multiscale, multiscale_of
from counterstain.slides.zarrs.places import ZARR_ERRORS, close, places_in, size_of
from counterstain.slides.zarrs.stores import MAX_CHUNK_BYTES, open_store

MAX_SIDE_PX = 10_000_000

MAX_CHUNKS_IN_SHARD = 2**16

TILE_PX = 256
"""Smaller chunks are read together, up to about this side."""

CACHE_BYTES = 256 * 2**20
"""A row of the usual chunks, of 1024 pixels, of a slide of 85,000 pixels in width."""

RANGE_TILES = 16
"""Tiles that are looked at to see how bright a 16-bit slide is."""

CODECS = frozenset(
    {
        "blosc",
        "bytes",
        "bz2",
        "crc32c",
        "delta",
        "gzip",
        "lz4",
        "lzma",
        "sharding_indexed",
        "shuffle",
        "transpose",
        "zlib",
        "zstd",
    }
)
"""Names of the codecs that only unpack numbers. Others, such as the pickles that Zarr 2 can hold, may run code."""


def stated_by_zarr(path: Path, series: int) -> Stated:
    """Return the micrometres per pixel down and across that an image states; raises what opening it raises."""
    with _Group.open(path, series) as group:
        return group.image.stated


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """The group of one image in a store."""

    store: Any
    arrays: Any
    place: str
    image: Multiscale

    @classmethod
    def open(cls, path: Path, series: int) -> Self:
        store, place = None, str(path)
        try:
            store = open_store(path)
            root = zarr.open_group(store, mode="r", use_consolidated=False)
            found = places_in(root, path)[series]
            group, place = (root[found.group], f"{path}/{found.group}") if found.group else (root, place)
            return cls(store=store, arrays=group, place=place, image=multiscale_of(group.attrs.asdict(), place, found.number))
        except ZARR_ERRORS as error:
            close(store)
            raise UnreadableSlideError(f"cannot read the OME-Zarr {place}: {error}; it is damaged or no image") from error
        except (UnreadableSlideError, UnsupportedSlideError):
            close(store)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        close(self.store)


class OmeZarrSlide:
    """A ``Slide`` over an OME-Zarr image of three channels; a chunk that is not stored is damage.

    Raises
    ------
    UnreadableSlideError
        When the store, or later a part of it, is damaged.
    UnsupportedSlideError
        When it is not an RGB image of one plane in 8 or 16 bits, or is packed in a way that is not trusted.
    """

    def __init__(self, path: Path, *, name: str, resolution: Resolution, origin: Origin = WHOLE_FILE) -> None:
        self.name = name
        self.resolution = resolution
        self._group = _Group.open(path, origin.series)
        self._tile = TileCache(self._decode, limit_bytes=CACHE_BYTES)
        try:
            self._arrays = _level_arrays(self._group)
            self._levels = [level_of(self._size(array), self._size(self._arrays[0])) for array in self._arrays]
            self._white = self._white_level(path)
        except (UnreadableSlideError, UnsupportedSlideError):
            self.close()
            raise
        self.origin = with_white(origin, self._white)

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
        tile = self._tile_size(level)
        return self._tile.damage_in(box, level, tile, -(-self._levels[level].size.width // tile.width))

    def _size(self, array: Any) -> Size:
        return _size(array, self._group.image.axes)

    def _tile_size(self, level: int) -> Size:
        """Return the size of a chunk, or of as many small ones as make a tile."""
        chunk = size_of(self._arrays[level].chunks, self._group.image.axes)
        return Size(*(side * -(-TILE_PX // side) if side < TILE_PX else side for side in (chunk.height, chunk.width)))

    def _read_level(self, box: Box, level: int) -> NDArray[np.uint8]:
        array, tile = self._arrays[level], self._tile_size(level)
        pixels = np.full((box.height, box.width, 3), np.iinfo(array.dtype).max, array.dtype)
        fill(pixels, box, tile, -(-self._size(array).width // tile.width), lambda number: self._tile(level, number))
        return to_rgb(scaled(pixels, self._white) if pixels.dtype == np.uint16 else pixels)

    def _decode(self, level: int, number: int) -> NDArray[Any]:
        """Return the (h, w, 3) pixels of a tile."""
        array, tile = self._arrays[level], self._tile_size(level)
        whole = Box.whole(self._size(array))
        row, col = divmod(number, -(-whole.width // tile.width))
        box = Box(row * tile.height, col * tile.width, tile.height, tile.width).intersection(whole)
        axes = self._group.image.axes
        ranges = {"c": slice(None), "y": box.slices[0], "x": box.slices[1]}
        try:
            self._check_stored(level, box)
            pixels = np.asarray(array[tuple(ranges.get(axis, 0) for axis in axes)])
        except ZARR_ERRORS as error:
            raise DamagedTileError(
                f"cannot decode rows {box.row} to {box.stop_row - 1}, columns {box.col} to {box.stop_col - 1} "
                f"of level {level} ({self._group.image.paths[level]}) of {self._group.place}: {error}"
            ) from error
        kept = [axis for axis in axes if axis in ranges]
        return np.transpose(pixels, [kept.index(axis) for axis in ("y", "x", "c")])

    def _check_stored(self, level: int, box: Box) -> None:
        """Refuse a box of which chunks are not stored: zarr would give it the fill value, which is black in most stores.

        Raises
        ------
        KeyError
            A chunk is missing.
        """
        array, axes = self._arrays[level], self._group.image.axes
        grid = array.shards or array.chunks
        spans = {"c": (0, 3), "y": (box.row, box.stop_row), "x": (box.col, box.stop_col)}
        wanted = (spans.get(axis, (0, 1)) for axis in axes)
        ranges = [range(start // side, -(-stop // side)) for (start, stop), side in zip(wanted, grid, strict=True)]
        for chunk in product(*ranges):
            key = f"{array.path}/{array.metadata.encode_chunk_key(chunk)}"
            if not self._group.store.holds(key):
                raise KeyError(f"the chunk {key} is not in the store")
            if array.shards is None:
                _check_packed(array, self._group.store, key)

    def _white_level(self, path: Path) -> WhiteLevel:
        """Return the value of white in 16 bits, by tiles spread over the smallest level."""
        level = len(self._arrays) - 1
        if self._arrays[level].dtype != np.uint16:
            return FULL
        size, tile = self._size(self._arrays[level]), self._tile_size(level)
        count = -(-size.height // tile.height) * -(-size.width // tile.width)
        chosen = (self._tile(level, number) for number in range(0, count, -(-count // RANGE_TILES)))
        return white_level(max(int(pixels.max()) for pixels in chosen if pixels is not None), path)

    def close(self) -> None:
        """Close the store; closing twice is harmless."""
        close(self._group.store)
        self._tile.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _level_arrays(group: _Group) -> list[Any]:
    """Return the arrays of the pyramid, the largest first; what has another shape or other pixels is not a level."""
    arrays = [_array(group, path) for path in group.image.paths]
    first, axes = arrays[0], group.image.axes
    levels = (array for array in arrays[1:] if array.dtype == first.dtype and is_level(_size(array, axes), _size(first, axes)))
    return [first, *levels]


def _array(group: _Group, path: str) -> Any:
    place = f"level {path} of {group.place}"
    try:
        array = group.arrays[path]
        shape, chunks = array.shape, array.chunks
        codecs = _codecs(array.metadata.to_dict())
    except ZARR_ERRORS as error:
        raise UnreadableSlideError(f"cannot read {place}: {error}; it is missing or damaged") from error
    lengths = dict(zip(group.image.axes, shape, strict=False))
    if len(shape) != len(group.image.axes) or lengths["c"] != 3 or any(lengths.get(axis, 1) != 1 for axis in "tz"):
        raise UnsupportedSlideError(
            f"{place} has the shape {shape} along {group.image.axes}, expected one RGB image: c 3, t 1, z 1"
        )
    if array.dtype not in (np.uint8, np.uint16):
        raise UnsupportedSlideError(
            f"{place} has {array.dtype} pixels, whose black and white are not defined; save it as uint8"
        )
    _check_codecs(codecs, place)
    if not 0 < max(shape) <= MAX_SIDE_PX or not min(shape):
        raise UnreadableSlideError(f"{place} has the shape {shape}; expected sides of 1 to {MAX_SIDE_PX:,} pixels")
    if not all(isinstance(side, int) and side > 0 for side in (*chunks, *(array.shards or ()))):
        raise UnreadableSlideError(f"{place} has chunks of {chunks} in shards of {array.shards}; expected sides of at least 1")
    in_shard = np.prod([*map(int, array.shards or chunks)], dtype=object) // np.prod([*map(int, chunks)], dtype=object)
    if np.prod([*map(int, chunks)], dtype=object) * array.dtype.itemsize > MAX_CHUNK_BYTES or in_shard > MAX_CHUNKS_IN_SHARD:
        raise UnreadableSlideError(f"{place} has chunks of {chunks} in shards of {array.shards}, more than is decoded at once")
    return array


def _check_codecs(codecs: set[str], place: str) -> None:
    """Refuse codecs that may run code, and data packed twice, as it cannot be known what they unpack to."""
    if len(codecs & (STATED.keys() | UNPACKED.keys())) > 1:
        raise UnsupportedSlideError(f"{place} is packed several times over, by {', '.join(sorted(codecs))}, which is not read")
    if not codecs <= CODECS:
        raise UnsupportedSlideError(f"{place} is packed by {', '.join(sorted(codecs - CODECS))}, which is not read")


def _check_packed(array: Any, store: Any, key: str) -> None:
    """Check that a chunk does not unpack to more than it should, as little that claims much would take all memory.

    Raises
    ------
    ValueError
        It does.
    """
    most = int(np.prod([*map(int, array.chunks)], dtype=object)) * array.dtype.itemsize
    for codec in _codecs(array.metadata.to_dict()):
        if codec in STATED:
            check_unpacked(store.content(key, HEAD_BYTES), codec, most)
        elif codec in UNPACKED:
            check_unpacked(store.content(key), codec, most)


def _codecs(metadata: Any) -> set[str]:
    """Return the names of all codecs in the metadata of an array, those within shards too."""
    listed = [metadata.get("compressor"), *(metadata.get("filters") or ()), *(metadata.get("codecs") or ())]
    found = set()
    for codec in filter(None, listed):
        name = str(codec.get("id", codec.get("name")))
        found.add(name.removeprefix("numcodecs."))
        inner = codec.get("configuration") or {}
        found |= _codecs({"codecs": [*inner.get("codecs", ()), *inner.get("index_codecs", ())]})
    return found


def _size(array: Any, axes: tuple[str, ...]) -> Size:
    return size_of(array.shape, axes)
