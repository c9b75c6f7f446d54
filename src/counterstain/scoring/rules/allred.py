"""Allred score: how many nuclei are stained, in six steps, plus how strongly on average, in four.

There are two readings of where a step ends: that of the published text, and that of QuPath. Each is a score of its own.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

from counterstain.scoring.base import Population, Score
from counterstain.scoring.categories import Categories, CutOff
from counterstain.scoring.fraction import few_nuclei, percent_positive
from counterstain.scoring.rules.calling import categorised
from counterstain.scoring.rules.staining import Staining, average_intensity, average_interval, staining

CATEGORIES = Categories(lowest="negative", cut_offs=(CutOff(value=3, above="positive"),))
"""By Harvey et al., Journal of Clinical Oncology 17 (1999) 1474-1481: a total of more than 2 is positive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Where the steps of the proportion lie, and how the intensities are averaged."""

    name: str
    """Of the score that uses them."""
    edges: tuple[CutOff, ...]
    """Shares of positive nuclei, 0 to 1, at which the second to the fifth step begin."""
    moderate: Fraction | None = None
    """Smallest average intensity, 1 to 3, that is moderate; None rounds the average to a whole number, halves up."""
    strong: Fraction | None = None
    """Largest average intensity that is not yet strong."""


def _edges(*, included: tuple[bool, bool, bool, bool]) -> tuple[CutOff, ...]:
    shares = (1 / 100, 1 / 10, 1 / 3, 2 / 3)
    return tuple(
        CutOff(value=share, above=str(step), included=own)
        for step, (share, own) in enumerate(zip(shares, included, strict=True), start=2)
    )


PUBLISHED = Steps(name="allred", edges=_edges(included=(True, False, False, False)))
"""Allred et al., Modern Pathology 11 (1998) 155-168: below 1/100, to 1/10, to 1/3, to 2/3, above 2/3."""

QUPATH = Steps(
    name="allred_qupath", edges=_edges(included=(True, True, True, True)), moderate=Fraction(5, 3), strong=Fraction(7, 3)
)
"""As QuPath counts: from 1 %, from 10 %, from 1/3, from 2/3; the range of the average intensity is cut in thirds."""


def allred(population: Population) -> Score:
    """Return the Allred score, 0 or 2 to 8, with the steps of the published text; NaN without a nucleus.

    The ends of the interval are the scores of the ends of the two intervals, of the share and of the average intensity, so that
    it is rather too wide than too narrow.
    """
    return _allred(population, PUBLISHED)


def allred_qupath(population: Population) -> Score:
    """Return the Allred score with the steps of QuPath; see ``allred``."""
    return _allred(population, QUPATH)


def _allred(population: Population, steps: Steps) -> Score:
    found = staining(population)
    proportion, intensity = allred_of(found, steps)
    (low, high), (weakest, strongest) = percent_positive(population).interval, average_interval(population)
    ends = [_sum(share / 100, average, steps) for share, average in ((low, weakest), (high, strongest))]
    score = Score(
        name=steps.name,
        value=float(proportion + intensity) if found.total else math.nan,
        interval=(ends[0], ends[1]) if found.total else (math.nan, math.nan),
        interval_method="of the ends of share and intensity",
        unit="",
        counts=found.counts(),
        warnings=few_nuclei(found.total),
        parts={"proportion": float(proportion), "intensity": float(intensity)} if found.total else {},
    )
    return categorised(score, CATEGORIES)


def allred_of(found: Staining, steps: Steps) -> tuple[int, int]:
    """Return the proportion score, 0 to 5, and the intensity score, 0 to 3, of four counts; 0 and 0 without a nucleus."""
    if not found.positive:
        return 0, 0
    if steps.moderate is None:
        return _proportion(found.positive / found.total, steps), average_intensity(found)
    return _proportion(found.positive / found.total, steps), _intensity(Fraction(found.weighted, found.positive), steps)


def _proportion(share: float, steps: Steps) -> int:
    return 1 + sum(edge.is_passed_by(share) for edge in steps.edges) if share > 0 else 0


def _intensity(average: Fraction | float, steps: Steps) -> int:
    if steps.moderate is None or steps.strong is None:
        return math.floor(average + 0.5)
    return 1 + (average >= steps.moderate) + (average > steps.strong)


def _sum(share: float, average: float, steps: Steps) -> float:
    """Return the score of a share and an average intensity."""
    if math.isnan(share) or not share > 0:
        return 0.0
    return float(_proportion(share, steps) + _intensity(average, steps))
