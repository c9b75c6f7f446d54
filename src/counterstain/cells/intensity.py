"""How strongly positive nuclei are stained: weak, moderate or strong, from the table alone.

Columns in, one class per nucleus out. Whether a nucleus is positive at all is decided elsewhere (``classify``).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.table import CellColumns
from counterstain.errors import UsageError

NEGATIVE, WEAK, MODERATE, STRONG = 0, 1, 2, 3
"""Intensity classes; QuPath calls the last three 1+, 2+ and 3+."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """From where on a nucleus is stained weakly, moderately and strongly."""

    name: str
    """Of the preset; ``own`` for thresholds that somebody chose."""
    column: str = "dab_od_mean"
    """Of the table: what is compared with the thresholds."""
    weak: float
    """Where a rule that compares the column decides about positive, what is at least this is; it plays no part else."""
    moderate: float
    """A positive nucleus of at least this is moderately stained, in the unit of the column."""
    strong: float
    """A positive nucleus of at least this is strongly stained, in the unit of the column."""

    def __post_init__(self) -> None:
        if not 0 <= self.weak <= self.moderate <= self.strong:
            shown = ", ".join(f"{value:g}" for value in (self.weak, self.moderate, self.strong))
            raise UsageError(f"thresholds of weak, moderate and strong staining must be 0 or more and rise, got {shown}")


QUPATH = Intensity(name="qupath", weak=0.2, moderate=0.4, strong=0.6)
"""The thresholds that QuPath suggests for the mean optical density of DAB in a nucleus."""

MARKER = Intensity(name="marker", column="marker_mean", weak=0.25, moderate=0.5, strong=0.75)
"""Quarters of the range of the inferred marker."""

PRESETS = {preset.name: preset for preset in (QUPATH, MARKER)}
"""Name -> thresholds."""


def intensity_classes(cells: CellColumns, intensity: Intensity) -> NDArray[np.uint8]:
    """Return (n,) uint8: 0 for negative nuclei, 1 to 3 for those that are stained weakly, moderately and strongly.

    A positive nucleus whose measurement is below ``moderate``, or does not exist (NaN), is weak.
    """
    return classes_of(cells["is_positive"], cells[intensity.column], intensity)


def classes_of(is_positive: NDArray[np.bool_], measured: NDArray[Any], intensity: Intensity) -> NDArray[np.uint8]:
    """Return the classes of ``intensity_classes`` from bare columns of (n,)."""
    shown = np.asarray(measured, np.float32)  # as the table holds them, so that a tie is one
    above = (shown >= np.float32(edge) for edge in (intensity.moderate, intensity.strong))
    steps = sum((passed.astype(np.uint8) for passed in above), np.uint8(1))
    return np.where(is_positive, steps, 0).astype(np.uint8)
