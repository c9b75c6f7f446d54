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
    """Always ``tile_px`` square; reaches outside the slide at its borders."""
    keep: Box
    """Inside the slide; the keeps of a grid are disjoint and cover it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileGrid:
    """Tiles of ``tile_px``, of which ``margin_px`` on each side only gives context."""

    size: Size
    tile_px: int
    margin_px: int

    def __post_init__(self) -> None:
        if self.margin_px < 0 or self.tile_px <= 2 * self.margin_px:
            raise ValueError(
                f"a tile of {self.tile_px} px leaves no core between two margins of {self.margin_px} px; "
                "the margin must be at least 0 and less than half the tile"
            )

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
            yield Tile(read=core.grown(self.margin_px), keep=core.intersection(whole))
