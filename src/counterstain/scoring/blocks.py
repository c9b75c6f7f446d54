"""Blocks of nuclei that lie together, between which a score varies: positions in, the block of each nucleus out."""

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.table import CellColumns

BLOCK_UM = 250.0
"""Side of a block: large enough to hold a hot spot, small enough to have many on a slide."""


def block_of_each(cells: CellColumns) -> NDArray[np.int64]:
    """Return (n,) int64: the block of each nucleus, numbered from 0 without gaps.

    The extent of the nuclei is divided equally, so that no thin strip at an edge counts as a block.
    """
    rows, cols = (_along(cells[name]) for name in ("row_um", "col_um"))
    block = rows * (int(cols.max(initial=0)) + 1) + cols
    held = np.bincount(block) > 0
    numbers: NDArray[np.int64] = (np.cumsum(held) - 1)[block]
    return numbers


def _along(position_um: NDArray[np.float64]) -> NDArray[np.int64]:
    if not len(position_um):
        return np.zeros(0, np.int64)
    start, extent = position_um.min(), np.ptp(position_um)
    blocks = max(1, round(extent / BLOCK_UM))
    number = (position_um - start) * blocks / max(extent, 1e-9)
    return np.asarray(np.minimum(number, blocks - 1), dtype=np.int64)
