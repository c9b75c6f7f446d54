"""Read regions: polygons that QuPath wrote as GeoJSON, or a CSV of boxes, such as the cores of a tissue microarray."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from counterstain.errors import UsageError
from counterstain.polygons.geojson import AREAS, features_of, polygons_of
from counterstain.polygons.rings import Polygon
from counterstain.scoring.regions import Region

Polygons = tuple[Polygon, ...]

BOX = ("row", "col", "height", "width")
"""Columns of a box, each with ``_px`` or ``_um``; ``name`` beside them is optional."""

ALL = "all"
"""The name of the whole slide, which no region may take."""

EXPECTED = (
    "expected polygons as QuPath exports them (.geojson), or a CSV of boxes with row, col, height and width in _px or _um"
)


def read_regions(path: Path, mpp: float | tuple[float, float]) -> tuple[Region, ...]:
    """Return the regions in a file, each with a name of its own.

    A region without a name is called ``region 1`` and so on, by its place in the file; when names repeat, the later ones get a
    number. Only areas are regions: points and lines are refused, and so is a box or polygon without area.

    Parameters
    ----------
    path : GeoJSON (pixels at full size, x right and y down) where its first character is a brace or bracket, else CSV.
    mpp : micrometres per pixel of the slide, for boxes in micrometres; a pair is down and across.

    Raises
    ------
    UsageError
        The file cannot be read, is of neither kind, holds no region, or one that is no area; the message says which.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the regions {path}: {error}; {EXPECTED}") from error
    named = _polygons(path, text) if text.lstrip()[:1] in ("{", "[") else _boxes(path, text, mpp)
    if not named:
        raise UsageError(f"{path} holds no region; {EXPECTED}")
    regions = [Region(name=name, polygons=polygons) for name, polygons in _with_own_names(named)]
    empty = [region.name for region in regions if not region.area_px() > 0]
    if empty:
        raise UsageError(f"{path}: {', '.join(empty)} has no area; draw it again, or take it out")
    return tuple(regions)


def _polygons(path: Path, text: str) -> list[tuple[str, Polygons]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}; {EXPECTED}") from error
    try:
        features = features_of(content)
    except ValueError as error:
        raise UsageError(f"{path} is no GeoJSON: {error}; {EXPECTED}") from error
    return [_of_feature(path, number, feature) for number, feature in enumerate(features, start=1)]


def _of_feature(path: Path, number: int, feature: Any) -> tuple[str, Polygons]:
    if not isinstance(feature, dict) or not isinstance(geometry := feature.get("geometry", feature), dict):
        raise UsageError(f"{path}, feature {number} is no GeoJSON feature; {EXPECTED}")
    properties = feature.get("properties") or {}
    name = properties.get("name") if isinstance(properties, dict) else None
    kind = geometry.get("type")
    if kind not in AREAS:
        raise UsageError(f"{path}, feature {number} is a {kind}, which has no area; export annotations that are areas only")
    try:
        return str(name or ""), polygons_of(geometry)
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise UsageError(f"{path}, feature {number}: the coordinates are not those of a {kind}: {error}") from error


def _boxes(path: Path, text: str, mpp: float | tuple[float, float]) -> list[tuple[str, Polygons]]:
    rows = list(csv.DictReader(text.splitlines()))
    columns = set(rows[0]) if rows else set()
    unit = next((unit for unit in ("px", "um") if all(f"{side}_{unit}" in columns for side in BOX)), None)
    if unit is None:
        raise UsageError(f"{path} has the columns {sorted(map(str, columns))}; {EXPECTED}")
    sides = (1.0, 1.0) if unit == "px" else mpp if isinstance(mpp, tuple) else (mpp, mpp)
    return [_of_row(path, line, row, unit, sides) for line, row in enumerate(rows, start=2)]


def _of_row(path: Path, line: int, row: dict[str, str], unit: str, sides: tuple[float, float]) -> tuple[str, Polygons]:
    try:
        values = [float(row[f"{side}_{unit}"]) for side in BOX]
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}, line {line}: a box is four numbers: {error}") from error
    top, left, height, width = (value / side for value, side in zip(values, sides * 2, strict=True))
    if not (height > 0 and width > 0 and math.isfinite(top + left + height + width)):
        raise UsageError(f"{path}, line {line}: height and width of a box must be above 0, got {height:g} and {width:g}")
    low, right = top + height, left + width
    return row.get("name") or "", ((np.array([[top, left], [top, right], [low, right], [low, left]]),),)


def _with_own_names(named: list[tuple[str, Polygons]]) -> list[tuple[str, Polygons]]:
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
