"""Measure all nuclei of a label image at once, in pixels of that image.

Every measurement is a ``bincount`` over the labelled pixels, as a slide has millions of nuclei: nothing here loops over them.
Units, classes and slides are unknown.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NEIGHBOURS_4 = ((-1, 0), (0, -1), (0, 1), (1, 0))
_NEIGHBOURS_8 = ((-1, -1), (-1, 1), (1, -1), (1, 1))

_SIDE, _DIAGONAL, _MIXED = 1.0, np.sqrt(2.0), (1.0 + np.sqrt(2.0)) / 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """Geometry of each nucleus; arrays of (n,), entry i for label i + 1."""

    area_px: NDArray[np.int64]
    row: NDArray[np.float64]
    """Row of the centroid; the centre of a pixel is a whole number."""
    col: NDArray[np.float64]
    perimeter_px: NDArray[np.float64]
    """Length of the line through the centres of the border pixels (see ``perimeters``)."""
    eccentricity: NDArray[np.float64]
    """Of the ellipse with the same second moments, in [0, 1); 0 for a single pixel."""
    first_row: NDArray[np.int64]
    """Topmost row, and the leftmost column in it."""
    first_col: NDArray[np.int64]
    touches_border: NDArray[np.bool_]
    """Of the label image."""


@dataclass(frozen=True, slots=True)
class LabelledPixels:
    """The pixels of all nuclei, gathered once for all measurements."""

    count: int
    """Number of nuclei."""
    flat: NDArray[np.int64]
    """(k,) int64 positions in the flattened image, rising."""
    nucleus: NDArray[np.int32]
    """(k,) int32 label - 1 of each."""
    areas: NDArray[np.int64]
    """(n,) int64 pixels of each nucleus."""

    def means(self, plane: NDArray[np.generic]) -> NDArray[np.float64]:
        """Return the (n,) float64 mean of an (h, w) plane over each nucleus."""
        values = plane.ravel()[self.flat]
        return np.bincount(self.nucleus, weights=values, minlength=self.count) / self.areas

    def maxima(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the (n,) float32 maximum of a non-negative (h, w) plane over each nucleus."""
        highest = np.zeros(self.count, dtype=np.float32)
        np.maximum.at(highest, self.nucleus, plane.ravel()[self.flat])
        return highest


def gather(labels: NDArray[np.int32], count: int) -> LabelledPixels:
    """Gather the pixels of a label image with labels 1 to ``count``, each of at least one pixel."""
    flat = np.flatnonzero(labels)
    nucleus = labels.ravel()[flat] - 1
    return LabelledPixels(count, flat, nucleus, np.bincount(nucleus, minlength=count))


def shapes(labels: NDArray[np.int32], pixels: LabelledPixels, origin: tuple[int, int] = (0, 0)) -> Shapes:
    """Measure area, centroid, perimeter and eccentricity of every nucleus.

    Parameters
    ----------
    labels : (h, w) int32, 0 = background, 1 to n without gaps.
    pixels : what ``gather`` made of them.
    origin : row and column of ``labels[0, 0]``; positions count from where it is (0, 0), so that the numbers of a nucleus are
        the same to the last bit in whatever part of the image it is measured.
    """
    rows, cols = np.divmod(pixels.flat, labels.shape[1])
    rows, cols = rows + origin[0], cols + origin[1]
    row, col = _mean(pixels, rows), _mean(pixels, cols)
    down, right = rows - row[pixels.nucleus], cols - col[pixels.nucleus]
    first = np.zeros(pixels.count, dtype=np.int64)
    first[pixels.nucleus[::-1]] = pixels.flat[::-1]  # the last write to an index wins: the first pixel
    first_row, first_col = np.divmod(first, labels.shape[1])
    return Shapes(
        area_px=pixels.areas,
        row=row,
        col=col,
        perimeter_px=perimeters(labels, pixels.count),
        eccentricity=_eccentricity(_mean(pixels, down * down), _mean(pixels, right * right), _mean(pixels, down * right)),
        first_row=first_row + origin[0],
        first_col=first_col + origin[1],
        touches_border=_touching_border(labels, pixels.count),
    )


def perimeters(labels: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    """Return the perimeter of every label, in pixels, by the estimator of scikit-image (4-neighbourhood).

    A border pixel has a 4-neighbour of another label or lies at the image border. Each counts 1, 1.41 or 1.21 by how its border
    neighbours lie: Benkrid and Crookes, "Design and FPGA implementation of a perimeter estimator", 2000. A single pixel has
    perimeter 0.

    Parameters
    ----------
    labels : (h, w) int32, 0 = background.
    count : largest label.

    Returns
    -------
    (count,) float64.
    """
    width = labels.shape[1] + 2
    padded = np.pad(labels, 1).ravel()
    inside = np.flatnonzero(padded)
    own = padded[inside]
    on_border = np.zeros(len(inside), dtype=np.bool_)
    for row, col in _NEIGHBOURS_4:
        on_border |= padded[inside + row * width + col] != own
    border, own = inside[on_border], own[on_border]
    borders = np.zeros_like(padded)
    borders[border] = own
    straight = sum((borders[border + row * width + col] == own).astype(np.int64) for row, col in _NEIGHBOURS_4)
    diagonal = sum((borders[border + row * width + col] == own).astype(np.int64) for row, col in _NEIGHBOURS_8)
    lengths = _perimeter_weights()[1 + 2 * np.asarray(straight) + 10 * np.asarray(diagonal)] if len(border) else None
    return np.bincount(own, weights=lengths, minlength=count + 1)[1:].astype(np.float64)


def _perimeter_weights() -> NDArray[np.float64]:
    """Length by 1 + 2 * (4-neighbours on the border) + 10 * (diagonal neighbours on the border)."""
    weights = np.zeros(50)
    weights[[5, 7, 15, 17, 25, 27]] = _SIDE
    weights[[21, 33]] = _DIAGONAL
    weights[[13, 23]] = _MIXED
    return weights


def _mean(pixels: LabelledPixels, values: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.bincount(pixels.nucleus, weights=values, minlength=pixels.count) / pixels.areas


def _eccentricity(down: NDArray[np.float64], right: NDArray[np.float64], mixed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eccentricity from the variances along rows and columns and their covariance."""
    centre, spread = (down + right) / 2, np.hypot((down - right) / 2, mixed)
    major, minor = centre + spread, np.maximum(centre - spread, 0)
    ratio = np.divide(minor, major, out=np.ones_like(major), where=major > 0)
    return np.asarray(np.sqrt(1 - ratio))


def _touching_border(labels: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    touches = np.zeros(count + 1, dtype=np.bool_)
    for edge in (labels[:1], labels[-1:], labels[:, :1], labels[:, -1:]):
        touches[edge.ravel()] = True
    return touches[1:]
