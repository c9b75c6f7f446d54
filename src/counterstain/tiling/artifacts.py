"""Find artifacts of tissue and scanner in a tile: ink, folds, blur and black borders, each by a function of its own.

A function returns the squares of the tile that show its artifact. A square has sides of ``SQUARE_PX`` pixels of about 1 um. How
many such squares flag a tile is not decided here.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from counterstain.images import optical_density

SQUARE_PX = 8
"""Side of a square in those pixels."""

BLUR_UM = 0.8
"""Width of edges (standard deviation) from which tissue is out of focus. Sharp scans at 20x and 40x have 0.4 to 0.7."""

BLUR_SQUARES = 5
"""Side of the neighbourhood over which the width of edges is averaged: 40 um, some five nuclei across."""

LEAST_GRADIENT = 2.0
"""Root mean square of the change of grey (0 to 255) per pixel below which there are no edges to judge, as in glass."""

INK_SQUARES = 5
"""Ink that is narrower than these many squares (40 um) is not told from stain; pens draw lines of 300 um and more."""

GREEN_INK = 0.08
"""Optical density by which green is clearer than both red and blue under green ink; in tissue at most 0.03."""

COOL_INK = 0.15
"""Optical density by which red is darker than green under blue, green and cyan ink; in tissue at most 0.04."""

RED_INK = 0.5
"""Optical density of green under red ink, which is denser than layers of red blood cells."""

DARK_INK = 0.4
EVENNESS = 0.15
"""Optical density of ink of any bluish or grey hue, and its standard deviation over three squares as a share of that. Where
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
"""All colours of a black border are at most this bright, and differ by at most this within a square."""

Mask = NDArray[np.bool_]
Density = NDArray[np.float32]
Number = TypeVar("Number", bound=np.generic)


def black_borders(small: NDArray[np.uint8]) -> Mask:
    """Return the (rows, cols) squares of an (h, w, 3) uint8 image, of whole squares, that are black all over.

    Dark nuclei and pigment have texture, and are smaller than two squares.
    """
    brightest = _in_squares(small.max(axis=2))
    darkest = _in_squares(small.min(axis=2))
    black = (brightest.max(axis=2) <= BLACK_LEVEL) & (np.ptp(brightest, axis=2) <= BLACK_RANGE)
    return _opened(black & (np.ptp(darkest, axis=2) <= BLACK_RANGE), 2)


def clearest(small: NDArray[np.uint8]) -> Density:
    """Return the (rows, cols, 3) float32 optical density of each square where it is clear: the tenth percentile.

    What lies over or under everything, as ink and further layers of tissue, shows between nuclei too; stained nuclei do not.
    """
    rank = SQUARE_PX**2 // 10
    planes = np.moveaxis(optical_density(small), -1, 0)
    return np.stack([np.partition(_in_squares(plane), rank, axis=2)[..., rank] for plane in planes], axis=-1)


