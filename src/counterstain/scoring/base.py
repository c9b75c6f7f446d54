"""What is scored, and what every score is: a number with its interval, its counts and what it warns about."""

from collections.abc import Callable
from dataclasses import dataclass, field

from counterstain.cells.intensity import QUPATH, Intensity
from counterstain.cells.table import CellColumns
from counterstain.scoring.categories import Categories
from counterstain.slides.base import Resolution


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The nuclei that one score is about, and the ground that they lie on: a whole slide, or a part of it."""

    cells: CellColumns
    area_mm2: float | None
    """Area in square millimetres that the nuclei were looked for in; None where it was not measured."""
    resolution: Resolution
    """Size of the pixels that the positions of the nuclei count in."""
    intensity: Intensity = QUPATH
    """From which measurement on a positive nucleus is weakly, moderately or strongly stained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One number about a population."""

    name: str
    value: float
    """NaN when it cannot be given; a warning says why."""
    interval: tuple[float, float]
    """95 % confidence interval, in the unit of the value."""
    interval_method: str
    unit: str
    counts: dict[str, int]
    region: str = "all"
    warnings: tuple[str, ...] = field(default=())
    area_mm2: float | None = None
    """What a density is per, in square millimetres; None for scores that no area is part of."""
    category: str = ""
    """What the value is called by the rule of the score, such as a grade; empty where it has none, or none may be given."""
    categories: Categories | None = None
    """All categories of the score, with the cut-offs between them; None where it has none."""
    parts: dict[str, float] = field(default_factory=dict)
    """Numbers that the value was made of, by name, such as the two halves of an Allred score."""
    notes: tuple[str, ...] = ()
    """Sentences that belong beside the value when it is reported; unlike warnings they hold of every such value."""


Scorer = Callable[[Population], Score]
"""A rule that turns a population into one score; without a nucleus, or without an area that it needs, the value is NaN and a
warning says why."""
