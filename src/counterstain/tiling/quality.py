"""What makes a tile less sure: tissue out of focus, pen marks, folds, black borders.

The pixels of a tile come in, the shares of it that are bad come out. Nothing here knows networks, nuclei or other tiles, so the
same pixels are judged the same by every process. All is measured at about 1 um per pixel and told of square cells of 8 um.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.measure import regionprops

from counterstain.geometry import Box
from counterstain.images import optical_density
from counterstain.tiling.tissue import tissue_mask

PIXEL_UM = 1.0
"""Micrometres per pixel at which tiles are judged, as near as whole pixels of the tile allow."""

CELL_PX = 8
"""Side of a cell in those pixels."""

TISSUE_GAP_CELLS = 7
"""Clear places between pale nuclei that are narrower than these many cells (56 um) count as tissue, as on the slide's mask."""

BLUR_UM = 0.8
"""Width of edges (standard deviation) from which tissue is out of focus. Sharp scans at 20x and 40x have 0.4 to 0.7."""

BLUR_CELLS = 5
"""Side of the neighbourhood over which the width of edges is averaged: 40 um, some five nuclei across."""

LEAST_GRADIENT = 2.0
"""Root mean square of the change of grey (0 to 255) per pixel below which there are no edges to judge, as in glass."""

INK_CELLS = 5
"""Ink that is narrower than these many cells (40 um) is not told from stain; pens draw lines of 300 um and more."""

GREEN_INK = 0.08
"""Optical density by which green is clearer than both red and blue under green ink; in tissue at most 0.03."""

COOL_INK = 0.15
"""Optical density by which red is darker than green under blue, green and cyan ink; in tissue at most 0.04."""

RED_INK = 0.5
"""Optical density of green under red ink, which is denser than layers of red cells."""

DARK_INK = 0.4
EVENNESS = 0.15
"""Optical density of ink of any bluish or grey hue, and its standard deviation over three cells as a share of that. Where
tissue is so even, its gaps have at most 0.17, and those of three layers of it 0.34."""

FOLD_RATIO = 1.7
"""Times that the gaps between nuclei are as dense in a fold as in the other tissue of the tile; three layers make up to 3."""

FOLD_DENSITY = 0.15
"""Optical density that the gaps in a fold have at least, because pale tissue is not dark when it is folded."""

FOLD_LENGTH_UM = 80.0
FOLD_ELONGATION = 2.5
"""A fold is at least so long, and so many times longer than wide."""

FOLD_HUE = 0.03
"""A fold and the tissue beside it differ by at most this in their shares of red, green and blue optical density, added up."""

BLACK_LEVEL = 30
BLACK_RANGE = 12
"""All colours of a black border are at most this bright, and differ by at most this within a cell."""

Mask = NDArray[np.bool_]
Density = NDArray[np.float32]
Number = TypeVar("Number", bound=np.generic)


FLAGGED_SHARE = {"blur": 0.25, "pen": 0.05, "fold": 0.05, "black_border": 0.05}
"""Share of a tile, or of its tissue, from which it is flagged."""

NOTICEABLE_SHARE = 0.05
"""Share of the tissue of a slide from which a fault is warned of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileQuality:
    """Shares of one tile in [0, 1], of four digits."""

    tissue: float
    """Of the tile: tissue that is not under ink."""
    blur: float
    """Of the tissue that has edges to judge: out of focus."""
    pen: float
    """Of the tile: ink."""
    fold: float
    """Of the tissue: folded."""
    black_border: float
    """Of the tile: black without texture, as scanners fill what they did not see."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of what is wrong with the tile, by ``FLAGGED_SHARE``."""
        return tuple(name for name, share in FLAGGED_SHARE.items() if getattr(self, name) >= share)


TileQualities = tuple[tuple[Box, TileQuality], ...]
"""The kept box of each tile that was inferred, in the order of rows and then columns, with what was found in it."""


def tile_quality(pixels: NDArray[np.uint8], mpp: float) -> TileQuality:
    """Return what is wrong with a tile.

    Parameters
    ----------
    pixels : (h, w, 3) uint8 RGB, at least one pixel.
    mpp : micrometres per pixel.

    Notes
    -----
    The four kinds are those of HistoQC (Janowczyk et al., JCO Clin. Cancer Inform. 3:1-7, 2019). Each has a function below that
    says how it is found. A tile without tissue has nothing that is out of focus or folded.
    """
    factor = max(1, round(PIXEL_UM / mpp))
    small, pixel_um = _whole_cells(np.asarray(Image.fromarray(pixels).reduce(factor))), mpp * factor
    cells = np.asarray(Image.fromarray(small).reduce(CELL_PX))  # (rows, cols, 3)
    black = _black_borders(small)
    clear = _clearest(small)  # (rows, cols, 3)
    ink = _ink(clear) & ~black
    tissue = _closed(tissue_mask(cells, texture_px=3), TISSUE_GAP_CELLS) & ~black & ~ink
    judged, blurred = _focus(small, tissue & ~_grown(black | ink), pixel_um)
    folded = _folds(cells, clear.mean(axis=2), tissue, pixel_um)
    whole = np.ones_like(tissue)
    return TileQuality(
        tissue=_share(tissue, whole),
        blur=_share(blurred, judged),
        pen=_share(ink, whole),
        fold=_share(folded, tissue),
        black_border=_share(black, whole),
    )


