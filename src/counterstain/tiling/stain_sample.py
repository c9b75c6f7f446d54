"""A small sample of a slide's tissue, at which its stains are looked at: the whole of a small image, boxes of a large one."""

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import Box
from counterstain.slides.base import Slide, size_at
from counterstain.tiling.glass import Tissue
from counterstain.tiling.stains import Stains, find_stains

SAMPLE_MPP = 1.0
"""Micrometres per pixel of the sample, or those of the slide where they are coarser: a nucleus has some fifty pixels."""

BOX_PX, MOST_BOXES = 128, 16
"""Side of the boxes of a large slide, and how many are read: as many pixels as half a square millimetre has."""

TISSUE_SHARE = 0.5
"""Share of tissue from which a box is read, where the slide has such boxes."""


def stains_of(slide: Slide, tissue: Tissue, known: tuple[str, ...]) -> Stains:
    """Return which stains a slide shows and whether they are the ``known`` ones; see ``find_stains``."""
    return find_stains(stain_sample(slide, tissue), known)


def stain_sample(slide: Slide, tissue: Tissue) -> NDArray[np.uint8]:
    """Return (h, w, 3) uint8 RGB: the slide if it is small, else boxes of its tissue one below the other.

    The boxes lie on a lattice from (0, 0) and are spread evenly over those that show tissue, in the order of rows and columns,
    so that the same slide gives the same sample.
    """
    mpp = max(SAMPLE_MPP, slide.resolution.mpp)
    whole = Box.whole(size_at(slide, mpp))
    if whole.size.area <= MOST_BOXES * BOX_PX**2:
        return slide.read(whole, mpp)
    height, width = min(BOX_PX, whole.height), min(BOX_PX, whole.width)
    shares = _tissue_shares(tissue, whole.height // height, whole.width // width, (height, width), mpp)
    least = min(TISSUE_SHARE, float(shares.max()))  # without any tissue, as on a dark ground, every box will do
    rows, cols = np.nonzero(shares >= least)
    chosen = np.unique(np.linspace(0, len(rows) - 1, MOST_BOXES).round().astype(int))
    boxes = [Box(int(rows[one]) * height, int(cols[one]) * width, height, width) for one in chosen]
    return np.concatenate([slide.read(box, mpp) for box in boxes])


def _tissue_shares(tissue: Tissue, rows: int, cols: int, side: tuple[int, int], mpp: float) -> NDArray[np.float64]:
    """Return (rows, cols) float64: the share of tissue in each box of a lattice whose boxes have sides in pixels of ``mpp``."""
    height, width = tissue.mask.shape
    top = np.minimum((np.arange(rows) * (side[0] * mpp / tissue.mpp)).astype(int), height - 1)
    left = np.minimum((np.arange(cols) * (side[1] * mpp / tissue.mpp)).astype(int), width - 1)
    sums = np.add.reduceat(np.add.reduceat(tissue.mask.astype(np.int64), top, axis=0), left, axis=1)
    heights, widths = np.diff(top, append=height), np.diff(left, append=width)
    return np.asarray(sums / np.maximum(heights[:, None] * widths, 1))