def under_ink(clear: Density) -> Mask:
    """Return the squares under ink, told by ``clearest`` optical density in red, green and blue (Ruifrok & Johnston 2001).

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
    return _opened(closed(is_green | is_cool | is_red | is_dark, INK_SQUARES), INK_SQUARES)


def focus(small: NDArray[np.uint8], tissue: Mask, pixel_um: float) -> tuple[Mask, Mask]:
    """Return the squares of tissue whose focus can be judged, and those among them that are out of focus.

    The energy of the gradient over that of the Laplacian, both common measures of focus (Pech-Pacheco et al., ICPR 2000), is
    twice the square of the standard deviation of a step that was blurred by a Gaussian. It is a length, so the strength of the
    stain drops out, and strong edges outweigh noise and smooth stroma.
    """
    grey = np.pad(np.asarray(Image.fromarray(small).convert("L"), np.float32), 1, mode="edge")
    down, right = np.diff(grey[:, 1:-1], axis=0), np.diff(grey[1:-1], axis=1)
    gradient = _in_squares(down[1:] ** 2 + right[:, 1:] ** 2).mean(axis=2) * tissue
    laplacian = _in_squares((np.diff(down, axis=0) + np.diff(right, axis=1)) ** 2).mean(axis=2) * tissue
    gradients, laplacians, part = (
        ndimage.uniform_filter(values, BLUR_SQUARES, mode="constant")
        for values in (gradient, laplacian, tissue.astype(np.float32))
    )
    judged = tissue & (gradients > LEAST_GRADIENT**2 * part)
    blurred = gradients * pixel_um**2 > 2 * BLUR_UM**2 * laplacians
    return judged, judged & blurred


def folds(squares: NDArray[np.uint8], gaps: Density, tissue: Mask, pixel_um: float) -> Mask:
    """Return the folded squares: long areas in which even the gaps between nuclei are much denser than in the rest of the tile.

    Folds are told by density relative to the tissue's own, as by Kothari et al. (J. Pathol. Inform. 4:22, 2013); the gaps are
    taken (``clearest``) because nests of stained nuclei are dense on the mean, but have clear gaps. A fold has the hue of the
    tissue beside it, which strips of stained epithelium have not.

    Parameters
    ----------
    squares : (rows, cols, 3) uint8, the mean colour of each square.
    gaps : (rows, cols) float32, the mean of ``clearest``.
    tissue : (rows, cols) bool.
    pixel_um : micrometres per pixel, of which a square has ``SQUARE_PX`` squared.
    """
    folded = np.zeros_like(tissue)
    if not tissue.any():
        return folded
    dense = tissue & (gaps > FOLD_RATIO * np.median(gaps[tissue])) & (gaps > FOLD_DENSITY)
    labels, _ = ndimage.label(ndimage.binary_opening(dense, np.ones((2, 2), bool)), np.ones((3, 3), bool))
    for region in _regions(labels.astype(np.int32)):
        is_here = labels == region.label
        length, square_um = region.axis_major_length, SQUARE_PX * pixel_um
        is_long = length * square_um >= FOLD_LENGTH_UM and length**2 >= FOLD_ELONGATION * region.area
        if is_long and np.abs(_hue(squares[is_here]) - _hue(squares[tissue & ~dense])).sum() <= FOLD_HUE:
            folded |= is_here
    return folded


def _regions(labels: NDArray[np.int32]) -> Sequence[Any]:
    """Return what scikit-image measures of each label; for the many images without any it is not even imported."""
    if not labels.any():
        return ()
    from skimage.measure import regionprops

    return [*regionprops(labels)]


def grown(mask: Mask) -> Mask:
    """Return a mask with the squares that touch it, at corners too."""
    return np.asarray(ndimage.binary_dilation(mask, np.ones((3, 3), bool)))


def closed(mask: Mask, side: int) -> Mask:
    """Return the mask with what is too narrow for squares of a side filled; beyond the tile it goes on as at the border."""
    return ~_opened(~mask, side)


def _opened(mask: Mask, side: int) -> Mask:
    """Return what squares of a side cover that fit into the mask; beyond the tile it goes on as at the border."""
    wide = np.pad(mask, side, mode="edge")
    return np.asarray(ndimage.binary_opening(wide, np.ones((side, side), bool)))[side:-side, side:-side]


def _hue(colours: NDArray[np.uint8]) -> Density:
    """Return the shares of red, green and blue in the optical density of (n, 3) colours."""
    density = optical_density(colours).sum(axis=0)
    return np.asarray(density / max(float(density.sum()), 1e-6))


def _in_squares(values: NDArray[Number]) -> NDArray[Number]:
    """Return (h, w) values by square, (h / 8, w / 8, 64)."""
    rows, cols = values.shape[0] // SQUARE_PX, values.shape[1] // SQUARE_PX
    return values.reshape(rows, SQUARE_PX, cols, SQUARE_PX).swapaxes(1, 2).reshape(rows, cols, SQUARE_PX**2)
