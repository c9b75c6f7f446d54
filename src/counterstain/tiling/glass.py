"""Which tiles of a slide show tissue, and how much of it there is."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import Box
from counterstain.slides.base import Slide
from counterstain.slides.thumbnail import thumbnail
from counterstain.tiling.tissue import tissue_mask

TISSUE_MPP = 8.0
"""Micrometres per pixel at which tissue is looked for: a field of 7 pixels holds some ten cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tissue:
    """Where there is tissue on a slide."""

    mask: NDArray[np.bool_]
    """(h, w) bool over the whole slide."""
    mpp: float
    """Micrometres per pixel of the mask."""

    @property
    def area_mm2(self) -> float:
        """Area of the tissue in square millimetres."""
        return float(np.count_nonzero(self.mask)) * self.mpp**2 / 1e6

    def touches(self, box: Box, mpp: float) -> bool:
        """Return whether there is tissue anywhere in a box, which counts in pixels of ``mpp`` and may reach outside."""
        if not box.size.area:
            return False
        scale = mpp / self.mpp
        first_row, first_col = max(0, math.floor(box.row * scale)), max(0, math.floor(box.col * scale))
        rows, cols = (max(0, math.ceil(stop * scale)) for stop in (box.stop_row, box.stop_col))
        return bool(self.mask[first_row:rows, first_col:cols].any())


def everywhere(tissue: Tissue) -> Tissue:
    """Return a mask of the same slide that leaves nothing out."""
    return Tissue(mask=np.ones_like(tissue.mask), mpp=tissue.mpp)


def find_tissue(slide: Slide) -> Tissue:
    """Look for tissue on a thumbnail of ``TISSUE_MPP``, or of the slide itself where that is coarser."""
    mpp = max(TISSUE_MPP, slide.resolution.mpp)
    return Tissue(mask=tissue_mask(thumbnail(slide, mpp)), mpp=mpp)
