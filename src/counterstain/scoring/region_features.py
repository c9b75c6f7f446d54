"""Regions in GeoJSON as QuPath exports objects: text in, named polygons out, with a note of objects that are not regions."""

import json
from collections import Counter
from typing import Any

from counterstain.polygons.geojson import features_of, polygons_of
from counterstain.polygons.rings import Polygon

Named = list[tuple[str, tuple[Polygon, ...]]]

NO_REGIONS = ("detection", "cell", "tile", "root")
"""Objects of QuPath that an export of all objects holds beside annotations and cores."""

EARLY_IDS = {
    "PathDetectionObject": "detection",
    "PathCellObject": "cell",
    "PathTileObject": "tile",
    "PathRootObject": "root",
    "TMACoreObject": "tma_core",
}
"""How QuPath before 0.4 said the type of an object: in the place of its identifier."""


def features_in(text: str) -> tuple[Named, tuple[str, ...]]:
    """Return the name, empty where there is none, and the polygons of every region; and what was left out, for a warning.

    The class is the name of a region that has no other. Objects that are not regions, such as detections, and cores that QuPath
    marks as missing are left out.

    Raises
    ------
    ValueError
        It is not such a text, or an object that should be a region is not one; the message says which.
    """
    try:
        features = features_of(json.loads(text))
    except RecursionError as error:
        raise ValueError("it is not GeoJSON: brackets are nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"it is not GeoJSON: {error}") from error
    named: Named = []
    others: Counter[str] = Counter()
    missing = []
    for number, feature in enumerate(features, start=1):
        if not isinstance(feature, dict):
            raise ValueError(f"feature {number} is not a GeoJSON feature")
        properties: dict[str, Any] = found if isinstance(found := feature.get("properties"), dict) else {}
        name, kind = _name(properties, number), _kind(feature, properties)
        if kind in NO_REGIONS:
            others[kind] += 1
        elif _is_missing(properties):
            missing.append(name or f"core {number}")
        else:
            named.append((name, _polygons(feature, number, name)))
    return named, (*_left_out(others), *_missing(missing))


def _polygons(feature: dict[str, Any], number: int, name: str) -> tuple[Polygon, ...]:
    try:
        return polygons_of(feature.get("geometry") if "geometry" in feature or feature.get("type") == "Feature" else feature)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"feature {number}{f' ({name})' if name else ''}: {error}") from error


def _kind(feature: dict[str, Any], properties: dict[str, Any]) -> str:
    kind = properties.get("objectType", properties.get("object_type"))
    return str(kind).lower() if kind else EARLY_IDS.get(str(feature.get("id")), "annotation")


def _name(properties: dict[str, Any], number: int) -> str:
    name = properties.get("name") or _class(properties.get("classification")) or ""
    text = str(name).strip()
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(f"feature {number}: its name is not text, it holds half of a character; rename it")
    return text


def _class(classification: Any) -> str:
    """Return the name of a class, as any version of QuPath writes it: a text, or an object with a name or with several."""
    if not isinstance(classification, dict):
        return classification if isinstance(classification, str) else ""
    names = classification.get("names")
    return ": ".join(map(str, names)) if isinstance(names, list) else str(classification.get("name") or "")


def _is_missing(properties: dict[str, Any]) -> bool:
    return any(str(properties.get(key, "")).lower() == "true" for key in ("isMissing", "is_missing", "missing"))


def _left_out(others: Counter[str]) -> list[str]:
    if not others:
        return []
    counted = ", ".join(f"{count} of the type {kind}" for kind, count in sorted(others.items()))
    return [f"the file of regions also holds objects that are not regions, which were left out: {counted}"]


def _missing(names: list[str]) -> list[str]:
    return [f"marked as missing in the file of regions and left out: {', '.join(names)}"] if names else []