def tissue_mm2(tiles: Iterable[tuple[Box, TileQuality]], mpp: float) -> float:
    """Return the area of the tissue in tiles in square millimetres; boxes count in pixels of ``mpp``."""
    return sum(quality.tissue * box.size.area for box, quality in tiles) * mpp**2 / 1e6


def tissue_shares(tiles: Iterable[tuple[Box, TileQuality]]) -> dict[str, float]:
    """Return the shares of the tissue in tiles that are out of focus (``blur``), folded (``fold``), and inked (``pen``).

    Ink hides what it covers, so its share is that of the area of ink and tissue together. Without tissue all are 0.
    """
    pairs = [(box.size.area, quality) for box, quality in tiles]
    tissue = sum(area * quality.tissue for area, quality in pairs)
    ink = sum(area * quality.pen for area, quality in pairs)
    blurred = sum(area * quality.tissue * quality.blur for area, quality in pairs)
    folded = sum(area * quality.tissue * quality.fold for area, quality in pairs)
    parts = {"blur": (blurred, tissue), "fold": (folded, tissue), "pen": (ink, tissue + ink)}
    return {name: round(part / whole, 4) if whole else 0.0 for name, (part, whole) in parts.items()}


def quality_warnings(tiles: Iterable[tuple[Box, TileQuality]]) -> tuple[str, ...]:
    """Return what to tell people: each fault that ``NOTICEABLE_SHARE`` of the tissue of all tiles has."""
    faults = {
        "blur": "is out of focus: nuclei in it are missed or joined",
        "fold": "is folded: nuclei in it lie over each other",
        "pen": "is under or beside pen marks, which are taken for stain",
    }
    return tuple(
        f"{100 * share:.0f} % of the tissue {faults[name]}; the scores are less sure"
        for name, share in tissue_shares(tiles).items()
        if share >= NOTICEABLE_SHARE
    )


def _share(part: Mask, whole: Mask) -> float:
    count = int(np.count_nonzero(whole))
    return round(int(np.count_nonzero(part)) / count, 4) if count else 0.0


