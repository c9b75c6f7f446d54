"""Parts of a slide with names, and the scores of the nuclei in each.

A nucleus belongs to the regions that hold its centroid. Regions may overlap; two that share an edge never share a nucleus.
Knows no file: ``region_files`` reads regions.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.table import CellColumns, ChosenCells
from counterstain.geometry import Size
from counterstain.polygons.rings import Polygon, contains, polygon_area
from counterstain.scoring.base import Population, Score, Scorer

MOST_NAMED = 5
"""Number of regions that a warning names at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A named part of a slide."""

    name: str
    polygons: tuple[Polygon, ...]
    """In slide pixels."""

    def area_px(self) -> float:
        """Return the area in square pixels of the slide; polygons that overlap count twice."""
        return sum(map(polygon_area, self.polygons))

    def area_mm2(self, mpp: float) -> float:
        """Return the area in square millimetres on a slide of ``mpp``."""
        return self.area_px() * mpp**2 / 1e6

    def digest(self) -> str:
        """Return the SHA-256 of the corners, which changes when the region is moved or drawn anew."""
        text = json.dumps([[ring.tolist() for ring in rings] for rings in self.polygons])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """The parts of a slide that are scored on their own."""

    parts: tuple[Region, ...] = ()
    left_out: tuple[str, ...] = ()
    """Sentences about objects in their file that are not regions."""


NO_REGIONS = Regions()
"""No regions: only the whole slide is scored."""


def score_regions(whole: Population, regions: Iterable[Region], scorers: Sequence[Scorer]) -> tuple[Score, ...]:
    """Score all nuclei, then those of each region.

    Parameters
    ----------
    whole : all nuclei of a slide, on the area of its tissue.
    scorers : applied to the whole and to each region.

    Returns
    -------
    Scores of the region ``all`` and then of each region, in the order of the scorers. The area of a region counts whole,
    with or without tissue.
    """
    scores = [scorer(whole) for scorer in scorers]
    for region in regions:
        part = Population(
            cells=ChosenCells(cells=whole.cells, chosen=inside(region, whole.cells)),
            area_mm2=region.area_mm2(whole.resolution.mpp),
            resolution=whole.resolution,
        )
        scores += [replace(scorer(part), region=region.name) for scorer in scorers]
    return tuple(scores)


def region_warnings(regions: Regions, size: Size) -> tuple[str, ...]:
    """Return what to tell people: what was left out, and which regions reach more than a pixel beyond a slide of a size.

    The density of such a region is too low, and it may have been drawn on another slide.
    """
    return (*regions.left_out, *_beyond(regions.parts, size))


def _beyond(regions: Iterable[Region], size: Size) -> tuple[str, ...]:
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
