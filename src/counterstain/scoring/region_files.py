"""Read regions: objects that QuPath wrote as GeoJSON, or a CSV of boxes; either may be packed by gzip or in a zip."""

import gzip
import io
import zipfile
import zlib
from pathlib import Path
from typing import IO

from counterstain.errors import UsageError
from counterstain.polygons.validity import fault_of
from counterstain.scoring.region_boxes import boxes_in
from counterstain.scoring.region_features import Named, features_in
from counterstain.scoring.regions import Region, Regions
from counterstain.spreadsheets import encoding_of

ALL = "all"
"""The name of the whole slide, which no region may take."""

SMALLEST_PX = 1.0
"""Square pixels; a smaller area is a leftover of drawing, and a density on it would mean nothing."""

MOST_BYTES = 500_000_000
"""Largest size of the text of a file of regions."""

EXPECTED = (
    "expected areas as QuPath exports them (.geojson), or a CSV of boxes with row, col, height and width in _px or _um; "
    "either may be packed as .gz or .zip"
)

_DAMAGES = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError, UnicodeError)
"""What reading bytes, packed or not, raises; RuntimeError is that of a zip with a password."""


def read_regions(path: Path, mpp: float | tuple[float, float]) -> Regions:
    """Return the regions in a file, each with a name of its own, and what was left out.

    A region without a name has that of its class, or is called ``region 1`` and so on, by its place in the file; when names
    repeat, the later ones get a number. Points, lines, and outlines that cross are refused, not mended.

    Parameters
    ----------
    path : GeoJSON (pixels at full size, x right and y down) where its first character is a brace or bracket, else CSV.
    mpp : micrometres per pixel of the slide, for boxes in micrometres; a pair is down and across.

    Raises
    ------
    UsageError
        The file cannot be read, is of neither kind, or holds no region, or one whose area is not clear; the message says which.
    """
    left_out: tuple[str, ...] = ()
    try:
        text = _text(path)
    except (*_DAMAGES, ValueError) as error:
        raise UsageError(f"cannot read the regions {path}: {error}; {EXPECTED}") from error
    try:
        if text.lstrip()[:1] in ("{", "["):
            named, left_out = features_in(text)
        else:
            named = boxes_in(text, mpp)
    except ValueError as error:
        raise UsageError(f"cannot use the regions {path}: {error}; {EXPECTED}") from error
    if not named:
        raise UsageError(f"{path} holds no region{''.join(f'; {message}' for message in left_out)}; {EXPECTED}")
    parts = tuple(Region(name=name, polygons=polygons) for name, polygons in _with_own_names(named))
    _check_areas(path, parts)
    return Regions(parts=parts, left_out=left_out)


def _text(path: Path) -> str:
    """Return the text of a file, unpacked where it is packed."""
    content = _within_limit(path.open("rb"))
    if content.startswith(b"\x1f\x8b"):
        content = _within_limit(gzip.GzipFile(fileobj=io.BytesIO(content)))
    elif content.startswith(b"PK"):
        content = _only_file(content)
    return content.decode(encoding_of(content))


def _within_limit(file: IO[bytes] | gzip.GzipFile) -> bytes:
    with file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES // 1_000_000} MB of text")
    return content


def _only_file(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        names = [name for name in packed.namelist() if not (name.endswith("/") or name.startswith("__MACOSX/"))]
        if len(names) != 1:
            held = ", ".join(names[:5]) or "nothing"
            raise ValueError(f"a zip must hold one file, and it holds {held}")
        return _within_limit(packed.open(names[0]))


def _check_areas(path: Path, regions: tuple[Region, ...]) -> None:
    faults = [f"{region.name!r}: {fault}" for region in regions if (fault := _fault(region))]
    if faults:
        more = f", and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise UsageError(f"{path}: {'; '.join(faults[:5])}{more}; draw it again, or take it out")


def _fault(region: Region) -> str:
    return fault_of(region.polygons) or ("" if region.area_px() >= SMALLEST_PX else "it has no area")


def _with_own_names(named: Named) -> Named:
    taken, result = {ALL}, []
    for number, (name, part) in enumerate(named, start=1):
        wanted = own = name or f"region {number}"
        copy = 1
        while own in taken:
            copy += 1
            own = f"{wanted} ({copy})"
        taken.add(own)
        result.append((own, part))
    return result
