"""``scores.json``: other scores of a result, beside the ``analysis.json`` that stays as it was."""

import json
from pathlib import Path
from typing import Any

from counterstain.cells.table import CellTable
from counterstain.files import replacing
from counterstain.results.record import FILE_NAME as RECORD_NAME
from counterstain.results.record import counts_of, finite, score_record
from counterstain.scoring.base import Score
from counterstain.versions import FORMAT_VERSION

FILE_NAME = "scores.json"
FORMAT_NAME = "counterstain scores"


def write_scores(
    folder: Path, content: dict[str, Any], cells: CellTable, scores: tuple[Score, ...], *, regions: str = ""
) -> dict[str, Any]:
    """Write the scores into a result folder, add the file to the list of the folder's files, and return what was written.

    Parameters
    ----------
    content : the folder's ``analysis.json``; nothing but its list of files changes.
    cells : with the thresholds and classes that were scored.
    regions : the file of regions as it was named; empty without one.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    written: dict[str, Any] = finite(
        {
            "format": FORMAT_NAME,
            "format_version": FORMAT_VERSION,
            "slide": content["slide"]["name"],
            "regions": regions,
            "counts": counts_of(cells),
            "thresholds": cells.thresholds,
            "scores": [score_record(score) for score in scores],
        }
    )
    _write_json(folder / FILE_NAME, written)
    if FILE_NAME not in content["files"]:
        _write_json(folder / RECORD_NAME, {**content, "files": [*content["files"], FILE_NAME]})
    return written


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as hidden:
        hidden.write_text(text + "\n", encoding="utf-8", newline="\n")
