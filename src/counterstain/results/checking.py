"""Check that a table that was read back is that of its record: nothing cut off, nothing changed by another program."""

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.table import CellColumns
from counterstain.results.record import CountsRecord, Record, counts_of

EXACT_DIGITS_FROM = 10**11
"""Excel writes whole numbers from here on with an exponent and six digits into a CSV."""


def check_cells(cells: CellColumns, record: Record) -> None:
    """Check that a table of nuclei is the one that a record counts.

    Raises
    ------
    ValueError
        It is not; the message says what differs.
    """
    counts = record.counts
    found = CountsRecord.model_validate(counts_of(cells))
    if (found.nuclei, found.positive) != (counts.nuclei, counts.positive):
        raise ValueError(f"it holds {_said(found)}, and the record counts {_said(counts)}: rows are missing or were changed")
    ids = cells["cell_id"]
    if len(np.unique(ids)) < len(ids) or _lost_digits(ids):
        raise ValueError("digits of cell_id are lost, as when a spreadsheet writes a long number with an exponent")
    size = record.slide.size
    inside = {"row_px": size.height, "col_px": size.width, "p_positive": 1, "area_um2": np.inf}
    odd = [name for name, most in inside.items() if not ((cells[name] >= -1) & (cells[name] <= most)).all()]
    odd += [name for name, side in zip(("row_um", "col_um"), record.slide.sides, strict=True) if _moved(cells, name, side)]
    if odd:
        raise ValueError(f"{', '.join(odd)}: values cannot be right, as when points and commas in numbers were confused")


def check_tiles(count: int, record: Record) -> None:
    """Check that a table has as many tiles as its record counts.

    Raises
    ------
    ValueError
        It has not.
    """
    if record.quality and count != record.quality.tiles:
        raise ValueError(
            f"it holds {count} tiles, and the record counts {record.quality.tiles}: rows are missing or were added"
        )


def _said(counts: CountsRecord) -> str:
    return f"{counts.nuclei} nuclei, of which {counts.positive} are positive"


def _lost_digits(ids: NDArray[np.int64]) -> bool:
    long = ids[ids >= EXACT_DIGITS_FROM]
    return len(long) > 0 and bool((long % 100_000 == 0).all())


def _moved(cells: CellColumns, name: str, side_um: float) -> bool:
    """Return whether positions in pixels and in micrometres are further apart than a pixel."""
    return not (np.abs(cells[name] - cells[name.replace("_um", "_px")] * side_um) <= side_um).all()
