"""``DIR/NAME/``: all files of one slide, which appear together or not at all."""

from collections.abc import Iterable
from pathlib import Path

from counterstain.analysis import Analysis
from counterstain.errors import ELSEWHERE, REPLACE, OutputError, Remedy
from counterstain.files import replacing_folder
from counterstain.outputs.names import writers_for
from counterstain.panel import Panel
from counterstain.results.cells import FILE_NAME as CELLS_NAME
from counterstain.results.cells import write_cells
from counterstain.results.record import FILE_NAME, read_record, write_record


def write_folder(analysis: Analysis, folder: Path, formats: Iterable[str]) -> tuple[str, ...]:
    """Write the files of the formats, ``cells.npz`` and ``analysis.json`` into ``folder`` and return their names.

    What an earlier run wrote there is replaced as a whole; whatever else lies in the folder stays.

    Raises
    ------
    OutputError
        Something cannot be written; an earlier folder is then unchanged and a new one does not appear.
    """
    writers = {**writers_for(formats, analysis.manifest.panel), CELLS_NAME: write_cells}
    names = tuple(writers)
    earlier = written_files(folder)
    with replacing_folder(folder, lambda name: name in earlier or name in names or name == FILE_NAME) as hidden:
        for name, write in writers.items():
            write(analysis, hidden / name)
        write_record(analysis, hidden / FILE_NAME, names)
    return (*names, FILE_NAME)


def written_files(folder: Path) -> frozenset[str]:
    """Return the names of the files in ``folder`` that its ``analysis.json`` says a run has written; none without one."""
    found = read_record(folder)
    return frozenset(found.files) if found else frozenset()


def is_output(path: Path) -> bool:
    """Return whether a file was written by an earlier run."""
    return path.name in written_files(path.parent)


def homes(inputs: Iterable[Path]) -> frozenset[Path]:
    """Return every folder, however far up, that holds an input."""
    return frozenset(parent for path in inputs for parent in path.resolve().parents)


def check_apart(folder: Path, inhabited: frozenset[Path]) -> None:
    """Check that no input lies in a folder that is about to be replaced.

    Parameters
    ----------
    inhabited : the ``homes`` of the inputs.

    Raises
    ------
    OutputError
        One does.
    """
    if folder.resolve() in inhabited:
        raise OutputError(f"{folder} holds an image to analyse, so a result there would replace its own input", ELSEWHERE)


def check_free(folder: Path, formats: Iterable[str], panel: Panel) -> None:
    """Check that writing would replace nothing.

    Raises
    ------
    OutputError
        The folder holds an earlier result, or files of the same names from elsewhere, or is a file.
    """
    if read_record(folder) is not None:
        raise OutputError(f"{folder} already holds a result", REPLACE, ELSEWHERE)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file where a folder is needed", Remedy("move it away"), ELSEWHERE)
    taken = sorted(name for name in (*writers_for(formats, panel), CELLS_NAME, FILE_NAME) if (folder / name).exists())
    if taken:
        raise OutputError(f"{folder} already holds {', '.join(taken)}", Remedy("replace them", "overwrite"), ELSEWHERE)
