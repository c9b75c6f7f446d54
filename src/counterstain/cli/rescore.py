"""What ``score`` does once its options are read."""

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from counterstain.cells.classify import classify
from counterstain.cells.table import CellTable
from counterstain.cli.console import show_columns, show_error, show_warning
from counterstain.jobs.boundary import Fault, attempted
from counterstain.jobs.document import failed_entry
from counterstain.results.opening import read_cells, results_in
from counterstain.results.part import as_json
from counterstain.results.record import Record, ScoreRecord
from counterstain.results.scores import FILE_NAME, Rescored, write_scores
from counterstain.results.summary import Failure
from counterstain.scoring.base import Population
from counterstain.scoring.names import DEFAULT, HEADINGS, MAIN, scorers
from counterstain.scoring.region_files import read_regions
from counterstain.scoring.regions import NO_REGIONS, region_warnings, score_regions
from counterstain.versions import FORMAT_VERSION


def rescore(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Score every result in a folder again, write ``scores.json`` into each, show the scores, and return whether any failed.

    Raises
    ------
    UsageError
        The folder holds no result, or the file of regions is wrong.
    """
    results = results_in(folder)
    scorers(settings["scores"])  # an unknown name is refused before any work
    if settings["regions"]:
        read_regions(settings["regions"], mpp=1.0)  # a file that is wrong for every slide is refused before any work
    written: list[tuple[Path, Rescored]] = []
    failures: list[Failure] = []
    for path, content in results:
        made = attempted(partial(_rescore_one, path, content, settings))
        if isinstance(made, Fault):
            failures.append(made.failure(path.name, content.slide.source))
            show_error(str(path), made.error)
        else:
            written.append((path, made))
    if settings["as_json"]:
        done = [{"status": "done", "name": path.name, "folder": str(path), **as_json(content)} for path, content in written]
        failed = [failed_entry(failure) for failure in failures]
        document = {"format_version": FORMAT_VERSION, "images": [*done, *failed]}
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n")
    elif not settings["quiet"]:
        names = tuple(dict.fromkeys(settings["scores"] or DEFAULT))
        rows = (row for path, content in written for row in region_rows(path.name, content.scores, names))
        show_columns([headings(names), *rows])
        ended = f", {len(failures)} failed" if failures else ""
        click.echo(f"written: {FILE_NAME} in {len(written)} of the folders in {folder}{ended}")
    return bool(failures)


def _rescore_one(folder: Path, content: Record, settings: Mapping[str, Any]) -> Rescored:
    cells = _classified(read_cells(folder, content), settings)
    slide, file = content.slide, settings["regions"]
    regions = read_regions(file, slide.sides) if file else NO_REGIONS
    faults = (*(content.stains.warnings() if content.stains else ()), *region_warnings(regions, slide.size))
    for message in () if settings["quiet"] else faults:
        show_warning(folder.name, message)
    whole = Population(cells=cells, area_mm2=slide.tissue_mm2, resolution=slide.resolution)
    scores = score_regions(whole, regions.parts, scorers(settings["scores"] or DEFAULT))
    return write_scores(folder, content, cells, scores, regions=str(file or ""))


def _classified(cells: CellTable, settings: Mapping[str, Any]) -> CellTable:
    """Return the cells called by the thresholds that were given, else by those of the result."""
    given = {name: settings[name] for name in ("threshold", "marker_threshold") if settings[name] is not None}
    if not given:
        return cells
    kept = {name: cells.thresholds.get(name) for name in ("threshold", "marker_threshold")}
    threshold, marker = ({**kept, **given}[name] for name in ("threshold", "marker_threshold"))
    return classify(cells, float(0.5 if threshold is None else threshold), None if marker is None else float(marker))


def headings(names: Sequence[str]) -> tuple[str, ...]:
    """Return what stands over ``region_rows``: each score; the main one with the nuclei that it counts and its interval."""
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
        return (value,)
    low, high = score.interval_95
    counts = (str(score.counts[key]) for key in ("total", "positive"))
    return (*counts, value, "-" if low is None else f"{low:.1f} to {high:.1f}")
