"""Random fields that tissue is drawn with. Knows nothing of nuclei or stains."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Field = NDArray[np.float32]
Range = tuple[float, float]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale_px: float, *, stretch: float = 1.0) -> Field:
    """Return (h, w) float32 noise of mean about 0 and deviation about 1, correlated over ``scale_px``.

    Parameters
    ----------
    stretch : correlation length along columns over that along rows; fibres have 3-10.
    """
    rows = max(2, round(shape[0] / scale_px) + 2)
    cols = max(2, round(shape[1] / (scale_px * stretch)) + 2)
    coarse = Image.fromarray(rng.standard_normal((rows, cols), dtype=np.float32))
    return np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)) * np.float32(1.3)


def fibres(rng: np.random.Generator, shape: tuple[int, int], scale_px: float) -> Field:
    """Return (h, w) float32 noise stretched along one random direction, like collagen."""
    side = int(np.hypot(*shape)) + 2
    field = smooth_noise(rng, (side, side), scale_px, stretch=rng.uniform(3, 9))
    turned = ndimage.rotate(field, rng.uniform(0, 180), reshape=False, order=1, mode="mirror")
    row, col = (side - shape[0]) // 2, (side - shape[1]) // 2
    return np.asarray(turned[row : row + shape[0], col : col + shape[1]], dtype=np.float32)


def blobs(rng: np.random.Generator, shape: tuple[int, int], scale_px: float, fraction: float) -> Field:
    """Return (h, w) float32 in [0, 1]: soft patches that cover about ``fraction`` of the field."""
    field = smooth_noise(rng, shape, scale_px)
    level = np.quantile(field, 1 - np.clip(fraction, 0.0, 1.0))
    return np.asarray(np.clip((field - level) * 3 + 0.5, 0, 1), dtype=np.float32)


def dots(
    rng: np.random.Generator, shape: tuple[int, int], *, most: float, cloud_px: float, cover: float, blur_px: Range
) -> Field:
    """Return (h, w) float32: dots in clouds, each about 1 high where it stands alone.

    Parameters
    ----------
    most : largest share of the pixels of a cloud that begin a dot.
    cloud_px : largest size of a cloud.
    cover : largest share of the field that clouds cover.
    blur_px : range of the deviation of the Gaussian that a dot is.
    """
    begins = rng.random(shape) < rng.uniform(0.002, most)
    clouded = begins * blobs(rng, shape, rng.uniform(10, cloud_px), rng.uniform(0.02, cover))
    sigma = rng.uniform(*blur_px)
    return np.asarray(ndimage.gaussian_filter(clouded.astype(np.float32), sigma) * sigma**2 * 6)
