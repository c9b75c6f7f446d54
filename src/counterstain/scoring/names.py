"""Names of the scores, and what tables of results show of them."""

from collections.abc import Iterable

from counterstain.errors import UsageError
from counterstain.scoring.base import Scorer
from counterstain.scoring.density import density, positive_density
from counterstain.scoring.fraction import percent_positive
from counterstain.scoring.rules.allred import allred, allred_qupath
from counterstain.scoring.rules.h_score import h_score
from counterstain.scoring.rules.ki67 import ki67, net_grade
from counterstain.scoring.rules.receptors import er, pgr

SCORERS: dict[str, Scorer] = {
    "percent_positive": percent_positive,
    "density": density,
    "positive_density": positive_density,
    "h_score": h_score,
    "allred": allred,
    "allred_qupath": allred_qupath,
    "ki67": ki67,
    "er": er,
    "pgr": pgr,
    "net_grade": net_grade,
}
"""Score name -> the rule that computes it, in the order in which scores are reported."""

HEADINGS = {
    "percent_positive": "% positive",
    "density": "Nuclei/mm2",
    "positive_density": "Positive/mm2",
    "h_score": "H-score",
    "allred": "Allred",
    "allred_qupath": "Allred (QuPath)",
    "ki67": "Ki-67 %",
    "er": "ER %",
    "pgr": "PgR %",
    "net_grade": "NET grade, %",
}
"""Score name -> its heading in a table that people read."""

DEFAULT = ("percent_positive", "density", "positive_density")
"""The scores that are computed when none is named: those that mean the same whatever the antibody."""

REFUSED = {
    **dict.fromkeys(
        ("tps", "pd_l1_tps", "cps", "pd_l1_cps"),
        "PD-L1 is scored on tumour cells, and CPS also on lymphocytes and macrophages: nuclei have no class of cell here",
    ),
    **dict.fromkeys(
        ("her2", "her2_ihc"),
        "HER2 is scored by how completely and how strongly the membrane of each tumour cell is stained: membranes are not "
        "traced here, and nuclei have no class of cell",
    ),
}
"""Name of a score that people ask for and that cannot be given -> what is missing."""

MAIN = "percent_positive"
"""The score that a summary of many images shows."""


def scorers(names: Iterable[str]) -> tuple[Scorer, ...]:
    """Return the rules of these names, each once.

    Raises
    ------
    UsageError
        A name is unknown, and the message lists the known ones; or the score cannot be given, and the message says why.
    """
    chosen = tuple(dict.fromkeys(names))
    for name in chosen:
        if missing := REFUSED.get(name.lower().replace("-", "_")):
            raise UsageError(f"there is no score {name!r}: {missing}")
    unknown = [name for name in chosen if name not in SCORERS]
    if unknown:
        raise UsageError(f"there is no score {', '.join(map(repr, unknown))}; known are {', '.join(SCORERS)}")
    return tuple(SCORERS[name] for name in chosen)
