"""Categories of a score, such as the grades of a tumour, with the cut-offs between them as data.

A value in, the name of its category out. Knows no score: the rule of each states its own ``Categories``.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """Where one category ends and the next begins."""

    value: float
    """In the unit of the score."""
    above: str
    """Name of the category above it."""
    included: bool = True
    """Whether the value itself belongs to the category above, as in "20 or more"; else to the one below, as in "above 20"."""

    def is_passed_by(self, value: float) -> bool:
        """Return whether a value lies in the category above, or in a later one."""
        return value >= self.value if self.included else value > self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Categories:
    """The categories of a score, from the lowest up."""

    lowest: str
    """Name of the category below the first cut-off."""
    cut_offs: tuple[CutOff, ...]
    """Rising."""

    def of(self, value: float) -> str:
        """Return the name of the category that holds a value; empty for NaN."""
        if math.isnan(value):
            return ""
        return ([self.lowest] + [cut.above for cut in self.cut_offs if cut.is_passed_by(value)])[-1]

    def crossed(self, interval: tuple[float, float]) -> tuple[CutOff, ...]:
        """Return the cut-offs that part the ends of an interval; none where an end is NaN."""
        low, high = interval
        if math.isnan(low) or math.isnan(high):
            return ()
        return tuple(cut for cut in self.cut_offs if cut.is_passed_by(high) and not cut.is_passed_by(low))
