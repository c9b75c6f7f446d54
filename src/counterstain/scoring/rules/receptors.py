"""Estrogen and progesterone receptors in breast cancer, by the guideline of ASCO and CAP.

Allison et al., Journal of Clinical Oncology 38 (2020) 1346-1366.
"""

from dataclasses import replace

from counterstain.scoring.base import Population, Score
from counterstain.scoring.categories import Categories, CutOff
from counterstain.scoring.fraction import percent_positive
from counterstain.scoring.rules.calling import categorised
from counterstain.scoring.rules.staining import AVERAGES, average_intensity, staining

ESTROGEN = Categories(
    lowest="negative", cut_offs=(CutOff(value=1, above="low positive"), CutOff(value=10, above="positive", included=False))
)
"""Below 1 %, 1 to 10 %, above 10 %."""

PROGESTERONE = Categories(lowest="negative", cut_offs=(CutOff(value=1, above="positive"),))
"""Below 1 %, and 1 % or more: the guideline reserves "low positive" for the estrogen receptor."""

ALL_NUCLEI = "every nucleus that was found is counted, of the tumour or not: give a region that holds invasive tumour alone"

LOW = (
    "1 to 10 %: the guideline asks for the comment that data on the benefit of endocrine therapy are limited at this level, "
    "and that such cancers resemble receptor-negative ones in part"
)

CONTROLS = "at 10 % or less the guideline asks for the status of the controls beside the result"


def er(population: Population) -> Score:
    """Return the percentage of nuclei positive for the estrogen receptor: negative, low positive (1-10 %) or positive.

    Interval and warnings are those of ``percent_positive``; ``parts`` has the average intensity of the positive nuclei.
    """
    score = categorised(_receptor(population, "er"), ESTROGEN)
    return replace(score, notes=(*score.notes, LOW)) if score.category == "low positive" else score


def pgr(population: Population) -> Score:
    """Return the percentage of nuclei positive for the progesterone receptor: negative, or positive from 1 % on; see ``er``."""
    return categorised(_receptor(population, "pgr"), PROGESTERONE)


def _receptor(population: Population, name: str) -> Score:
    found = staining(population)
    average = average_intensity(found)
    notes = [f"average intensity of the positive nuclei: {AVERAGES[average]}"] if average else []
    score = percent_positive(population)
    if score.value <= 10:
        notes.append(CONTROLS)
    return replace(
        score,
        name=name,
        counts=found.counts(),
        parts={"average_intensity": found.weighted / found.positive} if found.positive else {},
        notes=(*notes, ALL_NUCLEI),
    )