def _whole_cells(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the image with its last row and column repeated up to whole cells."""
    rows, cols = (-side % CELL_PX for side in small.shape[:2])
    return np.pad(small, ((0, rows), (0, cols), (0, 0)), mode="edge")


def _in_cells(values: NDArray[Number]) -> NDArray[Number]:
    """Return (h, w) values by cell, (h / 8, w / 8, 64)."""
    rows, cols = values.shape[0] // CELL_PX, values.shape[1] // CELL_PX
    return values.reshape(rows, CELL_PX, cols, CELL_PX).swapaxes(1, 2).reshape(rows, cols, CELL_PX**2)


def _grown(mask: Mask) -> Mask:
    return np.asarray(ndimage.binary_dilation(mask, np.ones((3, 3), bool)))


def _black_borders(small: NDArray[np.uint8]) -> Mask:
    """Return the cells that are black all over: dark nuclei and pigment have texture, and are smaller than two cells."""
    brightest = _in_cells(small.max(axis=2))
    darkest = _in_cells(small.min(axis=2))
    black = (brightest.max(axis=2) <= BLACK_LEVEL) & (np.ptp(brightest, axis=2) <= BLACK_RANGE)
    return _opened(black & (np.ptp(darkest, axis=2) <= BLACK_RANGE), 2)


def _opened(mask: Mask, side: int) -> Mask:
    """Return what squares of a side cover that fit into the mask; beyond the tile it goes on as at the border."""
    wide = np.pad(mask, side, mode="edge")
    return np.asarray(ndimage.binary_opening(wide, np.ones((side, side), bool)))[side:-side, side:-side]


def _closed(mask: Mask, side: int) -> Mask:
    """Return the mask with what is too narrow for squares of a side filled; beyond the tile it goes on as at the border."""
    return ~_opened(~mask, side)


def _clearest(small: NDArray[np.uint8]) -> Density:
    """Return the optical density of each cell in red, green and blue where it is clear: its tenth percentile.

    What lies over or under everything, as ink and further layers of tissue, shows between nuclei too; stained nuclei do not.
    """
    rank = CELL_PX**2 // 10
    planes = np.moveaxis(optical_density(small), -1, 0)
    return np.stack([np.partition(_in_cells(plane), rank, axis=2)[..., rank] for plane in planes], axis=-1)


def _ink(clear: Density) -> Mask:
    """Return the cells under ink, told by optical density in red, green and blue (Ruifrok & Johnston 2001).

    Hematoxylin, DAB and eosin all absorb green, and at least as much as red or as blue. Green and blue inks let green or blue
    pass and stop red; red ink stops green and blue alike and lets red pass. Violet, grey and black ink, whose hue a stain could
    have, is told by how even it is.
    """
    red, green, blue = np.moveaxis(clear, -1, 0)
    is_green = np.minimum(red, blue) > green + GREEN_INK
    is_cool = red > green + COOL_INK
    is_red = (green > RED_INK) & (red < 0.35 * green) & (blue > 0.6 * green)
    density = clear.mean(axis=2)
    mean = ndimage.uniform_filter(density, 3, mode="nearest")
    square = ndimage.uniform_filter(density**2, 3, mode="nearest")
    is_even = np.sqrt(np.maximum(square - mean**2, 0)) < EVENNESS * mean
    is_dark = is_even & (density > DARK_INK) & (red > 0.9 * green)
    return _opened(_closed(is_green | is_cool | is_red | is_dark, INK_CELLS), INK_CELLS)


def _focus(small: NDArray[np.uint8], tissue: Mask, pixel_um: float) -> tuple[Mask, Mask]:
    """Return the cells of tissue whose focus can be judged, and those among them that are out of focus.

    The energy of the gradient over that of the Laplacian, both common measures of focus (Pech-Pacheco et al., ICPR 2000), is
    twice the square of the standard deviation of a step that was blurred by a Gaussian. It is a length, so the strength of the
    stain drops out, and strong edges outweigh noise and smooth stroma.
    """
    grey = np.pad(np.asarray(Image.fromarray(small).convert("L"), np.float32), 1, mode="edge")
    down, right = np.diff(grey[:, 1:-1], axis=0), np.diff(grey[1:-1], axis=1)
    gradient = _in_cells(down[1:] ** 2 + right[:, 1:] ** 2).mean(axis=2) * tissue
    laplacian = _in_cells((np.diff(down, axis=0) + np.diff(right, axis=1)) ** 2).mean(axis=2) * tissue
    gradients, laplacians, part = (
        ndimage.uniform_filter(values, BLUR_CELLS, mode="constant")
        for values in (gradient, laplacian, tissue.astype(np.float32))
    )
    judged = tissue & (gradients > LEAST_GRADIENT**2 * part)
    blurred = gradients * pixel_um**2 > 2 * BLUR_UM**2 * laplacians
    return judged, judged & blurred


def _folds(cells: NDArray[np.uint8], gaps: Density, tissue: Mask, pixel_um: float) -> Mask:
    """Return the folded cells: long areas in which even the gaps between nuclei are much denser than in the rest of the tile.

    Folds are told by density relative to the tissue's own, as by Kothari et al. (J. Pathol. Inform. 4:22, 2013); the gaps are
    taken (``_clearest``) because nests of stained nuclei are dense on the mean, but have clear gaps. A fold has the hue of the
    tissue beside it, which strips of stained epithelium have not.
    """
    folded = np.zeros_like(tissue)
    if not tissue.any():
        return folded
    dense = tissue & (gaps > FOLD_RATIO * np.median(gaps[tissue])) & (gaps > FOLD_DENSITY)
    labels, _ = ndimage.label(ndimage.binary_opening(dense, np.ones((2, 2), bool)), np.ones((3, 3), bool))
    for region in regionprops(labels):
        is_here = labels == region.label
        length, cell_um = region.axis_major_length, CELL_PX * pixel_um
        is_long = length * cell_um >= FOLD_LENGTH_UM and length**2 >= FOLD_ELONGATION * region.area
        if is_long and np.abs(_hue(cells[is_here]) - _hue(cells[tissue & ~dense])).sum() <= FOLD_HUE:
            folded |= is_here
    return folded


def _hue(colours: NDArray[np.uint8]) -> Density:
    """Return the shares of red, green and blue in the optical density of (n, 3) colours."""
    density = optical_density(colours).sum(axis=0)
    return np.asarray(density / max(float(density.sum()), 1e-6))
