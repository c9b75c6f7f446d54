"""Find all mistakes in the options of the commands that write bundles, before any work starts."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from counterstain.errors import UsageError
from counterstain.inference.bundle import MANIFEST

MAX_TEXT = 1000
"""Characters of a text in a manifest."""

MAX_CARD_BYTES = 2**20


def refuse(faults: Iterable[str]) -> None:
    """End the command where there are mistakes in its options.

    Raises
    ------
    UsageError
        One line per fault.
    """
    found = list(faults)
    if found:
        raise UsageError("\n  ".join([f"{len(found)} fault{'s'[: len(found) > 1]} in the options", *found]))


def bundle_faults(bundle: Path, texts: dict[str, str], precision: str, validation: Path | None) -> Iterator[str]:
    """Yield the mistakes in where a bundle goes and what it is to hold.

    Parameters
    ----------
    texts : option -> text for the manifest.
    """
    if not bundle.parent.is_dir():
        yield f"BUNDLE: the folder {bundle.parent}, in which it would be made, does not exist"
    elif bundle.exists() and not (bundle / MANIFEST).is_file() and (not bundle.is_dir() or any(bundle.iterdir())):
        yield f"BUNDLE: {bundle} exists and is not a bundle; it would be replaced, so choose another name"
    for option, text in texts.items():
        if not text.strip() or len(text) > MAX_TEXT or not text.isprintable():
            yield f"{option}: expected one line of printable text, 1 to {MAX_TEXT} characters, got {text[:80]!r}"
    if precision == "int8" and validation is None:
        yield "--precision int8 needs --validation, the list of annotated image sets that it is measured on"
    if precision != "int8" and validation is not None:
        yield f"--validation is used by --precision int8 alone, and the precision is {precision}"
    if validation is not None and not validation.is_file():
        yield f"--validation: {validation} is not a file"


def run_faults(run: Path, checkpoint: str, card: Path | None) -> Iterator[str]:
    """Yield what is wrong with the run that is exported."""
    if not run.is_dir():
        yield f"RUN: {run} is not a folder; expected that of a training run"
    elif not is_plain(checkpoint):
        yield f"--checkpoint: expected the name of a file in {run}, got {checkpoint[:80]!r}"
    elif not (run / checkpoint).is_file():
        held = ", ".join(sorted(path.name for path in run.glob("*.pt"))) or "none"
        yield f"--checkpoint: {run} has no {checkpoint}; checkpoints there: {held}"
    if card is not None and card.stat().st_size > MAX_CARD_BYTES:
        yield f"--card: {card} has {card.stat().st_size:,} bytes; a model card has at most {MAX_CARD_BYTES:,}"


def model_faults(folder: Path, epoch: str, seg_weights: str | None) -> Iterator[str]:
    """Yield what is wrong with the published model that is imported."""
    if not folder.is_dir():
        yield f"FOLDER: {folder} is not a folder; expected that of a model with train_opt.txt and its weights"
    if not is_plain(epoch):
        yield f"--epoch: expected the text before _net_ in the names of the weights, got {epoch[:80]!r}"
    try:
        weights = weights_in(seg_weights) or (1.0,)
    except ValueError:
        yield f"--seg-weights: expected numbers separated by commas, got {str(seg_weights)[:80]!r}"
        return
    if not all(0 <= weight <= 1 for weight in weights) or not math.isclose(sum(weights), 1, abs_tol=1e-6):
        yield f"--seg-weights: expected numbers from 0 to 1 that add up to 1, got {str(seg_weights)[:80]!r}"


def weights_in(text: str | None) -> tuple[float, ...] | None:
    """Return the numbers of a text like ``0.5,0,0,0,0.5``; None of None.

    Raises
    ------
    ValueError
        A part is not a number.
    """
    return None if text is None else tuple(float(part) for part in text.split(","))


def is_plain(name: str) -> bool:
    """Return whether a text is the name of one file, and no path."""
    return bool(name) and name.isprintable() and PurePath(name).name == name and "\\" not in name
