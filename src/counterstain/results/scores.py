"""``scores.json``: other scores of a result, beside the ``analysis.json`` that stays as it was."""

import json
from pathlib import Path

from counterstain.cells.table import CellTable
from counterstain.results.part import Part, as_json, finite, write_json
from counterstain.results.record import FILE_NAME as RECORD_NAME
from counterstain.results.record import CountsRecord, Record, ScoreRecord, counts_of, score_record
from counterstain.scoring.base import Score
from counterstain.versions import FORMAT_VERSION

FILE_NAME = "scores.json"
FORMAT_NAME = "counterstain scores"


class Rescored(Part):
    """Content of a ``scores.json``."""

    format: str
    format_version: int
    slide: str
    regions: str
    counts: CountsRecord
    thresholds: dict[str, bool | int | float | str | None]
    scores: tuple[ScoreRecord, ...]
    warnings: tuple[str, ...] = ()


def write_scores(
    folder: Path,
    earlier: Record,
    cells: CellTable,
    scores: tuple[Score, ...],
    *,
    regions: str = "",
    warnings: tuple[str, ...] = (),
) -> Rescored:
    """Write the scores into a result folder, add the file to the list of the folder's files, and return what was written.

    Parameters
    ----------
    earlier : the folder's ``analysis.json``, of which nothing but the list of files changes.
    cells : with the thresholds and classes that were scored.
    regions : the file of regions as it was named; empty without one.
    warnings : what makes the scores less sure, beside what each score says.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    content = finite(
        {
            "format": FORMAT_NAME,
            "format_version": FORMAT_VERSION,
            "slide": earlier.slide.name,
            "regions": regions,
            "counts": counts_of(cells),
            "thresholds": cells.thresholds,
            "scores": [score_record(score) for score in scores],
            "warnings": list(warnings),
        }
    )
    write_json(folder / FILE_NAME, content)
    if FILE_NAME not in earlier.files:
        write_json(folder / RECORD_NAME, {**as_json(earlier), "files": [*earlier.files, FILE_NAME]})
    return Rescored.model_validate_json(json.dumps(content))
