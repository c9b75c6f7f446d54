"""The share of positive nuclei (the Ki-67 index, for one), with an interval that knows about spatial clustering."""

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.table import CellColumns
from counterstain.scoring.base import Population, Score

BLOCK_UM = 250.0
"""Side of the blocks that the bootstrap resamples: large enough to hold a hot spot, small enough to have many on a slide."""

FEW_CELLS = 100
"""Below this number of nuclei the score carries a warning."""

RESAMPLES = 2000
SEED = 20220407
Z_95 = 1.959963984540054
"""Standard normal quantile at 97.5 %."""


def percent_positive(population: Population) -> Score:
    """Return the percentage of nuclei that are positive.

    The 95 % interval is Wilson's when all nuclei lie in one block of about 250 um. With several blocks it is a percentile
    bootstrap over blocks (seeded, so equal between runs), widened where necessary to contain Wilson's: neighbours resemble
    each other, so the nuclei of one block are not independent and Wilson alone would be too narrow; a bootstrap over few blocks
    alone could be too. Without a nucleus the value and the interval are NaN.
    """
    cells = population.cells
    positive, total = int(np.count_nonzero(cells["is_positive"])), len(cells)
    low, high = wilson(positive, total)
    method = "wilson"
    counts = _counts_by_block(cells)
    if len(counts) > 1:
        resampled = _bootstrap(counts)
        low, high, method = min(low, resampled[0]), max(high, resampled[1]), "block bootstrap"
    return Score(
        name="percent_positive",
        value=100 * positive / total if total else float("nan"),
        interval=(100 * low, 100 * high),
        interval_method=method,
        unit="%",
        counts={"total": total, "positive": positive, "negative": total - positive},
        warnings=_warnings(total),
    )


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion, in [0, 1]; NaN without trials.

    Wilson, Journal of the American Statistical Association 22 (1927) 209-212.
    """
    if not total:
        return float("nan"), float("nan")
    share, z2 = hits / total, Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * float(np.sqrt(share * (1 - share) / total + z2 / (4 * total**2)))
    low = 0.0 if hits == 0 else centre - half
    high = 1.0 if hits == total else centre + half
    return low, high


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


def _bootstrap(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % quantiles of the share when blocks are drawn with replacement."""
    generator = np.random.default_rng(SEED)
    blocks = len(counts)
    shares = np.empty(RESAMPLES)
    for resample in range(RESAMPLES):  # one at a time: memory stays that of the blocks
        positive, total = counts[generator.integers(0, blocks, blocks)].sum(axis=0)
        shares[resample] = positive / total
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def _warnings(total: int) -> tuple[str, ...]:
    if not total:
        return ("no nucleus was found, so there is nothing to score",)
    if total < FEW_CELLS:
        counted = "nucleus was" if total == 1 else "nuclei were"
        return (f"only {total} {counted} counted; at least {FEW_CELLS} are needed for a usable percentage",)
    return ()
