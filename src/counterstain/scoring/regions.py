"""Parts of a slide with names, and the scores of the nuclei in each.

A nucleus belongs to the regions that hold its centroid. Regions may overlap; two that share an edge never share a nucleus.
Knows no file: ``region_files`` reads regions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.table import CellColumns, ChosenCells
from counterstain.geometry import Size
from counterstain.scoring.base import Score, Scorer
from counterstain.scoring.density import densities

MOST_NAMED = 5
"""Regions that a warning names."""

Ring = NDArray[np.float64]
"""Open ring of (k, 2) float64 (row, col) corners in slide pixels; pixel r, c covers [r, r + 1) x [c, c + 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A named part of a slide."""

    name: str
    polygons: tuple[tuple[Ring, ...], ...]
    """Per polygon its outer ring and then the rings of its holes."""

    def area_px(self) -> float:
        """Return the area in square pixels of the slide; polygons that overlap count twice."""
        return sum(_area(rings[0]) - sum(map(_area, rings[1:])) for rings in self.polygons)

    def area_mm2(self, mpp: float) -> float:
        """Return the area in square millimetres on a slide of ``mpp``."""
        return self.area_px() * mpp**2 / 1e6


def score_regions(
    cells: CellColumns, regions: Iterable[Region], scorers: Sequence[Scorer], *, mpp: float, tissue_mm2: float | None = None
) -> tuple[Score, ...]:
    """Score all nuclei, then those of each region.

    Parameters
    ----------
    scorers : applied to the nuclei of each region.
    mpp : micrometres per pixel of the slide.
    tissue_mm2 : area of the tissue in square millimetres; None leaves out the densities of the whole slide.

    Returns
    -------
    Scores of the region ``all`` and then of each region in order: those of the scorers, then the two densities, for which the
    area of a region counts whole, with or without tissue.
    """
    scores = [scorer(cells) for scorer in scorers]
    scores += densities(cells, tissue_mm2) if tissue_mm2 else []
    for region in regions:
        part = ChosenCells(cells=cells, chosen=inside(region, cells))
        found = [*(scorer(part) for scorer in scorers), *densities(part, region.area_mm2(mpp))]
        scores += [replace(score, region=region.name) for score in found]
    return tuple(scores)


def outside_warnings(regions: Iterable[Region], size: Size) -> tuple[str, ...]:
    """Return a warning that names the regions that reach more than a pixel beyond a slide; none where none does.

    Their density is too low, and they may have been drawn on another slide.
    """
    stop = np.array([size.height, size.width]) + 1
    corners = {region.name: np.concatenate([rings[0] for rings in region.polygons]) for region in regions}
    beyond = [name for name, ring in corners.items() if ((ring < -1) | (ring > stop)).any()]
    if not beyond:
        return ()
    named = ", ".join([*beyond[:MOST_NAMED], *(["..."] if len(beyond) > MOST_NAMED else [])])
    return (
        f"{len(beyond)} of {len(corners)} regions reach beyond the slide ({named}), where there are no nuclei: their densities "
        "are too low; check that they were drawn on this slide",
    )


def inside(region: Region, cells: CellColumns) -> NDArray[np.bool_]:
    """Return (n,) bool: which nuclei have their centroid in the region."""
    points = np.column_stack([cells["row_px"], cells["col_px"]]) + 0.5  # the first pixel's centre lies at 0.5, 0.5 of rings
    found = np.zeros(len(points), np.bool_)
    for rings in region.polygons:
        found |= contains(rings, points)
    return found


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


def _area(ring: Ring) -> float:
    rows, cols = (ring - ring[0]).T
    return abs(float(rows @ np.roll(cols, -1) - cols @ np.roll(rows, -1))) / 2
