"""Agreement of two readings of the same things: two methods, two scanners, a machine and a pathologist."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z_95 = 1.959963984540054
"""Standard normal quantile at 97.5 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlandAltman:
    """Mean difference of two methods and the range that holds 95 % of the differences."""

    bias: float
    """Mean of second minus first, in the unit of the readings."""
    deviation: float
    """Standard deviation of the differences, with n - 1; NaN for fewer than two readings."""
    limits: tuple[float, float]
    """Bias minus and plus 1.96 deviations."""
    count: int


def bland_altman(first: ArrayLike, second: ArrayLike) -> BlandAltman:
    """Compare two methods that measure the same quantity.

    Bland and Altman, Lancet 327 (1986) 307-310.

    Parameters
    ----------
    first, second : (n,) float readings of the same things in the same order, n at least 1.

    Raises
    ------
    ValueError
        The lengths differ or there is no reading.
    """
    before, after = _readings(first, second)
    differences = after - before
    bias = float(differences.mean())
    deviation = float(differences.std(ddof=1)) if len(differences) > 1 else float("nan")
    limits = (bias - Z_95 * deviation, bias + Z_95 * deviation)
    return BlandAltman(bias=bias, deviation=deviation, limits=limits, count=len(differences))


def concordance(first: ArrayLike, second: ArrayLike) -> float:
    """Return Lin's concordance correlation coefficient, in [-1, 1].

    1 only when both readings are equal; a constant offset or scale lowers it, unlike Pearson's correlation. With population
    moments, as in Lin, Biometrics 45 (1989) 255-268. NaN when both readings are one and the same constant.

    Parameters
    ----------
    first, second : (n,) float readings of the same things in the same order, n at least 1.
    """
    left, right = _readings(first, second)
    spread = left.var() + right.var() + (left.mean() - right.mean()) ** 2
    covariance = ((left - left.mean()) * (right - right.mean())).mean()
    return float(2 * covariance / spread) if spread > 0 else float("nan")


def weighted_kappa(
    first: ArrayLike, second: ArrayLike, categories: int, weights: Literal["none", "linear", "quadratic"] = "quadratic"
) -> float:
    """Return Cohen's kappa of two readings in ordered categories.

    Cohen, Psychological Bulletin 70 (1968) 213-220. NaN when chance alone cannot disagree (both readings are one category).

    Parameters
    ----------
    first, second : (n,) integer in [0, categories).
    categories : number of categories.
    weights : how much a disagreement costs: all the same, by distance, or by squared distance.

    Raises
    ------
    ValueError
        Lengths differ, there is no reading, or a category lies outside the range.
    """
    left, right = (values.astype(np.int64) for values in _readings(first, second))
    if min(left.min(), right.min()) < 0 or max(left.max(), right.max()) >= categories:
        raise ValueError(f"categories must lie in [0, {categories})")
    observed = np.bincount(left * categories + right, minlength=categories**2).reshape(categories, categories) / len(left)
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0))
    apart = np.abs(np.subtract.outer(np.arange(categories), np.arange(categories)))
    cost = {"none": apart > 0, "linear": apart, "quadratic": apart**2}[weights]
    by_chance = float((cost * expected).sum())
    return 1.0 - float((cost * observed).sum()) / by_chance if by_chance > 0 else float("nan")


def _readings(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if left.ndim != 1 or left.shape != right.shape or not len(left):
        raise ValueError(f"two readings must be lists of one length, at least 1, got shapes {left.shape} and {right.shape}")
    return left, right
