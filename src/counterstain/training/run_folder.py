"""The folder of a training run, and the options that are kept in it. What is learned is not known here."""

import json
from dataclasses import asdict
from pathlib import Path

from counterstain.errors import TrainingError, UsageError
from counterstain.options import load_options
from counterstain.training.recipe import TrainOptions

OPTIONS = "options.json"
"""The options that a run was started with."""


def open_run(options: TrainOptions, *, writes: bool) -> Path:
    """Return the folder of the run, made where it is missing.

    Parameters
    ----------
    writes : whether this process writes the options; of several processes one does.

    Raises
    ------
    TrainingError
        It holds a run with other options that has learned something, or it cannot be made.
    """
    folder = Path(options.folder) / options.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not _holds(folder, options) and writes:
            temporary = (folder / OPTIONS).with_suffix(".partial")
            temporary.write_text(json.dumps(asdict(options), indent=2))
            temporary.replace(folder / OPTIONS)
    except OSError as error:
        raise TrainingError(f"cannot make the folder of the run {folder}: {error.strerror or error}") from error
    return folder


def _holds(folder: Path, options: TrainOptions) -> bool:
    """Return whether a folder has these options; other ones are replaced where a run stopped before it learned anything."""
    path = folder / OPTIONS
    if not path.exists() or {entry.name for entry in folder.iterdir()} == {OPTIONS}:
        return False
    if stored_options(folder) != options:
        raise TrainingError(f"{folder} holds a run with other options ({path}); choose another name, or remove the folder")
    return True


def stored_options(folder: Path) -> TrainOptions:
    """Return the options of a run; the default ones where it has none.

    Raises
    ------
    TrainingError
        They are damaged, or of another version.
    """
    path = folder / OPTIONS
    if not path.is_file():
        return TrainOptions()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"expected an object, got {str(values)[:80]}")
        return load_options(TrainOptions, None, values)
    except (OSError, ValueError, RecursionError, UsageError) as error:
        raise TrainingError(f"{path} cannot be read as the options of a run: {error}") from error
