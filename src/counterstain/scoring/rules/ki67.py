"""Ki-67: the labelling index of breast cancer, and the Ki-67 part of the grade of a neuroendocrine tumour."""

from dataclasses import replace

from counterstain.scoring.base import Population, Score
from counterstain.scoring.categories import Categories, CutOff
from counterstain.scoring.fraction import percent_positive
from counterstain.scoring.rules.calling import categorised
from counterstain.scoring.rules.receptors import ALL_NUCLEI

ENOUGH_NUCLEI = 500
"""Nuclei that both rules ask for."""

BREAST = Categories(
    lowest="low", cut_offs=(CutOff(value=5, above="intermediate", included=False), CutOff(value=30, above="high"))
)
"""5 % or less and 30 % or more: Nielsen et al., Journal of the National Cancer Institute 113 (2021) 808-819."""

NEUROENDOCRINE = Categories(lowest="G1", cut_offs=(CutOff(value=3, above="G2"), CutOff(value=20, above="G3", included=False)))
"""Below 3 %, 3 to 20 %, above 20 %: WHO Classification of Tumours, Digestive System Tumours, 5th edition (2019)."""

BREAST_NOTES = (
    "between 5 and 30 % laboratories do not agree well enough for the value to guide a treatment (International Ki67 in Breast "
    "Cancer Working Group)",
    "a cut-off of 20 % for abemaciclib holds for the test that was approved for it, and not for this one",
)

GRADE_NOTES = (
    "the Ki-67 part of the grade only: mitoses per 2 mm2 were not counted, and the higher of the two grades counts",
    "the rule asks for the hot spot: score it as a region",
)


def ki67(population: Population) -> Score:
    """Return the Ki-67 labelling index of breast cancer: the percentage of positive nuclei, low (to 5 %) or high (from 30 %).

    Interval and warnings are those of ``percent_positive``, and a warning below 500 nuclei (Dowsett et al., Journal of the
    National Cancer Institute 103 (2011) 1656-1664).
    """
    score = replace(percent_positive(population), name="ki67", notes=(*BREAST_NOTES, ALL_NUCLEI))
    scarce = _scarce(score)
    return categorised(replace(score, warnings=(*score.warnings, scarce)) if scarce else score, BREAST)


def net_grade(population: Population) -> Score:
    """Return the percentage of positive nuclei of a neuroendocrine tumour, with the grade that it stands for: G1, G2 or G3.

    Interval and warnings are those of ``percent_positive``. Below 500 nuclei no grade is given, and a warning says so.
    """
    score = replace(percent_positive(population), name="net_grade", notes=(*GRADE_NOTES, ALL_NUCLEI))
    scarce = _scarce(score)
    return categorised(score, NEUROENDOCRINE, withheld=f"{scarce}, so no grade is given" if scarce else "")


def _scarce(score: Score) -> str:
    total = score.counts["total"]
    return f"{score.name}: {total} nuclei were counted, and the rule asks for {ENOUGH_NUCLEI}" if total < ENOUGH_NUCLEI else ""
