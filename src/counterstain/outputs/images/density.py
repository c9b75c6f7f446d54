"""``density.png`` and ``positive_density.png``: a thumbnail of the slide under a map of where nuclei are dense."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage

from counterstain.analysis import Analysis
from counterstain.files import replacing
from counterstain.geometry import Size
from counterstain.slides.base import size_um
from counterstain.slides.thumbnail import thumbnail

LONGEST_SIDE_PX = 1024
SMOOTHING_UM = 50.0
"""Standard deviation of the Gaussian around each nucleus."""

OPACITY = 0.7
"""Opacity of the colour where nuclei are densest, from 0 to 1; elsewhere it falls with the square root of the density."""

COLOURS = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float64)
"""From no nucleus to the densest place; colour-blind people can tell them apart."""

MAXIMUM = "counterstain:densest_per_mm2"
"""Key of the PNG text that says what the last colour stands for."""


def write_density(analysis: Analysis, path: Path, *, only_positive: bool) -> None:
    """Write the heat map over a thumbnail whose longer side has at most 1024 pixels.

    Parameters
    ----------
    only_positive : whether the nuclei that are not positive are left out.
    """
    slide, cells = analysis.slide, analysis.cells
    mpp = max(analysis.maps.mpp, max(size_um(slide)) / LONGEST_SIDE_PX)
    pixels = thumbnail(slide, mpp)
    size = Size(*pixels.shape[:2])
    counts = np.zeros((size.height, size.width), np.int64)
    for part in cells.parts():
        chosen = part["is_positive"] if only_positive else slice(None)
        counts += nuclei_in_pixels(part["row_um"][chosen], part["col_um"][chosen], size, mpp)
    density = nuclei_per_mm2(counts, mpp)
    text = PngInfo()
    text.add_text(MAXIMUM, f"{density.max():.6g}")
    with replacing(path) as hidden:
        Image.fromarray(heated(pixels, density)).save(hidden, format="PNG", pnginfo=text)


def nuclei_in_pixels(row_um: NDArray[np.float64], col_um: NDArray[np.float64], size: Size, mpp: float) -> NDArray[np.int64]:
    """Return (h, w) int64: the number of nuclei in each pixel; one outside counts in the nearest.

    Parameters
    ----------
    row_um, col_um : (n,) float64 positions in micrometres.
    size, mpp : of the result.
    """
    rows = (row_um / mpp).astype(np.int64).clip(0, size.height - 1)
    cols = (col_um / mpp).astype(np.int64).clip(0, size.width - 1)
    return np.bincount(rows * size.width + cols, minlength=size.area).reshape(size.height, size.width)


def nuclei_per_mm2(counts: NDArray[np.int64], mpp: float) -> NDArray[np.float64]:
    """Return (h, w) float64: nuclei per square millimetre around each pixel; at the border, on the part inside alone.

    Parameters
    ----------
    counts : (h, w) int64, nuclei in each pixel.
    mpp : of the pixels.
    """
    smooth, inside = (
        ndimage.gaussian_filter(values.astype(np.float64), SMOOTHING_UM / mpp, mode="constant")
        for values in (counts, np.ones_like(counts))
    )
    density: NDArray[np.float64] = smooth / inside / (mpp**2 / 1e6)
    return density


def heated(pixels: NDArray[np.uint8], density: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the (h, w, 3) uint8 picture with colours of a density over it; without any nucleus, the picture itself."""
    share = density / max(float(density.max()), 1e-300)
    stops = np.linspace(0, 1, len(COLOURS))
    colour = np.stack([np.interp(share, stops, COLOURS[:, channel]) for channel in range(3)], axis=2)
    opacity = (OPACITY * np.sqrt(share))[..., None]
    return np.asarray(np.rint(pixels * (1 - opacity) + colour * opacity), dtype=np.uint8)
