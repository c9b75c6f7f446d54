"""The pixel contract: what an image is in this package, and its optical densities.

An ``image`` is (h, w, 3) uint8 RGB. Arrays of other layouts come in through ``to_rgb`` or are refused; floats are in [0, 1].
Nothing here knows files, slides or models.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Stain = tuple[float, float, float]
"""Optical density of one unit of a stain in red, green and blue; of any length."""

HEMATOXYLIN: Stain = (0.650, 0.704, 0.286)
DAB: Stain = (0.268, 0.570, 0.776)
HEMATOXYLIN_DAB: tuple[Stain, Stain] = (HEMATOXYLIN, DAB)
"""Hematoxylin and DAB as measured by Ruifrok & Johnston, Anal. Quant. Cytol. Histol. 23:291-299 (2001)."""

ROWS_AT_ONCE = 256
"""Rows that are converted together, so that no wide copy of a whole image is made."""

_DENSITY_OF_BYTE = (-np.log10(np.maximum(np.arange(256), 1) / 255)).astype(np.float32)


def check_rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the image unchanged when it keeps the contract.

    Raises
    ------
    ValueError
        When the array is not (h, w, 3) uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"expected an (h, w, 3) uint8 RGB image, got {image.dtype} of shape {image.shape}")
    return image


def to_rgb(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert grey, grey with alpha, RGB or RGBA pixels to RGB; alpha is composited on white, so a transparent pixel is white.

    Parameters
    ----------
    array : (h, w) or (h, w, 1 | 2 | 3 | 4) bool, uint8 or uint16; the range of the type is the range of the image.

    Returns
    -------
    (h, w, 3) uint8.

    Raises
    ------
    ValueError
        When the array has another type, whose range would have to be guessed, or another number of samples per pixel.
    """
    samples = _eight_bit(array if array.ndim == 3 else array[..., np.newaxis] if array.ndim == 2 else _refuse_shape(array))
    match samples.shape[2]:
        case 1:
            return np.ascontiguousarray(np.broadcast_to(samples, (*samples.shape[:2], 3)))
        case 3:
            return np.ascontiguousarray(samples)
        case 2 | 4:
            return _on_white(to_rgb(samples[..., :-1]), samples[..., -1:])
        case _:
            return _refuse_shape(array)


def _refuse_shape(array: NDArray[Any]) -> NDArray[np.uint8]:
    raise ValueError(f"expected grey, RGB or RGBA pixels, (h, w) or (h, w, 1 to 4), got an array of shape {array.shape}")


def _eight_bit(samples: NDArray[Any]) -> NDArray[np.uint8]:
    if samples.dtype == np.uint8:
        return samples
    if samples.dtype == np.uint16:
        bytes_ = np.empty(samples.shape, np.uint8)
        for first in range(0, len(samples), ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            bytes_[rows] = (samples[rows].astype(np.uint32) + 128) // 257  # 65535 = 257 * 255, rounded to nearest
        return bytes_
    if samples.dtype == np.bool_:
        return samples.astype(np.uint8) * np.uint8(255)
    raise ValueError(f"expected 8-bit or 16-bit unsigned pixels, got {samples.dtype}, whose black and white are not defined")


def _on_white(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    weight = alpha.astype(np.uint32)
    return ((rgb * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)


def to_unit(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return uint8 of any shape as float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(255)


def to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return floats of any shape as uint8: 0 is 0, 1 is 255, halves go to the even neighbour, the rest is clipped.

    Raises
    ------
    ValueError
        When a value is NaN.
    """
    scaled = np.rint(values * np.float32(255))
    if np.isnan(scaled).any():
        raise ValueError("cannot store NaN as a pixel")
    return np.clip(scaled, 0, 255).astype(np.uint8)


def optical_density(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return the decadic absorbance of each channel, ``-log10(max(v, 1) / 255)`` for v in 0-255.

    Parameters
    ----------
    image : (..., 3) uint8, or floating in [0, 1].

    Returns
    -------
    (..., 3) float32, from 0 (white) to 2.41 (black).
    """
    if image.dtype == np.uint8:
        return np.asarray(_DENSITY_OF_BYTE[image])
    return np.asarray(-np.log10(np.clip(image, 1 / 255, 1)), dtype=np.float32)


def unmix(image: NDArray[Any], stains: Sequence[Stain] = HEMATOXYLIN_DAB) -> NDArray[np.float32]:
    """Separate stains by colour deconvolution (Ruifrok & Johnston 2001).

    The optical density of each pixel is written as a sum of the unit-length stain vectors plus a residual orthogonal to them,
    which is dropped; this is the least-squares solution. A negative amount is returned as 0.

    Parameters
    ----------
    image : (h, w, 3) uint8, or floating in [0, 1].
    stains : one to three linearly independent colours.

    Returns
    -------
    (h, w, len(stains)) float32 amounts in units of optical density, at least 0.
    """
    vectors = np.asarray(stains, dtype=np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    weights = np.linalg.pinv(unit).astype(np.float32)  # (3, stains)
    red, green, blue = np.moveaxis(optical_density(image), -1, 0)
    # Written out, not as a matrix product, whose rounding depends on where a pixel lies in the array.
    amounts = [red * weight[0] + green * weight[1] + blue * weight[2] for weight in weights.T]
    return np.asarray(np.maximum(np.stack(amounts, axis=-1), 0), dtype=np.float32)
