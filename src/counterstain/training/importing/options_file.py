"""Read ``train_opt.txt``: the options with which a published model was trained.

Each line is ``key: value``, and old files add a tab and ``[default: ...]``. The published software evaluates every value as
Python; here a value is a literal or it stays text, so nothing in the file can run. ``np.uint8(12)``, as NumPy 2 writes numbers,
is read as 12.
"""

import ast
import re
from pathlib import Path
from typing import Any

from counterstain.errors import TrainingError

OPTIONS_FILES = ("test_opt.txt", "train_opt.txt")
"""Names in order of preference, which is that of the published software."""

MAX_BYTES = 1_000_000
MAX_VALUE_LENGTH = 10_000
"""Longer values stay text: a literal nested very deeply would exhaust Python's parser."""

_DEFAULT = re.compile(r"\[default[^\n]*\]\s*$")
_NUMPY_NUMBER = re.compile(r"\b(?:np|numpy)\.(?:u?int\d*|float\d*|bool_?)\(([^()]*)\)")

Value = Any
"""None, a bool, a number, a string, or lists, tuples and dicts of these."""


def read_options(folder: Path) -> dict[str, Value]:
    """Return the options of a model's folder.

    Raises
    ------
    TrainingError
        There is no such file, or it cannot be read as text.
    """
    path = next((folder / name for name in OPTIONS_FILES if (folder / name).is_file()), None)
    if path is None:
        raise TrainingError(f"{folder} has no {OPTIONS_FILES[1]}, which says how its networks are built; copy it there too")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TrainingError(f"{path} is larger than {MAX_BYTES:,} bytes; an options file is a page of text")
        return parse_options(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"cannot read {path}: {error}") from error


def parse_options(text: str) -> dict[str, Value]:
    """Return key -> value of every line with a colon; of a key that comes twice the last."""
    options = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            options[key.strip()] = parse_value(_DEFAULT.sub("", value).strip())
    return options


def parse_value(text: str) -> Value:
    """Return the Python literal that a text is, else the text itself."""
    if len(text) > MAX_VALUE_LENGTH:
        return text
    try:
        return ast.literal_eval(_NUMPY_NUMBER.sub(r"\1", text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
