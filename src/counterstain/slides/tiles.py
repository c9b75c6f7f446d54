"""Boxes put together from decoded tiles, of which the latest used are kept."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from numpy.typing import NDArray

from counterstain.errors import DamagedTileError
from counterstain.geometry import Box, Size
from counterstain.slides.base import Damage

CACHE_BYTES = 96 * 2**20
"""Decoded tiles that are kept: some three rows of tiles of a wide slide, as neighbouring boxes share tiles."""

Tile = NDArray[Any] | None
"""(h, w, samples), or None where the file has none or it is damaged."""


class TileCache:
    """The tiles of all levels of one file, each decoded when it is asked for, by one thread at a time.

    Parameters
    ----------
    decode : takes the number of a level and of a tile in it. Where it raises ``DamagedTileError``, the tile is damaged.
    limit_bytes : kept at the most; None takes ``CACHE_BYTES``.
    """

    def __init__(self, decode: Callable[[int, int], Tile], *, limit_bytes: int | None = None) -> None:
        self._decode = decode
        self._limit_bytes = CACHE_BYTES if limit_bytes is None else limit_bytes
        self._lock = threading.Lock()
        self._tiles: OrderedDict[tuple[int, int], Tile] = OrderedDict()
        self.kept_bytes = 0
        self._damaged: dict[tuple[int, int], str] = {}

    def __call__(self, level: int, number: int) -> Tile:
        """Return a tile."""
        key = (level, number)
        with self._lock:
            if key in self._damaged:
                return None
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
            try:
                tile = self._decode(level, number)
            except DamagedTileError as error:
                self._damaged[key] = str(error)
                return None
            self._tiles[key] = tile
            self.kept_bytes += 0 if tile is None else tile.nbytes
            while self.kept_bytes > self._limit_bytes:
                _, oldest = self._tiles.popitem(last=False)
                self.kept_bytes -= 0 if oldest is None else oldest.nbytes
            return tile

    def damage_in(self, box: Box, level: int, tile: Size, across: int) -> list[Damage]:
        """Return the tiles that meet a box of a level and were found damaged.

        Parameters
        ----------
        tile : size of a whole tile; the first one lies at (0, 0).
        across : number of tiles in a row of tiles.
        """
        if not self._damaged:
            return []
        places = places_of(box, tile, across)
        return [Damage(place, self._damaged[level, number]) for number, place in places if (level, number) in self._damaged]

    def clear(self) -> None:
        """Forget every tile."""
        with self._lock:
            self._tiles.clear()
            self.kept_bytes = 0


def fill(pixels: NDArray[Any], box: Box, tile: Size, across: int, tile_of: Callable[[int], Tile]) -> None:
    """Write the tiles that meet a box into its pixels; what has no tile stays as it is.

    Parameters
    ----------
    pixels : (h, w, samples), of the size of the box.
    tile : size of a whole tile; the first one lies at (0, 0).
    across : number of tiles in a row of tiles, by which they are numbered.
    tile_of : takes the number of a tile.
    """
    for number, whole in places_of(box, tile, across):
        found = tile_of(number)
        if found is not None:
            place = Box(whole.row, whole.col, *found.shape[:2])
            part = place.intersection(box)
            source = found[part.shifted(-place.row, -place.col).slices]
            pixels[part.shifted(-box.row, -box.col).slices] = source


def places_of(box: Box, tile: Size, across: int) -> Iterator[tuple[int, Box]]:
    """Yield the number and the place of each tile that meets a box, as a whole tile; see ``fill``."""
    for row in range(box.row // tile.height, -(-box.stop_row // tile.height)):
        for col in range(box.col // tile.width, -(-box.stop_col // tile.width)):
            yield row * across + col, Box(row * tile.height, col * tile.width, tile.height, tile.width)
