"""What every score is: a number with its interval, its counts and what it warns about."""

from dataclasses import dataclass, field
from typing import Protocol

from counterstain.cells.table import CellColumns


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One number about a set of cells."""

    name: str
    value: float
    """NaN when there is no cell to score."""
    interval: tuple[float, float]
    """95 % confidence interval, in the unit of the value."""
    interval_method: str
    unit: str
    counts: dict[str, int]
    region: str = "all"
    warnings: tuple[str, ...] = field(default=())
    area_mm2: float | None = None
    """What a density is per, in square millimetres; None for scores that no area is part of."""


class Scorer(Protocol):
    """A rule that turns cells into one score."""

    def __call__(self, cells: CellColumns) -> Score:
        """Score all cells of the table; an empty table gives a NaN value and a warning."""
