"""The smaller levels of a picture, block by block, in memory that does not grow with the picture.

A block of a level is made of the four blocks of the finer level under it. These are gone as soon as it is made, so no more than
a few blocks of each level are in memory. Knows no file format.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import Box, Size
from counterstain.stitching.maps import Maps

BLOCK_PX = 1024
SMALLEST_LEVEL_PX = 2048
"""An image with a longer side gets half-size levels until no side is longer."""

Read = Callable[[Box], NDArray[np.uint8]]
"""Returns the (c, h, w) pixels of a box at full size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A part of a level."""

    level: int
    """How often the picture was halved."""
    box: Box
    """In pixels of the level."""
    pixels: NDArray[np.uint8]
    """(c, h, w) uint8."""


def level_sizes(size: Size) -> list[Size]:
    """Return the size of every level, the full one first: half of the one before, until no side is too long."""
    sizes = [size]
    while max(sizes[-1].height, sizes[-1].width) > SMALLEST_LEVEL_PX:
        sizes.append(Size((sizes[-1].height + 1) // 2, (sizes[-1].width + 1) // 2))
    return sizes


def blocks_of_levels(read: Read, sizes: list[Size]) -> Iterator[Block]:
    """Yield every block of ``BLOCK_PX`` of every level once; ``read`` is asked for every pixel once.

    Parameters
    ----------
    sizes : as ``level_sizes`` returns them.
    """
    for box in Box.whole(sizes[-1]).split(BLOCK_PX):
        yield from _down_to(read, sizes, len(sizes) - 1, box)


def stacked(maps: Maps) -> Read:
    """Return what reads the planes of all maps on top of each other, in the order of the panel."""

    def read(box: Box) -> NDArray[np.uint8]:
        planes = [maps[channel.name].as_bytes(box) for channel in maps.panel.channels]
        return np.moveaxis(np.concatenate(planes, axis=2), 2, 0)  # (c, h, w)

    return read


def halved(level: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (c, ceil(h / 2), ceil(w / 2)) uint8 means of 2 x 2 pixels; an odd last row or column counts twice."""
    _, height, width = level.shape
    even = np.pad(level, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    sums = even[:, ::2, ::2].astype(np.uint16)  # a quarter of the pixels, so that no wide copy of all is made
    for row, col in ((1, 0), (0, 1), (1, 1)):
        sums += even[:, row::2, col::2]
    return ((sums + 2) // 4).astype(np.uint8)


def _down_to(read: Read, sizes: list[Size], level: int, box: Box) -> Generator[Block, None, NDArray[np.uint8]]:
    """Yield a block after all that it is made of, and return its pixels."""
    if level == 0:
        pixels = read(box)
    else:
        finer = Box(2 * box.row, 2 * box.col, 2 * box.height, 2 * box.width).intersection(Box.whole(sizes[level - 1]))
        rows = []
        for band in _bands(finer):
            row = []
            for part in band.split(BLOCK_PX):
                row.append(halved((yield from _down_to(read, sizes, level - 1, part))))
            rows.append(np.concatenate(row, axis=2))
        pixels = np.concatenate(rows, axis=1)
    yield Block(level=level, box=box, pixels=pixels)
    return pixels


def _bands(box: Box) -> Iterator[Box]:
    """Yield the rows of blocks of a box that begins at the corner of a block."""
    for row in range(box.row, box.stop_row, BLOCK_PX):
        yield box.intersection(Box(row, box.col, BLOCK_PX, box.width))
