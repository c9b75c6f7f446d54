"""What ``score`` and ``segment`` do once their options are read: start the work, and show its results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from counterstain.cli.run import show_json, show_run
from counterstain.cli.showing.console import show_columns
from counterstain.cli.showing.progress import listening
from counterstain.jobs.order import order_from
from counterstain.jobs.rescoring import rescore
from counterstain.jobs.resegmenting import resegment
from counterstain.results.record import ScoreRecord
from counterstain.results.scores import FILE_NAME
from counterstain.results.scores_table import FILE_NAME as TABLE
from counterstain.scoring.names import DEFAULT, HEADINGS, MAIN


def segment_again(folder: Path, out: Path, settings: Mapping[str, Any]) -> bool:
    """Segment every result in a folder again, show the new results, and return whether anything failed."""
    order = order_from(settings, out)
    return show_run(lambda listener: resegment(folder, order, settings["slide"], listener), settings)


def score_again(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Score every result in a folder again, show the scores, and return whether anything failed."""
    order = order_from(settings, folder)
    with listening(quiet=True, warnings=not settings["quiet"]) as listener:
        outcome = rescore(folder, order, listener)
    if settings["as_json"]:
        show_json(outcome)
    elif not settings["quiet"]:
        names = tuple(dict.fromkeys(order.scores or DEFAULT))
        rows = (row for name, content in outcome.records for row in region_rows(name, content.scores, names))
        show_columns([headings(names), *rows])
        ended = f", {len(outcome.failures)} failed" if outcome.failures else ""
        click.echo(f"written: {FILE_NAME} in {len(outcome.records)} of the folders in {folder}, and {TABLE}{ended}")
    return bool(outcome.failures)


def headings(names: Sequence[str]) -> tuple[str, ...]:
    """Return the headings of ``region_rows``: each score, the main one with the nuclei that it counts and its interval."""
    parts = {**{name: [HEADINGS[name]] for name in names}, MAIN: ["Nuclei", "Positive", HEADINGS[MAIN], "95 % interval"]}
    return ("Image", "Region", *(heading for name in names for heading in parts[name]))


def region_rows(image: str, scores: Sequence[ScoreRecord], names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return one row under ``headings`` for each region; a dash is a number that does not exist."""
    found = {(score.region, score.name): score for score in scores}
    regions = dict.fromkeys(score.region for score in scores)
    return [(image, region, *(text for name in names for text in _texts(found[region, name]))) for region in regions]


def _texts(score: ScoreRecord) -> tuple[str, ...]:
    value = "-" if score.value is None else f"{score.value:.1f}"
    if score.name != MAIN:
        return (f"{value} ({score.category})" if score.category else value,)
    low, high = score.interval_95
    counts = (str(score.counts[key]) for key in ("total", "positive"))
    return (*counts, value, "-" if low is None else f"{low:.1f} to {high:.1f}")
