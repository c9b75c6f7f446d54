"""Names of the scores."""

from counterstain.errors import UsageError
from counterstain.scoring.base import Scorer
from counterstain.scoring.fraction import percent_positive

SCORERS: dict[str, Scorer] = {"percent_positive": percent_positive}
"""Score name -> the rule that computes it."""


def scorer(name: str) -> Scorer:
    """Return the rule of this name.

    Raises
    ------
    UsageError
        The name is unknown; the message lists the known ones.
    """
    if name not in SCORERS:
        raise UsageError(f"there is no score {name!r}; known are {', '.join(sorted(SCORERS))}")
    return SCORERS[name]
