"""The share of positive nuclei (the Ki-67 index, for one), with an interval that knows about spatial clustering."""

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.table import CellColumns
from counterstain.scoring.base import Population, Score
from counterstain.scoring.intervals import clustered, wilson

BLOCK_UM = 250.0
"""Side of the blocks between which the share varies: large enough to hold a hot spot, small enough to have many on a slide."""

CLUSTERED = "wilson, design effect of blocks"
"""Name of the method of the interval where there are several blocks."""

FEW_CELLS = 100
"""Below this number of nuclei the score carries a warning."""


def percent_positive(population: Population) -> Score:
    """Return the percentage of nuclei that are positive.

    The 95 % interval is Wilson's when all nuclei lie in one block of about 250 um, and says nothing of clusters then. With
    several blocks it is Wilson's on the effective number of nuclei; see ``clustered``. Without a nucleus the value and the
    interval are NaN.
    """
    cells = population.cells
    positive, total = int(np.count_nonzero(cells["is_positive"])), len(cells)
    share = positive / total if total else float("nan")
    counts = _counts_by_block(cells)
    (low, high), method = (clustered(counts), CLUSTERED) if len(counts) > 1 else (wilson(share, total), "wilson")
    return Score(
        name="percent_positive",
        value=100 * positive / total if total else share,
        interval=(100 * low, 100 * high),
        interval_method=method,
        unit="%",
        counts={"total": total, "positive": positive, "negative": total - positive},
        warnings=_warnings(total),
    )


def _counts_by_block(cells: CellColumns) -> NDArray[np.int64]:
    """Return (blocks, 2) int64 of positive and all nuclei, for the blocks that hold any.

    The extent of the nuclei is divided equally, so that no thin strip at an edge counts as a block.
    """
    rows, cols = (_block_number(cells[name]) for name in ("row_um", "col_um"))
    block = rows * (int(cols.max(initial=0)) + 1) + cols
    total = np.bincount(block)
    counts = np.column_stack([np.bincount(block[cells["is_positive"]], minlength=len(total)), total])
    return counts[total > 0]


def _block_number(position_um: NDArray[np.float64]) -> NDArray[np.int64]:
    if not len(position_um):
        return np.zeros(0, np.int64)
    start, extent = position_um.min(), np.ptp(position_um)
    blocks = max(1, round(extent / BLOCK_UM))
    number = (position_um - start) * blocks / max(extent, 1e-9)
    return np.asarray(np.minimum(number, blocks - 1), dtype=np.int64)


def _warnings(total: int) -> tuple[str, ...]:
    if not total:
        return ("no nucleus was found, so there is nothing to score",)
    if total < FEW_CELLS:
        counted = "nucleus was" if total == 1 else "nuclei were"
        return (f"only {total} {counted} counted; at least {FEW_CELLS} are needed for a usable percentage",)
    return ()
