"""Find tissue on a thumbnail, so that empty glass need not be analysed."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from counterstain.images import optical_density

GLASS_DENSITY = 0.10
"""Optical density above which even the clearest pixels are not glass."""

THRESHOLD_RANGE = (0.02, 0.06)
"""Optical density above the glass at which tissue may begin; Otsu's threshold is clipped to it, because in a field full of
tissue it would part dark tissue from pale."""

TEXTURE_DENSITY = 0.004
"""Standard deviation of optical density below which an area is a flat colour: pen, empty glass or a blank image."""


def tissue_mask(thumbnail: NDArray[np.uint8], *, texture_px: int = 7) -> NDArray[np.bool_]:
    """Return where there is tissue, pale immunohistochemistry included.

    Parameters
    ----------
    thumbnail : (h, w, 3) uint8 RGB, some 4-16 um/px.
    texture_px : side of the window in which texture is measured.

    Returns
    -------
    (h, w) bool. All False for an image of one colour or without pixels; all True for a field full of tissue.

    Notes
    -----
    The optical density of the clearest pixels is taken for glass; what is denser by Otsu's threshold (IEEE Trans. Syst. Man
    Cybern. 9:62-66, 1979), clipped to ``THRESHOLD_RANGE``, is tissue when it has texture.
    """
    if thumbnail.size == 0:
        return np.zeros(thumbnail.shape[:2], bool)
    density = optical_density(thumbnail).max(axis=2)  # the densest channel: pale stains are coloured before they are dark
    textured = _local_deviation(density, texture_px) > TEXTURE_DENSITY
    if not textured.any():
        return textured
    smooth = ndimage.uniform_filter(density, 3, mode="nearest")
    dense = smooth > _glass(smooth) + np.clip(threshold_otsu(smooth) - _glass(smooth), *THRESHOLD_RANGE)
    return _clean(dense & textured, texture_px)


def _local_deviation(density: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    values = density.astype(np.float64)
    mean = ndimage.uniform_filter(values, side, mode="nearest")
    square = ndimage.uniform_filter(values**2, side, mode="nearest")
    return np.asarray(np.sqrt(np.maximum(square - mean**2, 0)))


def _glass(density: NDArray[np.float32]) -> float:
    """Return the density of the clearest pixels; where there is no glass, one below which nothing lies."""
    clearest = float(np.percentile(density, 1))
    return clearest if clearest <= GLASS_DENSITY else -1.0


def _clean(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Fill holes and drop specks that are smaller than the window."""
    closed = ndimage.binary_closing(np.pad(mask, side, mode="edge"), iterations=side // 2)[side:-side, side:-side]
    filled = ndimage.binary_fill_holes(closed)
    labels, _ = ndimage.label(filled)
    large = np.bincount(labels.ravel()) >= side * side
    large[0] = False
    return np.asarray(large[labels])
