"""A slide as a page shows it: levels, each half as large as the one before, cut into square tiles. Knows no pixel."""

from dataclasses import dataclass

from counterstain.geometry import Box, Size
from counterstain.slides.base import Slide, size_at

TILE_PX = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level; level 0 has the full size."""

    size: Size
    mpp: float

    @property
    def rows(self) -> int:
        """Number of rows of tiles."""
        return -(-self.size.height // TILE_PX)

    @property
    def cols(self) -> int:
        """Number of columns of tiles."""
        return -(-self.size.width // TILE_PX)

    def tile(self, row: int, col: int) -> Box:
        """Return the box of a tile in pixels of the level; those at the right and at the bottom may be smaller."""
        return Box(row * TILE_PX, col * TILE_PX, TILE_PX, TILE_PX).intersection(Box.whole(self.size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pyramid:
    """All levels, the full one first. Pixels are square on every level."""

    levels: tuple[Level, ...]
    slide_px: tuple[float, float]
    """Pixels of the slide per pixel of level 0, down and across: both are 1 where the pixels of the slide are square."""

    def scale(self, level: int) -> tuple[float, float]:
        """Return pixels of a level per pixel of the slide, down and across."""
        down, across = self.slide_px
        return 1 / (down * 2**level), 1 / (across * 2**level)


def pyramid_of(slide: Slide) -> Pyramid:
    """Return the levels of a slide, down to one that fits in a tile."""
    mpp = slide.resolution.mpp
    levels = [Level(size=size_at(slide, mpp), mpp=mpp)]
    while max(levels[-1].size.height, levels[-1].size.width) > TILE_PX:
        last = levels[-1]
        levels.append(Level(size=Size(-(-last.size.height // 2), -(-last.size.width // 2)), mpp=2 * last.mpp))
    return Pyramid(levels=tuple(levels), slide_px=slide.resolution.factors(mpp))
