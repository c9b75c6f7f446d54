"""Which tiles of a slide show tissue, and how much of it there is."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from counterstain.geometry import Box
from counterstain.slides.base import Damage, Slide, size_at
from counterstain.slides.thumbnail import digest, thumbnail
from counterstain.tiling.grid import Tile, TileGrid
from counterstain.tiling.tissue import tissue_mask

TISSUE_MPP = 8.0
"""Micrometres per pixel at which tissue is looked for: a field of 7 pixels holds some ten cells."""

AROUND_TISSUE_UM = 32.0
"""How far beyond its tissue a slide is analysed: four pixels of the mask, so that no nucleus at its edge is lost."""


AROUND_NUCLEI_PX = 3
"""Pixels of the mask, 24 um, around a nucleus that count as tissue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tissue:
    """Where there is tissue on a slide."""

    mask: NDArray[np.bool_]
    """(h, w) bool over the whole slide."""
    mpp: float
    """Micrometres per pixel of the mask."""
    seen: str = ""
    """Digest of the pixels in which it was found, which tells slides apart."""
    damaged: NDArray[np.bool_] | None = None
    """(h, w) bool like ``mask``: where damage hides whether there is tissue, so that tiles are made there too; None without."""

    @property
    def area_mm2(self) -> float:
        """Area of the tissue in square millimetres."""
        return float(np.count_nonzero(self.mask)) * self.mpp**2 / 1e6

    def touches(self, box: Box, mpp: float) -> bool:
        """Return whether there is tissue or damage in a box, which counts in pixels of ``mpp`` and may reach outside."""
        return self.extent(box, mpp) is not None

    def extent(self, box: Box, mpp: float) -> Box | None:
        """Return the smallest part of a box that holds all tissue and all damage in it; None where there is none.

        Parameters
        ----------
        box : in pixels of ``mpp``; may reach outside the slide.
        """
        if not box.size.area:
            return None
        scale = mpp / self.mpp
        top, left = max(0, math.floor(box.row * scale)), max(0, math.floor(box.col * scale))
        low, right = (max(0, math.ceil(stop * scale)) for stop in (box.stop_row, box.stop_col))
        part = self.mask[top:low, left:right]
        if self.damaged is not None:
            part = part | self.damaged[top:low, left:right]
        rows, cols = (np.flatnonzero(part.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return None
        first = [math.floor((start + shown[0]) / scale) for start, shown in ((top, rows), (left, cols))]
        stop = [math.ceil((start + shown[-1] + 1) / scale) for start, shown in ((top, rows), (left, cols))]
        return Box(first[0], first[1], stop[0] - first[0], stop[1] - first[1]).intersection(box)


def with_nuclei(tissue: Tissue, row_um: NDArray[np.float64], col_um: NDArray[np.float64]) -> Tissue:
    """Return the tissue with the ground around nuclei that were found outside it, so that each lies on area that counts.

    Cells may be too pale, too few or too loose to be seen on a thumbnail. ``AROUND_NUCLEI_PX`` around each of them count, about
    half of the gap between nuclei that is tissue on a thumbnail.

    Parameters
    ----------
    row_um, col_um : (n,) float64, positions of nuclei.
    """
    height, width = tissue.mask.shape
    if not tissue.mask.size:
        return tissue
    outside = np.zeros_like(tissue.mask)
    rows, cols = ((place / tissue.mpp).astype(np.int64) for place in (row_um, col_um))
    outside[rows.clip(0, height - 1), cols.clip(0, width - 1)] = True
    outside &= ~tissue.mask
    if not outside.any():
        return tissue
    return replace(tissue, mask=tissue.mask | ndimage.binary_dilation(outside, iterations=AROUND_NUCLEI_PX))


def everywhere(tissue: Tissue) -> Tissue:
    """Return a mask of the same slide that leaves nothing out."""
    return replace(tissue, mask=np.ones_like(tissue.mask))


def find_tissue(slide: Slide) -> Tissue:
    """Look for tissue on a thumbnail of ``TISSUE_MPP``, or of the slide itself where that is coarser."""
    mpp = max(TISSUE_MPP, slide.resolution.mpp)
    pixels = thumbnail(slide, mpp)
    found = Tissue(mask=tissue_mask(pixels), mpp=mpp, seen=digest(pixels)[:16])
    damaged = slide.damage(Box.whole(size_at(slide, mpp)), mpp)
    return without_damage(found, damaged, mpp) if damaged else found


def without_damage(tissue: Tissue, damaged: Iterable[Damage], mpp: float) -> Tissue:
    """Return the tissue outside of damaged parts, whose boxes count in pixels of ``mpp``."""
    hole, scale = np.zeros_like(tissue.mask), mpp / tissue.mpp
    for damage in damaged:
        box = damage.box
        rows = slice(math.floor(box.row * scale), math.ceil(box.stop_row * scale))
        cols = slice(math.floor(box.col * scale), math.ceil(box.stop_col * scale))
        hole[rows, cols] = True
    earlier = hole if tissue.damaged is None else hole | tissue.damaged
    return replace(tissue, mask=tissue.mask & ~hole, damaged=earlier)


def tiles_with_tissue(grid: TileGrid, tissue: Tissue, mpp: float) -> Iterator[Tile]:
    """Yield the tiles of a grid, in pixels of ``mpp``, that are near tissue, narrowed to what is, where the grid lets them."""
    near = math.ceil(AROUND_TISSUE_UM / mpp)
    for tile in grid:
        shown = tissue.extent(tile.keep.grown(near), mpp)
        if shown:
            yield grid.narrowed(tile, shown.grown(near))
