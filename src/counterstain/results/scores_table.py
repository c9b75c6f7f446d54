"""``DIR/scores.csv``: what ``scores.json`` says of every result in a folder, one row per image and region."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from counterstain.files import replacing
from counterstain.results.record import ScoreRecord
from counterstain.results.scores import FILE_NAME as SCORES
from counterstain.results.scores import FORMAT_NAME, Rescored
from counterstain.results.summary import Failure
from counterstain.scoring.names import DEFAULT, MAIN, SCORERS
from counterstain.spreadsheets import as_shown

FILE_NAME = "scores.csv"
COLUMNS = (
    "name",
    "region",
    "status",
    "area_mm2",
    "nuclei",
    "positive",
    "negative",
    *(f"{name}{end}" for name in SCORERS for end in ("", "_low", "_high", "_category")),
    "threshold",
    "marker_threshold",
    "regions",
    "warnings",
    "error",
)
ALWAYS = tuple(f"{name}{end}" for name in DEFAULT for end in ("", "_low", "_high"))
"""Columns of scores that are there even where no row has them; the others are not."""


def write_scores_table(folder: Path, done: set[str], failures: Iterable[Failure]) -> Path:
    """Write ``scores.csv`` over all results in ``folder`` that were scored again, and the failures of this run.

    Parameters
    ----------
    done : names of the results that this run has scored; those of earlier runs have the status ``kept``.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    path = folder / FILE_NAME
    rows = [row for name, content in _read_scores(folder) for row in _rows(name, content, "done" if name in done else "kept")]
    rows += [{"name": failure.name, "status": "failed", "error": " ".join(failure.error.split())} for failure in failures]
    with replacing(path) as hidden, hidden.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _columns_of(rows), lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(
            {key: as_shown(value) if isinstance(value, str) else value for key, value in row.items()} for row in rows
        )
    return path


def _columns_of(rows: list[dict[str, Any]]) -> list[str]:
    of_scores = {f"{name}{end}" for name in SCORERS for end in ("", "_low", "_high", "_category")}
    found = {name for row in rows for name in row}
    return [name for name in COLUMNS if name in ALWAYS or name in found or name not in of_scores]


def _read_scores(folder: Path) -> Iterator[tuple[str, Rescored]]:
    for entry in sorted(folder.iterdir()):
        path = entry / SCORES
        if entry.name.startswith(".") or not path.is_file():
            continue
        try:
            content = Rescored.model_validate_json(path.read_bytes())
        except ValidationError:  # of another program, or damaged: the next run of score writes it anew
            continue
        if content.format == FORMAT_NAME:
            yield entry.name, content


def _rows(name: str, content: Rescored, status: str) -> list[dict[str, Any]]:
    regions: dict[str, list[ScoreRecord]] = {}
    for score in content.scores:
        regions.setdefault(score.region, []).append(score)
    shared = {
        "name": name,
        "status": status,
        "threshold": content.thresholds.get("threshold"),
        "marker_threshold": content.thresholds.get("marker_threshold"),
        "regions": content.regions,
    }
    return [
        {**shared, "region": region, **_numbers(scores, content.warnings if region == "all" else ())}
        for region, scores in regions.items()
    ]


def _numbers(scores: list[ScoreRecord], warnings: tuple[str, ...]) -> dict[str, Any]:
    said = dict.fromkeys([*warnings, *(warning for score in scores for warning in score.warnings)])
    row: dict[str, Any] = {"warnings": " ".join("; ".join(said).split())}
    for score in scores:
        low, high = score.interval_95
        row |= {score.name: score.value, f"{score.name}_low": low, f"{score.name}_high": high}
        if score.categories is not None:
            row[f"{score.name}_category"] = score.category
        if score.area_mm2 is not None:
            row["area_mm2"] = score.area_mm2
        if score.name == MAIN:
            row |= {"nuclei": score.counts.get("total"), **{key: score.counts.get(key) for key in ("positive", "negative")}}
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in row.items() if key in COLUMNS}
