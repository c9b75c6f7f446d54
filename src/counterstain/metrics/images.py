"""Compare an inferred image with the real one: structural similarity and peak signal-to-noise ratio.

Both images have one shape, (h, w) or (h, w, c), and one kind: uint8 with a range of 255, or float in [0, 1] with a range of 1.
The two kinds give the same numbers for the same picture, up to the rounding of its pixels.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

WINDOW_PX = 11
"""Side of the Gaussian window of SSIM (sigma 1.5, cut at 3.5 sigma)."""


def ssim(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Return the mean structural similarity, at most 1, over the whole image and all components.

    With the Gaussian window and population covariance of Wang et al., IEEE Transactions on Image Processing 13 (2004) 600-612.

    Parameters
    ----------
    truth, predicted : (h, w) or (h, w, c), uint8 or float in [0, 1]; at least 11 pixels high and wide.

    Raises
    ------
    ValueError
        Shapes or kinds differ, a float is outside [0, 1], or the image is smaller than the window.
    """
    data_range = _data_range(truth, predicted)
    if min(truth.shape[:2]) < WINDOW_PX:
        raise ValueError(f"SSIM needs images of at least {WINDOW_PX} x {WINDOW_PX} pixels, got {truth.shape[:2]}")
    similarity = structural_similarity(
        truth,
        predicted,
        data_range=data_range,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=2 if truth.ndim == 3 else None,
    )
    return float(similarity)


def psnr(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Return the peak signal-to-noise ratio in decibels; infinite for equal images.

    Parameters
    ----------
    truth, predicted : (h, w) or (h, w, c), uint8 or float in [0, 1], not empty.

    Raises
    ------
    ValueError
        Shapes or kinds differ, a float is outside [0, 1], or there is no pixel.
    """
    data_range = _data_range(truth, predicted)
    if np.array_equal(truth, predicted):
        return float("inf")
    return float(peak_signal_noise_ratio(truth, predicted, data_range=data_range))


def _data_range(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    if truth.shape != predicted.shape or not truth.size:
        raise ValueError(f"images must have one shape and at least one pixel, got {truth.shape} and {predicted.shape}")
    if truth.dtype == predicted.dtype == np.uint8:
        return 255.0
    if not (np.issubdtype(truth.dtype, np.floating) and np.issubdtype(predicted.dtype, np.floating)):
        raise ValueError(f"images must both be uint8 or both be float, got {truth.dtype} and {predicted.dtype}")
    for image in (truth, predicted):
        if not (image.min() >= 0 and image.max() <= 1):  # also refuses NaN
            raise ValueError(f"float images must lie in [0, 1], got {image.min()} to {image.max()}")
    return 1.0
