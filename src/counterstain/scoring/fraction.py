"""The share of positive nuclei (the Ki-67 index, for one), with an interval that knows about spatial clustering."""

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.table import CellColumns
from counterstain.scoring.base import Population, Score
from counterstain.scoring.blocks import block_of_each
from counterstain.scoring.intervals import clustered, wilson

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
        warnings=few_nuclei(total),
    )


def _counts_by_block(cells: CellColumns) -> NDArray[np.int64]:
    """Return (blocks, 2) int64 of positive and all nuclei, for the blocks that hold any."""
    block = block_of_each(cells)
    total = np.bincount(block)
    return np.column_stack([np.bincount(block[cells["is_positive"]], minlength=len(total)), total])


def few_nuclei(total: int) -> tuple[str, ...]:
    """Return the warning that few nuclei, or none, were counted; nothing where there are enough for a percentage."""
    if not total:
        return ("no nucleus was found, so there is nothing to score",)
    if total < FEW_CELLS:
        counted = "nucleus was" if total == 1 else "nuclei were"
        return (f"only {total} {counted} counted; at least {FEW_CELLS} are needed for a usable percentage",)
    return ()
