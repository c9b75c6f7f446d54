"""From labels and densities to what a network shall answer: classes, boundary, distance, and the fluorescence images."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries

from counterstain.training.synthesis.noise import Field, smooth_noise

BACKGROUND, NEGATIVE, POSITIVE, BOUNDARY, UNKNOWN = 0, 1, 2, 3, 255
"""Values of a class image. The boundary is 3 px wide, as in the published training data; unknown pixels take part in no
loss."""


def class_image(labels: NDArray[np.integer], positive: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return (h, w) uint8 classes: the interior of every nucleus, and a line of 3 px centred on its outermost pixels.

    The line takes the two outermost 4-connected rings of a nucleus, so a decoder that adds two such rings to the interior
    gives the nucleus back, less what no diamond of 5 px inside the nucleus covers.

    Parameters
    ----------
    labels : (h, w) instances, 0 = background.
    positive : (n + 1,) bool by label.
    """
    interior = np.where(positive[labels], POSITIVE, NEGATIVE).astype(np.uint8)
    classes = np.where(labels > 0, interior, BACKGROUND).astype(np.uint8)
    edge = find_boundaries(labels, mode="inner", background=0)
    return np.where(ndimage.binary_dilation(edge), BOUNDARY, classes).astype(np.uint8)


def distance_image(labels: NDArray[np.integer]) -> Field:
    """Return (h, w) float32 in [0, 1]: distance to the edge of the own nucleus over the largest in it; 0 in the background.

    The border of the image is not an edge. Of a nucleus that it cuts, the deepest pixel that is seen has 1, wherever the
    rest of the nucleus would reach; where one nucleus fills the image, no edge is seen and all pixels have 1.
    """
    padded = np.pad(labels, 1, mode="edge")
    edge = find_boundaries(padded, mode="inner", background=0)
    if not edge.any():
        return (labels > 0).astype(np.float32)
    depth = ndimage.distance_transform_edt(~edge & (padded > 0))[1:-1, 1:-1] + (labels > 0)
    deepest = np.atleast_1d(ndimage.maximum(depth, labels, np.arange(int(labels.max()) + 1)))
    return np.where(labels > 0, depth / np.maximum(deepest, 1)[labels], 0).astype(np.float32)


def dapi_image(rng: np.random.Generator, density: Field, nuclear: NDArray[np.bool_]) -> Field:
    """Return (h, w) float32 in [0, 1]: nuclei, given as an (h, w) mask, on black, brighter where denser, with slight haze."""
    inside = ndimage.gaussian_filter(nuclear.astype(np.float32), 1.0)
    signal = inside * (0.3 + 0.35 * np.sqrt(np.clip(density, 0, 2.5)))
    haze = 0.03 + 0.12 * ndimage.gaussian_filter(signal, 8)
    return np.clip(haze + signal * (1 + 0.05 * smooth_noise(rng, nuclear.shape, 3)), 0, 1).astype(np.float32)


def lap2_image(rng: np.random.Generator, labels: NDArray[np.integer]) -> Field:
    """Return (h, w) float32 in [0, 1]: the nuclear envelope, about 1 um wide, just inside the edge."""
    edge = find_boundaries(labels, mode="inner", background=0)
    depth = ndimage.distance_transform_edt(~edge)
    envelope = np.exp(-(((depth - 0.5) / 1.8) ** 2)) * ndimage.gaussian_filter((labels > 0).astype(np.float32), 0.7)
    return np.clip(0.7 * envelope * (1 + 0.25 * smooth_noise(rng, labels.shape, 5)), 0, 1).astype(np.float32)


def marker_image(specific_dab: Field) -> Field:
    """Return (h, w) float32 in [0, 1] from the optical density of specific DAB: bright where brown, slightly blurred."""
    return (0.03 + 0.85 * (1 - 10 ** (-0.9 * ndimage.gaussian_filter(specific_dab, 1.2)))).astype(np.float32)
