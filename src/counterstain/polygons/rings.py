"""Rings and polygons: their area, and which points lie in them.

Everything is (row, col) in pixels, where pixel (r, c) covers [r, r + 1) x [c, c + 1), so the centre of the first pixel is at
(0.5, 0.5). Knows no file.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]
"""Open ring of (k, 2) float64 (row, col) corners: the last is joined to the first."""

Polygon = tuple[Ring, ...]
"""An outer ring and then the rings of its holes."""


def polygon_area(rings: Sequence[Ring]) -> float:
    """Return the area of a polygon in square pixels: that of its outer ring less that of its holes."""
    return ring_area(rings[0]) - sum(map(ring_area, rings[1:]))


def ring_area(ring: Ring) -> float:
    """Return the area in a ring in square pixels, whichever way round it runs."""
    rows, cols = (ring - ring[0]).T
    return abs(float(rows @ np.roll(cols, -1) - cols @ np.roll(rows, -1))) / 2


def ring_bounds(rings: Sequence[Ring]) -> NDArray[np.float64]:
    """Return (n, 4) float64: the top, left, bottom and right edge of each ring, each of one corner or more."""
    if not rings:
        return np.empty((0, 4))
    corners, starts = np.concatenate([*rings]), np.cumsum([0, *(len(ring) for ring in rings[:-1])])
    return np.hstack([np.minimum.reduceat(corners, starts), np.maximum.reduceat(corners, starts)])


def contains(rings: Sequence[Ring], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (n,) bool: which points a ray to the right leaves through an odd number of edges.

    A point on an edge belongs to the polygon on one side of it only (an edge holds its upper end, and a point on it lies to
    its right), so polygons that share an edge divide the points. Each edge is tried on the points of its rows alone,
    and none on points beyond all corners, so that hundreds of small regions of a million points take seconds.

    Parameters
    ----------
    rings : (k, 2) float64 (row, col) open rings, holes among them.
    points : (n, 2) float64 (row, col).
    """
    corners = np.concatenate([*rings])
    (top, left), (low, right) = corners.min(axis=0), corners.max(axis=0)
    near = np.flatnonzero((points[:, 0] >= top) & (points[:, 0] <= low) & (points[:, 1] >= left) & (points[:, 1] <= right))
    order = near[np.argsort(points[near, 0], kind="stable")]
    rows, cols = points[order].T
    odd = np.zeros(len(order), np.bool_)
    for ring in rings:
        for start, stop in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            (top, left), (low, right) = sorted((tuple(start), tuple(stop)))
            band = slice(*np.searchsorted(rows, [top, low]))
            if top < low:
                odd[band] ^= cols[band] < left + (rows[band] - top) * ((right - left) / (low - top))
    found = np.zeros(len(points), np.bool_)
    found[order] = odd
    return found
