"""The category of a score: called by its value, and doubted where its interval reaches into another one."""

from dataclasses import replace

from counterstain.scoring.base import Score
from counterstain.scoring.categories import Categories, CutOff


def categorised(score: Score, categories: Categories, *, withheld: str = "") -> Score:
    """Return a score with its category, and with a warning where its interval reaches into another one.

    Parameters
    ----------
    withheld : why no category may be given although there is a value, for people; empty where one may.
    """
    category = "" if withheld else categories.of(score.value)
    warnings = [withheld] if withheld else []
    if category and (crossed := categories.crossed(score.interval)):
        warnings.append(too_close(score, crossed))
    return replace(score, category=category, categories=categories, warnings=(*score.warnings, *warnings))


def too_close(score: Score, crossed: tuple[CutOff, ...]) -> str:
    """Return the warning that an interval crosses cut-offs, so that chance alone may have chosen the category."""
    low, high = score.interval
    unit = f" {score.unit}" if score.unit else ""
    named = " and ".join(f"{cut.value:g}{unit}" for cut in crossed)
    return f"{score.name}: too close to call, as the interval of {low:.1f} to {high:.1f}{unit} crosses the cut-off at {named}"
