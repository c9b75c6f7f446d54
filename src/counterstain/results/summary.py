"""``DIR/summary.csv``: one row per image of an output folder, also for images that failed."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from counterstain.errors import Remedy
from counterstain.files import replacing
from counterstain.results.record import Record, ScoreRecord, read_record
from counterstain.results.slide import SlideRecord
from counterstain.scoring.names import MAIN
from counterstain.spreadsheets import as_shown

FILE_NAME = "summary.csv"
COLUMNS = (
    "name",
    "source",
    "status",
    "nuclei",
    "positive",
    "negative",
    MAIN,
    f"{MAIN}_low",
    f"{MAIN}_high",
    "mpp",
    "mpp_source",
    "stains",
    "bundle",
    "bundle_version",
    "warnings",
    "error",
    "series",
    "series_name",
    "images",
    "width_px",
    "height_px",
    "frame_row_px",
    "frame_col_px",
)
OPTIONAL = ("stains",)
"""Columns that are left out where no result has a value, as in results of early versions."""

Status = Literal["done", "kept", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An input that has no result."""

    name: str
    source: str
    error: str
    """What happened and what to do about it."""
    kind: str = ""
    """Name of the type of the error."""
    remedies: tuple[Remedy, ...] = ()
    """What to do about it, as data."""
    traceback: str = ""
    """Where it was raised; empty where ``error`` says all that there is to say."""


def write_summary(folder: Path, done: set[str], failures: list[Failure]) -> Path:
    """Write ``summary.csv`` over all results that lie in ``folder`` and all failures of this run; return its path.

    Parameters
    ----------
    done : names of the results of this run; those of earlier runs have the status ``kept``.
    """
    path = folder / FILE_NAME
    rows = summary_rows(folder, done, failures)
    with replacing(path) as hidden, hidden.open("w", newline="", encoding="utf-8") as file:
        columns = [name for name in COLUMNS if name not in OPTIONAL or any(name in row for row in rows)]
        writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(
            {key: as_shown(value) if isinstance(value, str) else value for key, value in row.items()} for row in rows
        )
    return path


def summary_rows(folder: Path, done: set[str], failures: list[Failure]) -> list[dict[str, Any]]:
    """Return the rows in the order of the names, failures after results."""
    rows = []
    for entry in sorted(folder.iterdir()):
        content = None if entry.name.startswith(".") else read_record(entry)
        if content is not None:
            status: Status = "done" if entry.name in done else "kept"
            rows.append({"name": entry.name, "status": status, **result_row(content)})
    for failure in failures:
        row = {"name": failure.name, "source": failure.source, "status": "failed", "error": _one_line(failure.error)}
        rows.append(row)
    return rows


def result_row(content: Record) -> dict[str, Any]:
    """Return the part of a record that goes into the summary; a value that does not exist is left out."""
    slide, bundle, counts = content.slide, content.bundle, content.counts
    row = {
        "source": slide.source,
        "nuclei": counts.nuclei,
        "positive": counts.positive,
        "negative": counts.negative,
        **_main_score(content.scores),
        "mpp": slide.mpp,
        "mpp_source": slide.mpp_source,
        "stains": _stains(content),
        "bundle": bundle.name,
        "bundle_version": bundle.version,
        "warnings": _one_line("; ".join(content.warnings)),
        **_place(slide),
    }
    return {key: value for key, value in row.items() if value is not None}


def _place(slide: SlideRecord) -> dict[str, Any]:
    """Return which image of its file was analysed, its size and where it lies; older records say the size alone."""
    origin, frame = slide.origin, slide.frame
    return {
        **({"series": origin.series, "series_name": origin.name or None, "images": origin.images} if origin else {}),
        "width_px": slide.width_px,
        "height_px": slide.height_px,
        **({"frame_row_px": frame.row_px, "frame_col_px": frame.col_px} if frame else {}),
    }


def _main_score(scores: Sequence[ScoreRecord]) -> dict[str, Any]:
    for score in scores:
        if score.name == MAIN and score.region == "all":
            low, high = score.interval_95
            values = {MAIN: score.value, f"{MAIN}_low": low, f"{MAIN}_high": high}
            return {key: None if value is None else round(value, 2) for key, value in values.items()}
    return {}


def _stains(content: Record) -> str | None:
    """Return how the stains of the image look, and what that means for the model; None where they were not looked for."""
    stains = content.stains
    return f"{' and '.join(stains.hues) or 'none'} ({stains.verdict.replace('_', ' ')})" if stains else None


def _one_line(text: str) -> str:
    return " ".join(text.split())
