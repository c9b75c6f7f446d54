"""Check that polygons enclose the ground that they seem to enclose.

The area of an outline and the points that it holds go by different rules. They agree unless an outline crosses itself, a hole
reaches outside its outline or into another hole, or one polygon lies over another; then a density would be of neither.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterstain.polygons.painting import counted
from counterstain.polygons.rings import Polygon, polygon_area

TOLERATED_SHARE = 0.001
"""Share of the area by which two ways to compute it may differ, because corners are rounded."""

PAIRS_AT_ONCE = 500_000
"""Pairs of an edge and a strip that are in memory, some 100 MB."""

MOST_PAIRS = 200_000_000
"""Pairs that take half a minute to check; outlines with more are refused unchecked."""


def fault_of(polygons: Sequence[Polygon]) -> str:
    """Return what is wrong with the polygons of one region, as the end of a sentence about it; empty when nothing is."""
    if _pairs(polygons) > MOST_PAIRS:
        return "it has too many corners side by side to be checked; simplify its shape"
    if _is_plain(polygons):
        return ""
    if not all(_is_plain([(outline,)]) for outline, *_ in polygons):
        return "its outline crosses itself"
    if not all(_is_plain([rings]) for rings in polygons):
        return "a hole of it reaches outside its outline, or into another hole"
    return "its parts lie over each other"


def _is_plain(polygons: Sequence[Polygon]) -> bool:
    """Return whether the area of the outlines is that of the ground whose points they hold, but for ``TOLERATED_SHARE``."""
    outlined = sum(map(polygon_area, polygons))
    covered, crossed = _ground(polygons)
    return abs(outlined - covered) + crossed <= TOLERATED_SHARE * covered


def _ground(polygons: Sequence[Polygon]) -> tuple[float, float]:
    """Return the area that is inside any of the polygons, and the area between edges that cross, in square pixels.

    The rows of all corners part the plane into strips, in which every edge runs straight from top to bottom. Where none cross
    they stay in one order, and the ground between the odd and the even ones of a polygon is inside it. Edges whose order at the
    top or at the bottom differs from that in the middle cross, so that the first area is not exact.
    """
    covered = crossed = 0.0
    for strip, tall, top, low, polygon in _edges_in_strips(polygons):
        middle = (top + low) / 2
        step = np.ones(len(strip), np.int64)
        step[np.lexsort((middle, strip, polygon))[1::2]] = -1  # a polygon is entered and left in turn; it has an even number
        order = np.lexsort((middle, strip))
        is_neighbour = np.diff(strip[order]) == 0
        inside = (np.cumsum(step[order])[:-1] > 0) & is_neighbour
        height = tall[order][:-1]
        covered += float((np.diff(middle[order]) * height)[inside].sum())
        back = sum(np.maximum(-np.diff(cols[order]), 0) for cols in (top, low))
        crossed += float((back * height)[is_neighbour].sum()) / 2
    return covered, crossed


def _edges_in_strips(polygons: Sequence[Polygon]) -> Iterator[tuple[NDArray[Any], ...]]:
    """Yield, for some strips at a time, per edge in a strip: strip, height, column of the edge at top and bottom, polygon."""
    upper, lower, rows = _edges(polygons)
    owner = np.repeat(np.arange(len(polygons)), [sum(map(len, rings)) for rings in polygons])
    first, end = (np.searchsorted(rows, corner[:, 0]) for corner in (upper, lower))
    for begin, until in _groups(first, end, len(rows)):
        start_at, stop_at = first.clip(begin, until), end.clip(begin, until)
        edge, strip = np.repeat(np.arange(len(first)), stop_at - start_at), counted(start_at, stop_at)
        at = [(rows[strip + side] - upper[edge, 0]) / (lower[edge, 0] - upper[edge, 0]) for side in (0, 1)]
        top, low = (upper[edge, 1] + share * (lower[edge, 1] - upper[edge, 1]) for share in at)
        yield strip, rows[strip + 1] - rows[strip], top, low, owner[edge]


def _edges(polygons: Sequence[Polygon]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the upper and the lower end of every edge, (n, 2) float64 (row, col), and the rows of all corners, each once."""
    rings = [ring for polygon in polygons for ring in polygon]
    start, stop = (np.concatenate([np.roll(ring, by, axis=0) for ring in rings]) for by in (0, -1))
    is_down = start[:, :1] <= stop[:, :1]
    return np.where(is_down, start, stop), np.where(is_down, stop, start), np.unique(start[:, 0])


def _pairs(polygons: Sequence[Polygon]) -> int:
    """Return how many pairs of an edge and a strip there are."""
    upper, lower, rows = _edges(polygons)
    return int((np.searchsorted(rows, lower[:, 0]) - np.searchsorted(rows, upper[:, 0])).sum())


def _groups(first: NDArray[np.int64], end: NDArray[np.int64], rows: int) -> Iterator[tuple[int, int]]:
    """Yield the first strip and the one after the last of groups that have about ``PAIRS_AT_ONCE`` edges."""
    edges = np.cumsum(np.bincount(first, minlength=rows) - np.bincount(end, minlength=rows))  # in each strip
    group = np.cumsum(edges) // PAIRS_AT_ONCE
    yield from itertools.pairwise([0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), rows])
