"""Cut a slide into overlapping tiles whose kept cores partition it.

The lattice is anchored at (0, 0), so the tile that yields a pixel does not depend on which region was asked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from counterstain.geometry import Box, Size


@dataclass(frozen=True, slots=True)
class Tile:
    """What to read for the network and which part of its answer to keep, both in pixels of the grid."""

    read: Box
    """The core with its margins: ``tile_px`` square and reaching outside the slide at its borders, unless there is a stride."""
    keep: Box
    """Inside the slide; the kept parts of all tiles of a grid cover the slide without overlap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileGrid:
    """Tiles of ``tile_px``, of which ``margin_px`` on each side only gives context."""

    size: Size
    tile_px: int
    margin_px: int
    stride_px: int | None = None
    """When given, tiles have no margin outside the slide and sides that are multiples of this, so that an image as large as a
    core costs no more than itself; None keeps every tile square."""

    def __post_init__(self) -> None:
        if self.margin_px < 0 or self.tile_px <= 2 * self.margin_px:
            raise ValueError(
                f"a tile of {self.tile_px} px leaves no core between two margins of {self.margin_px} px; "
                "the margin must be at least 0 and less than half the tile"
            )
        if self.stride_px is not None and (self.stride_px < 1 or self.tile_px % self.stride_px):
            raise ValueError(f"a tile of {self.tile_px} px is not a multiple of the stride of {self.stride_px} px")

    @property
    def core_px(self) -> int:
        """Side of the part of a tile that is kept."""
        return self.tile_px - 2 * self.margin_px

    def __len__(self) -> int:
        rows, cols = -(-self.size.height // self.core_px), -(-self.size.width // self.core_px)
        return rows * cols

    def __iter__(self) -> Iterator[Tile]:
        return self.within(Box.whole(self.size))

    def within(self, region: Box) -> Iterator[Tile]:
        """Yield the tiles whose core meets ``region``, whole, row by row."""
        whole = Box.whole(self.size)
        for cell in region.intersection(whole).split(self.core_px):
            core = Box(
                cell.row // self.core_px * self.core_px, cell.col // self.core_px * self.core_px, self.core_px, self.core_px
            )
            keep = core.intersection(whole)
            yield Tile(read=self._with_margins(core), keep=keep)

    def narrowed(self, tile: Tile, wanted: Box) -> Tile:
        """Return the tile without what lies beyond a box, to the next multiple of the stride; without a stride, as it is."""
        if self.stride_px is None:
            return tile
        stride, part = self.stride_px, tile.keep.intersection(wanted)
        row, col = part.row // stride * stride, part.col // stride * stride
        stops = (-(-stop // stride) * stride for stop in (part.stop_row, part.stop_col))
        sides = (stop - start for stop, start in zip(stops, (row, col), strict=True))
        keep = Box(row, col, *sides).intersection(tile.keep) if part.size.area else part
        return Tile(read=self._with_margins(keep), keep=keep)

    def _with_margins(self, core: Box) -> Box:
        read, stride = core.grown(self.margin_px), self.stride_px
        if stride is None:
            return read
        inside = read.intersection(Box.whole(self.size))
        return Box(inside.row, inside.col, -(-inside.height // stride) * stride, -(-inside.width // stride) * stride)
