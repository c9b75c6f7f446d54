"""The published DeepLIIF rule: from segmentation and marker images to counted nuclei.

This follows what the published software does, step by step, so that its results can be reproduced (Ghahremani et al., Nature
Machine Intelligence 4 (2022) 401-412). Images in and numbers out; ``deepliif_images`` draws them. All thresholds are in the
published units: grey levels 0-255 and pixels. The functions stand in the order in which ``count_cells`` needs them.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from counterstain.cells.decoder import Nuclei, numbered_by_first_pixel
from counterstain.geometry import MPP_AT_1X

Magnification = Literal["10x", "20x", "40x"]

UNKNOWN, NEGATIVE, POSITIVE = 0, 1, 2
"""Classes of a pixel."""

SEGMENTATION_THRESHOLD = 120
MAX_BOUNDARY = 80
NOISE_SIZE = 4
"""Components of at most this many pixels are noise."""

LARGE_NOISE_SIZE: dict[Magnification, int] = {"10x": 1000, "20x": 4000, "40x": 16000}
"""Components of at least this many pixels are noise, where that limit is switched on."""

SIZE_LIMITS: dict[Magnification, tuple[float, float, float]] = {"10x": (2, 2, 3), "20x": (3, 4, 6), "40x": (4, 7, 10)}
"""Lowest, default and highest automatic size limit, as the square root of pixels."""

_ANY_NEIGHBOUR = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """The 8-connected components that are not noise, in the order of their first pixel; arrays of (n,)."""

    labels: NDArray[np.int32]
    """(h, w) int32: 0 background, -1 noise, 1 to n."""
    sizes: NDArray[np.int64]
    """Pixels, holes included."""
    positive_pixels: NDArray[np.int64]
    negative_pixels: NDArray[np.int64]
    first_pixels: NDArray[np.int64]
    """Position in the flattened image of the topmost row's leftmost pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Which components count and what overrules the vote of their pixels; sizes in pixels."""

    size: int = 0
    """A nucleus has more pixels than this."""
    size_upper: int | None = None
    """A nucleus has fewer pixels than this."""
    marker: int | None = None
    """0-255: a nucleus whose maximal marker is above it is positive."""
    density_lower: int | None = None
    """0-722: a nucleus whose mean optical density is below it is negative."""
    density_upper: int | None = None
    """0-722: a nucleus whose mean optical density is above it is negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The nuclei that count; arrays of (n,) over the components."""

    is_counted: NDArray[np.bool_]
    is_positive: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRule:
    """The published rule as a decoder; see ``Decoder`` for the call. The distance map is not used."""

    mpp: float
    """Micrometres per pixel of the maps."""
    automatic_size: bool = True
    """Whether components below the automatic size limit are dropped."""
    size_limit_px: int | None = None
    """That limit, where it was found on more than the map at hand; None finds it on that map."""

    def __call__(self, segmentation: NDArray[np.float32], distance: NDArray[np.float32] | None) -> Nuclei:
        """Cut the maps into nuclei; see ``Decoder``."""
        del distance
        components = find_components(pixel_classes(np.rint(segmentation * np.float32(255)).astype(np.uint8)))
        limit = self._limit(components.sizes)
        large = np.concatenate([[False], components.sizes > limit, [False]])  # background, components, noise
        labels, kept = numbered_by_first_pixel(components.labels * large[components.labels])
        positive, negative = components.positive_pixels[kept - 1], components.negative_pixels[kept - 1]
        return Nuclei(labels=labels, p_positive=(positive / (positive + negative)).astype(np.float32))

    def _limit(self, sizes: NDArray[np.int64]) -> int:
        if not self.automatic_size:
            return 0
        return automatic_size(sizes, magnification_of(self.mpp)) if self.size_limit_px is None else self.size_limit_px


def magnification_of(mpp: float) -> Magnification:
    """Return the published magnification class of a pixel size: a 512 px tile of 40x covers 128 um; cut at 384 and 192 px."""
    tile_px = 512 * MPP_AT_1X / 40 / mpp
    return "40x" if tile_px > 384 else "20x" if tile_px > 192 else "10x"


def pixel_classes(segmentation: NDArray[np.uint8], threshold: int = SEGMENTATION_THRESHOLD) -> NDArray[np.uint8]:
    """Call each pixel.

    Nuclear iff red + blue > ``threshold`` and green <= 80; then positive iff red >= blue.

    Parameters
    ----------
    segmentation : (h, w, 3) uint8: positive, boundary, negative.

    Returns
    -------
    (h, w) uint8 of ``UNKNOWN``, ``NEGATIVE`` or ``POSITIVE``.
    """
    red, green, blue = (segmentation[..., plane] for plane in range(3))
    nuclear = (red.astype(np.uint16) + blue > threshold) & (green <= MAX_BOUNDARY)
    return np.where(nuclear, np.where(red >= blue, POSITIVE, NEGATIVE), UNKNOWN).astype(np.uint8)


