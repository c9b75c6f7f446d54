"""How many nuclei are stained how strongly: a population in, four counts out. What scores of intensity begin with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.intensity import intensity_classes
from counterstain.scoring.base import Population
from counterstain.scoring.blocks import block_of_each
from counterstain.scoring.intervals import clustered_mean

AVERAGES = {1: "weak", 2: "moderate", 3: "strong"}
"""Average intensity as a whole number -> its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staining:
    """Numbers of nuclei by the intensity of their stain."""

    negative: int
    weak: int
    moderate: int
    strong: int

    @property
    def positive(self) -> int:
        """Number of stained nuclei."""
        return self.weak + self.moderate + self.strong

    @property
    def total(self) -> int:
        """Number of all nuclei."""
        return self.negative + self.positive

    @property
    def weighted(self) -> int:
        """Sum over all nuclei of 0 for negative, 1 for weak, 2 for moderate and 3 for strong."""
        return self.weak + 2 * self.moderate + 3 * self.strong

    def counts(self) -> dict[str, int]:
        """Return the numbers under the names that a score states them by."""
        return {
            "total": self.total,
            "positive": self.positive,
            "negative": self.negative,
            "weak": self.weak,
            "moderate": self.moderate,
            "strong": self.strong,
        }


def staining_of(classes: NDArray[np.uint8]) -> Staining:
    """Count the (n,) uint8 classes that ``intensity_classes`` gives."""
    negative, weak, moderate, strong = np.bincount(classes, minlength=4).tolist()
    return Staining(negative=negative, weak=weak, moderate=moderate, strong=strong)


def staining(population: Population) -> Staining:
    """Count the nuclei of a population by the intensity of their stain."""
    return staining_of(intensity_classes(population.cells, population.intensity))


def mean_interval(values: NDArray[np.float64], block: NDArray[np.int64]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of values in [0, 1], each of a nucleus in a block; NaN without any value.

    Parameters
    ----------
    values : (n,) float64 in [0, 1].
    block : (n,) int64 of the block of each; see ``block_of_each``.
    """
    if not len(values):
        return float("nan"), float("nan")
    numbers = np.bincount(block)
    sums = np.bincount(block, weights=values).astype(np.float64)
    held = numbers > 0
    return clustered_mean(sums[held], numbers[held], float((values**2).sum()))


def average_intensity(found: Staining) -> int:
    """Return the average intensity of the positive nuclei to the nearest whole number, halves up; 0 without one."""
    return (2 * found.weighted + found.positive) // (2 * found.positive) if found.positive else 0


def average_interval(population: Population) -> tuple[float, float]:
    """Return the 95 % interval of the average intensity of positive nuclei, between 1 and 3; all of that without one."""
    classes = intensity_classes(population.cells, population.intensity)
    positive = classes > 0
    if not positive.any():
        return 1.0, 3.0
    low, high = mean_interval((classes[positive] - 1.0) / 2, block_of_each(population.cells)[positive])
    return 1 + 2 * low, 1 + 2 * high
