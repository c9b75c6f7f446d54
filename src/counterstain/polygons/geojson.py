"""GeoJSON in and out: coordinates are pixels of the slide at full size, x right and y down, as QuPath has them."""

from typing import Any

import numpy as np

from counterstain.polygons.rings import Polygon, Ring

FARTHEST_PX = 1e9
"""Largest coordinate that is believed: no slide is so large."""


def features_of(content: Any) -> list[Any]:
    """Return the features of GeoJSON: of a collection, of a list of features, or the one that stands alone.

    Raises
    ------
    ValueError
        There is no list where the features should be.
    """
    features = content.get("features", [content]) if isinstance(content, dict) else content
    if not isinstance(features, list):
        raise ValueError("its features are not a list")
    return features


def polygons_of(geometry: Any) -> tuple[Polygon, ...]:
    """Return the polygons of a geometry: of a polygon, of several, or of a collection of such.

    Raises
    ------
    ValueError
        It has no area, or its coordinates are not those of its type; the message says which.
    """
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind == "GeometryCollection" and isinstance(parts := geometry.get("geometries"), list):
        return tuple(polygon for part in parts for polygon in polygons_of(part))
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"it is a {kind}, which has no area" if isinstance(kind, str) else "it has no geometry")
    coordinates = geometry.get("coordinates")
    try:
        polygons = tuple(tuple(map(open_ring, part)) for part in ([coordinates] if kind == "Polygon" else coordinates))
    except (TypeError, ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"its coordinates are not those of a {kind}: {error}") from error
    if not all(polygons) or not polygons:
        raise ValueError(f"its coordinates are not those of a {kind}: a ring is missing")
    return polygons


def open_ring(points: Any) -> Ring:
    """Turn a closed ring of [x, y] into an open one of (row, col).

    Raises
    ------
    TypeError, ValueError, IndexError, OverflowError
        It is not a ring: fewer than four points, no numbers, or not closed.
    """
    ring = np.asarray([point[:2] for point in points], dtype=np.float64)
    if len(ring) < 4 or not np.isfinite(ring).all() or (ring[0] != ring[-1]).any():
        raise ValueError("a ring needs four or more points, the last like the first")
    if np.abs(ring).max() > FARTHEST_PX:
        raise ValueError("a corner is further away than any slide is large")
    return ring[:-1, ::-1]


def closed_ring(outline: Ring) -> list[list[float]]:
    """Turn an open ring of (row, col) into a closed one of [x, y], to a thousandth of a pixel."""
    ring = np.round(outline[:, ::-1], 3)
    whole = ring.astype(np.int64)
    if (whole == ring).all():  # as all are where the model runs at the slide's own resolution
        points: list[list[float]] = whole.tolist()
    else:
        points = [[_short(value) for value in point] for point in ring.tolist()]
    return [*points, points[0]]


def _short(value: float) -> float:
    return int(value) if value == int(value) else value