def find_components(
    classes: NDArray[np.uint8], noise_size: int = NOISE_SIZE, large_noise_size: int | None = None
) -> Components:
    """Find the 8-connected components of everything that unknown pixels do not connect (by 4) to the image border.

    Enclosed unknown pixels are holes and belong to the component around them.

    Parameters
    ----------
    classes : (h, w) uint8 from ``pixel_classes``.
    noise_size : components of at most this many pixels are noise.
    large_noise_size : components of at least this many pixels are noise; None for no such limit.
    """
    labels, _ = ndimage.label(~_background(classes), structure=_ANY_NEIGHBOUR)
    labels, kept = numbered_by_first_pixel(labels.astype(np.int32))
    sizes = np.bincount(labels.ravel(), minlength=len(kept) + 1)
    is_kept = sizes > noise_size
    if large_noise_size is not None:
        is_kept &= sizes < large_noise_size
    is_kept[0] = False
    renumbered = np.where(is_kept, np.cumsum(is_kept), -1).astype(np.int32)
    renumbered[0] = 0
    first = _first_pixels(labels, len(kept))
    return Components(
        labels=renumbered[labels],
        sizes=sizes[is_kept],
        positive_pixels=np.bincount(labels[classes == POSITIVE], minlength=len(sizes))[is_kept],
        negative_pixels=np.bincount(labels[classes == NEGATIVE], minlength=len(sizes))[is_kept],
        first_pixels=first[is_kept],
    )


def density_image(image: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return 100 times the optical density summed over red, green and blue, rounded.

    Parameters
    ----------
    image : (h, w, 3) uint8.

    Returns
    -------
    (h, w) uint16 from 0 (white) to 722 (black).
    """
    density = np.log10(255.0 / np.maximum(np.arange(256), 1))
    return np.asarray(np.rint(100 * density[image].sum(axis=2)), dtype=np.uint16)


def automatic_size(sizes: NDArray[np.int64], magnification: Magnification) -> int:
    """Return the size limit at the first dip of the distribution of nuclear sizes.

    The distribution is that of the square roots, by a Gaussian kernel of bandwidth 1 at 500 points. The limit is clamped from
    below, replaced by a default when it is too high, and 0 when there are fewer than two components.

    Parameters
    ----------
    sizes : (n,) int64 pixels of the components that are not noise.
    """
    if len(sizes) <= 1:
        return 0
    values, weights = np.unique(sizes, return_counts=True)
    roots = np.sqrt(values.astype(np.float64))
    step = float((roots.max() + 1) / 500)
    density = np.zeros(500)
    for root, weight in zip(roots, weights, strict=True):
        density += weight * np.exp(-0.5 * (np.arange(500) * step - root) ** 2)
    density = (density / (len(sizes) * np.sqrt(2 * np.pi))).astype(np.float32)
    dips = np.flatnonzero((density[1:-1] < density[:-2]) & (density[1:-1] < density[2:])) + 1
    root = ((dips[0] if len(dips) else 1) - 1) * step
    lowest, default, highest = SIZE_LIMITS[magnification]
    root = max(root, lowest) if root <= highest else default
    return round(root * root)


def automatic_marker(marker: NDArray[np.uint8]) -> int:
    """Return the marker threshold at 90 % of the range of the marker's pixels that are not 0; 0 when all are.

    Parameters
    ----------
    marker : (h, w) uint8.
    """
    values = marker[marker > 0]
    if not len(values):
        return 0
    low, high = (round(float(value)) for value in np.percentile(values, [0.1, 99.9]))
    return round((high - low) * 0.9) + low


def count_cells(
    components: Components, limits: Limits, marker: NDArray[np.uint8] | None = None, density: NDArray[np.uint16] | None = None
) -> Counted:
    """Select components by size and call each positive or negative.

    A component is positive when it has at least as many positive as negative pixels. Its maximal marker can promote it; its
    mean optical density, rounded, can demote it.

    Parameters
    ----------
    components : from ``find_components``.
    limits : a limit on a marker or density that is not given does nothing.
    marker : (h, w) uint8.
    density : (h, w) uint16 from ``density_image``.
    """
    is_counted = components.sizes > limits.size
    if limits.size_upper is not None:
        is_counted &= components.sizes < limits.size_upper
    is_positive = components.positive_pixels >= components.negative_pixels
    if limits.marker is not None and marker is not None:
        is_positive |= _maxima(components, marker) > limits.marker
    if density is not None:
        value = np.rint(_means(components, density))
        if limits.density_lower is not None:
            is_positive &= value >= limits.density_lower
        if limits.density_upper is not None:
            is_positive &= value <= limits.density_upper
    return Counted(is_counted=is_counted, is_positive=is_positive)


def score(counted: Counted) -> dict[str, int | float]:
    """Return the counts under their published names; the percentage has one decimal, and is 0 without a positive nucleus."""
    total = int(counted.is_counted.sum())
    positive = int((counted.is_counted & counted.is_positive).sum())
    percent = round(100 * positive / total, 1) if positive else 0
    return {"num_total": total, "num_pos": positive, "num_neg": total - positive, "percent_pos": percent}


def _background(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Unknown pixels that unknown pixels connect to the image border, by 4-neighbours."""
    pieces, count = ndimage.label(classes == UNKNOWN)
    outside = np.zeros(count + 1, dtype=np.bool_)
    for edge in (pieces[:1], pieces[-1:], pieces[:, :1], pieces[:, -1:]):
        outside[edge.ravel()] = True
    outside[0] = False
    return outside[pieces]


def _first_pixels(labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    pixels = np.flatnonzero(labels)
    first = np.zeros(count + 1, dtype=np.int64)
    first[labels.ravel()[pixels[::-1]]] = pixels[::-1]
    return first


def _maxima(components: Components, marker: NDArray[np.uint8]) -> NDArray[np.uint8]:
    inside = components.labels > 0
    highest = np.zeros(len(components.sizes) + 1, dtype=np.uint8)
    np.maximum.at(highest, components.labels[inside], marker[inside])
    return highest[1:]


def _means(components: Components, density: NDArray[np.uint16]) -> NDArray[np.float64]:
    inside = components.labels > 0
    totals = np.bincount(components.labels[inside], weights=density[inside], minlength=len(components.sizes) + 1)
    return totals[1:] / components.sizes
