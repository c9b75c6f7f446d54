"""``cells.csv``: the cells table as text, one row per nucleus."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterstain.analysis import Analysis
from counterstain.outputs.atomic import replacing


def write_csv(analysis: Analysis, path: Path) -> None:
    """Write the table with a header, comma-separated, UTF-8; an empty field is a value that does not exist."""
    columns = analysis.cells.columns
    with replacing(path) as hidden, hidden.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(_as_text(column) for column in columns.values()), strict=True))


def _as_text(column: NDArray[Any]) -> list[str]:
    """Return each value in the fewest digits that read back as the same value."""
    if column.dtype == np.bool_:
        return ["true" if value else "false" for value in column]
    return ["" if text == "nan" else text for text in column.astype(str).tolist()]
