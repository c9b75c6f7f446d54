"""Tables of text as people's programs write them: spreadsheets of any country, pandas and R.

Read: a comma, semicolon or tab between fields, a point or a comma in numbers, quotes, a byte order mark, UTF-8 or UTF-16, a
column of row numbers, and the words that each program has for true, false and what is missing. Written: text that a spreadsheet
shows as it is. Knows no column.
"""

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

DELIMITERS = ",;\t"

TRUE = frozenset({"true", "t", "1", "1.0", "yes", "wahr", "vrai", "verdadero", "verdadeiro", "vero", "waar", "sand", "prawda"})
FALSE = frozenset({"false", "f", "0", "0.0", "no", "falsch", "faux", "falso", "onwaar", "falsk", "fałsz"})
MISSING = frozenset({"", "na", "nan", "-nan", "n/a", "#n/a", "<na>", "null", "none"})
"""Words for what does not exist, in small letters."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A field that begins so is a formula to a spreadsheet, which computes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The names of the columns of a table and, one after the other, its rows."""

    names: tuple[str, ...]
    rows: Iterator[tuple[int, list[str]]]
    """Number of the line, and a text for each column; raises ValueError at a row that has more or fewer."""


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Yield the text of a file in UTF-8, or in UTF-16 where it begins with its mark.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        It is in another encoding, as is met while the text is read.
    """
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding=encoding_of(raw.peek(2)), newline="") as text:
        try:
            yield text
        except UnicodeDecodeError as error:
            raise ValueError(f"it is not in UTF-8 ({error}); save it as CSV in UTF-8") from error


def encoding_of(start: bytes) -> str:
    """Return the encoding of a text that starts with these bytes."""
    return "utf-16" if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def read_sheet(lines: Iterable[str]) -> Sheet:
    """Return the table in lines of text. Empty lines, and ``sep=`` before the header, are left out.

    Raises
    ------
    ValueError
        It is not such a text, or has no header.
    """
    source = iter(lines)
    first = next((line for line in source if line.strip(" \r\n,;\t") and not line.lower().startswith("sep=")), "")
    first = first.lstrip("\ufeff")  # a second mark, as some programs write
    delimiter = max(DELIMITERS, key=first.count)
    (names,) = [*_fields([first], delimiter)] or [(0, [])]
    if not names[1]:
        raise ValueError("it is empty")
    return Sheet(names=tuple(name.strip() for name in names[1]), rows=_rows(source, delimiter, len(names[1])))


def _rows(lines: Iterator[str], delimiter: str, count: int) -> Iterator[tuple[int, list[str]]]:
    for number, fields in _fields(lines, delimiter):
        if any(fields[count:]) or len(fields) < count:
            raise ValueError(f"row {number} has {len(fields)} fields and the header {count}")
        yield number, fields[:count]


def _fields(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    number = 0
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(f"row {number + 1}: {error}") from error
        if any(fields):
            number += 1
            yield number, fields


def numbers(texts: Sequence[str], kind: type[np.generic] = np.float64) -> NDArray[np.generic]:
    """Return numbers with a point or a comma; what is missing is NaN, where the type has one.

    Raises
    ------
    ValueError
        A text is not a number of the type; the message shows it.
    """
    plain = np.array([_plain(text) for text in texts], dtype="U32")
    if np.issubdtype(kind, np.floating):
        return plain.astype(kind)
    try:
        return plain.astype(kind)
    except ValueError:
        return _whole(plain.astype(np.float64), kind)


def _plain(text: str) -> str:
    word = text.strip()
    return "nan" if word.lower() in MISSING else word.replace(",", ".")


def _whole(values: NDArray[np.float64], kind: type[np.generic]) -> NDArray[np.generic]:
    """Return whole numbers that were saved with a point or an exponent."""
    exact = np.where(np.isfinite(values), values, 0.5).astype(kind)
    if (exact != values).any():
        raise ValueError(f"{values[exact != values][0]:g} is not a whole number")
    return exact


def truths(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Return (n,) bool of the words for true and false, in any language that spreadsheets use for them here.

    Raises
    ------
    ValueError
        A text is neither; the message shows it.
    """
    words = [text.strip().lower() for text in texts]
    odd = next((text for text, word in zip(texts, words, strict=True) if word not in TRUE and word not in FALSE), None)
    if odd is not None:
        raise ValueError(f"{odd!r} is neither true nor false")
    return np.array([word in TRUE for word in words], dtype=np.bool_)


def as_shown(text: str) -> str:
    """Return text that a spreadsheet shows and does not compute: an apostrophe stands before what looks like a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
