"""The published DeepLIIF rule: from the segmentation map to nuclei.

This follows what the published software does, step by step, so that its results can be reproduced (Ghahremani et al., Nature
Machine Intelligence 4 (2022) 401-412). All thresholds are in the published units: grey levels 0-255 and pixels. What it counts
by limits on size, marker and density is in ``counterstain.cells.deepliif_counts``.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from counterstain.cells.decoders.base import Halo, NoSettings, Nuclei, Request, numbered_by_first_pixel
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
class PublishedRule:
    """The published rule; see ``Decoder``. It does not read the distance map, and a clump is one nucleus, however wide."""

    settings_class: ClassVar[type[NoSettings]] = NoSettings
    default_min_area_um2: ClassVar[float | None] = None
    halo: ClassVar[Halo] = Halo(most_widths=4, drops_wider=False)
    """A clump that is cut even by the widest halo is left out: it reaches a quarter of a millimetre beyond its block."""

    mpp: float
    """Micrometres per pixel of the maps."""
    automatic_size: bool = True
    """Whether components below the automatic size limit are dropped."""
    size_limit_px: int | None = None
    """That limit, where it was found on the whole slide; None finds it on the map that is cut."""

    @classmethod
    def made_for(cls, request: Request) -> Self:
        """Return the decoder for the maps of one model; see ``Decoder``."""
        return cls(mpp=request.mpp, automatic_size=request.min_area_um2 is None)

    @property
    def sized_by(self) -> "PublishedRule | None":
        """The rule without its automatic size limit, which comes from the sizes of all nuclei of a slide."""
        return replace(self, automatic_size=False) if self.automatic_size else None

    def with_sizes(self, sizes_px: NDArray[np.int64]) -> Self:
        """Return the rule with the automatic size limit of these nuclei."""
        return replace(self, size_limit_px=automatic_size(sizes_px, magnification_of(self.mpp)))

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
