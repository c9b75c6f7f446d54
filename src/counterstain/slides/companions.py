"""Leave out files that belong to a slide for which another file of the folder stands, so that a listing names each slide once.

The files of a DICOM slide are its levels, its label and its overview, and any of them opens it. A Hamamatsu VMS slide is an
index and JPEG files, of which one is the overview, which may show a name.
"""

import re
from collections.abc import Sequence
from pathlib import Path

_INDEX_SUFFIXES = (".vms", ".vmu")
_INDEXED_SUFFIXES = (".jpg", ".jpeg")
_INDEX_BYTES = 2**20
_NAMED_FILE = re.compile(r"^\s*\w*(?:File|Image)\w*(?:\([\d, ]*\))?\s*=\s*(.+?)\s*$", re.MULTILINE)

_DICOM_HEAD_BYTES = 2**17
_SERIES = re.compile(rb"\x20\x00\x0e\x00UI(..)([\d.]{1,64})", re.DOTALL)
"""The element SeriesInstanceUID, its length and its value."""


def without_companions(paths: Sequence[Path]) -> list[Path]:
    """Return the paths in their order, of each DICOM slide the first only, and no file that an index beside it names."""
    folders = {path.parent for path in paths if path.suffix.lower() in _INDEXED_SUFFIXES}
    indices = [path for folder in folders for path in folder.iterdir() if path.suffix.lower() in _INDEX_SUFFIXES]
    indexed = {name for index in indices for name in _named_by(index)}
    kept, seen = [], set()
    for path in paths:
        series = (path.parent, _series(path)) if path.suffix.lower() == ".dcm" else (path, None)
        if path in indexed or (series[1] and series in seen):
            continue
        seen.add(series)
        kept.append(path)
    return kept


def _named_by(index: Path) -> set[Path]:
    content = _head(index, _INDEX_BYTES).decode("utf-8", "replace")
    return {index.parent / name for name in _NAMED_FILE.findall(content)}


def _series(path: Path) -> bytes | None:
    """Return the identity of the series of a DICOM file; None where none is found, so that the file stays."""
    found = _SERIES.search(_head(path, _DICOM_HEAD_BYTES))
    return found[2][: int.from_bytes(found[1], "little")] if found else None


def _head(path: Path, length: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(length)
    except OSError:
        return b""  # the reader says what is wrong
