"""Names of the scores, and what tables of results show of them."""

from collections.abc import Iterable

from counterstain.errors import UsageError
from counterstain.scoring.base import Scorer
from counterstain.scoring.density import density, positive_density
from counterstain.scoring.fraction import percent_positive

SCORERS: dict[str, Scorer] = {
    "percent_positive": percent_positive,
    "density": density,
    "positive_density": positive_density,
}
"""Score name -> the rule that computes it, in the order in which scores are reported."""

HEADINGS = {"percent_positive": "% positive", "density": "Nuclei/mm2", "positive_density": "Positive/mm2"}
"""Score name -> its heading in a table that people read."""

DEFAULT = tuple(SCORERS)
"""The scores that are computed when none is named."""

MAIN = "percent_positive"
"""The score that a summary of many images shows."""


def scorers(names: Iterable[str]) -> tuple[Scorer, ...]:
    """Return the rules of these names, each once.

    Raises
    ------
    UsageError
        A name is unknown; the message lists the known ones.
    """
    chosen = tuple(dict.fromkeys(names))
    unknown = [name for name in chosen if name not in SCORERS]
    if unknown:
        raise UsageError(f"there is no score {', '.join(map(repr, unknown))}; known are {', '.join(SCORERS)}")
    return tuple(SCORERS[name] for name in chosen)
