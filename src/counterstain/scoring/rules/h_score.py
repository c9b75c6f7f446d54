"""H-score: how many nuclei are stained, weighed by how strongly."""

from counterstain.cells.intensity import intensity_classes
from counterstain.scoring.base import Population, Score
from counterstain.scoring.blocks import block_of_each
from counterstain.scoring.fraction import few_nuclei
from counterstain.scoring.rules.staining import Staining, mean_interval, staining_of


def h_score(population: Population) -> Score:
    """Return the H-score, from 0 (no nucleus is stained) to 300 (all are strongly stained).

    It is the percentage of weakly stained nuclei, plus twice that of moderately, plus three times that of strongly stained ones
    (McCarty et al., Archives of Pathology and Laboratory Medicine 109 (1985) 716-721). The 95 % interval is that of a mean over
    blocks of 250 um; see ``clustered_mean``. Without a nucleus the value and the interval are NaN.
    """
    classes = intensity_classes(population.cells, population.intensity)
    found = staining_of(classes)
    low, high = mean_interval(classes / 3, block_of_each(population.cells))
    return Score(
        name="h_score",
        value=h_score_of(found),
        interval=(300 * low, 300 * high),
        interval_method="mean, design effect of blocks",
        unit="",
        counts=found.counts(),
        warnings=few_nuclei(found.total),
    )


def h_score_of(found: Staining) -> float:
    """Return the H-score of four counts; NaN without a nucleus."""
    return 100 * found.weighted / found.total if found.total else float("nan")
