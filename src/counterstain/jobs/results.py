"""The results that a folder holds, for those who work on each of them again."""

from pathlib import Path

from counterstain.errors import OutputError
from counterstain.results.opening import damaged_in, results_in
from counterstain.results.record import Record

Results = list[tuple[Path, Record]]
Damaged = list[tuple[Path, OutputError]]


def find_results(folder: Path) -> tuple[Results, Damaged]:
    """Return the results in a folder, itself or those directly in it, and those whose record cannot be read, with why.

    Raises
    ------
    UsageError
        There is neither, or one is of a later format.
    """
    damaged = damaged_in(folder)
    return results_in(folder, none_is_fine=bool(damaged)), damaged
