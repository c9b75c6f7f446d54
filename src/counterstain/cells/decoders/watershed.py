"""The default decoder: marker-controlled watershed on the distance map.

Foreground is where positive and negative together exceed a threshold: the interior of nuclei, for models that infer a boundary.
Where a model infers distances, boundary that lies deep inside a nucleus counts as interior: a nucleus of a few pixels across is
all boundary, and is found by its depth.
Every peak of the smoothed distance map floods its surroundings (Vincent and Soille, IEEE PAMI 13 (1991) 583-598); two basins
are then one nucleus again when the pass between them is nearly as high as the lower of their peaks; and each nucleus takes the
boundary around it. Nothing here knows slides, marker or optical density.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from counterstain.cells.decoders.base import Halo, Nuclei, Request, numbered_by_first_pixel
from counterstain.cells.decoders.basins import enclosed_by_one, merged_basins
from counterstain.cells.measure import gather
from counterstain.errors import UsageError

NUCLEAR_RADIUS_UM = 4.0
"""Depth that counts as 1 where the distance map is computed from the mask."""

MIN_AREA_UM2 = 6.0
"""Area of a disk of 2.8 um: smaller than a lymphocyte, larger than most debris."""

CROSS = ndimage.generate_binary_structure(2, 1)
"""4-neighbourhood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatershedSettings:
    """What only the watershed reads."""

    foreground_threshold: float = 0.45
    """0-1: a pixel is nuclear when positive + negative, and as much of the boundary as the pixel is deep, is above it."""
    smoothing_um: float = 0.7
    """Micrometres: standard deviation of the Gaussian that smooths the distance map; half of it where that map is computed from
    the mask, which is smooth already."""
    merge_ratio: float = 0.8
    """0-1: touching parts stay one nucleus when the distance map between them falls to no less than this share of the lower
    peak. Lower merges more."""

    def __post_init__(self) -> None:
        shares = {"foreground_threshold": self.foreground_threshold, "merge_ratio": self.merge_ratio}
        faults = [f"{name} must lie between 0 and 1, got {value}" for name, value in shares.items() if not 0 <= value <= 1]
        if not 0 <= self.smoothing_um < math.inf:
            faults.append(f"smoothing_um must be at least 0, got {self.smoothing_um}")
        if faults:
            raise UsageError("; ".join(faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class Watershed:
    """The default decoder; see ``Decoder``. It drops what is wider than its halo: no nucleus is."""

    settings_class: ClassVar[type[WatershedSettings]] = WatershedSettings
    default_min_area_um2: ClassVar[float | None] = MIN_AREA_UM2
    halo: ClassVar[Halo] = Halo()

    mpp: float
    """Micrometres per pixel of the maps."""
    settings: WatershedSettings = WatershedSettings()
    reach_um: float = 0.0
    """How far a nucleus reaches beyond its interior, over pixels that are rather boundary than background; see ``Channel``."""
    min_area_um2: float = MIN_AREA_UM2
    """Smaller nuclei are dropped."""

    @classmethod
    def made_for(cls, request: Request) -> Self:
        """Return the decoder for the maps of one model; see ``Decoder``."""
        made = cls(mpp=request.mpp, settings=WatershedSettings(**request.settings), reach_um=request.reach_um)
        return made if request.min_area_um2 is None else replace(made, min_area_um2=request.min_area_um2)

    @property
    def sized_by(self) -> None:
        """Nothing: a block and its halo are enough."""
        return None

    def with_sizes(self, sizes_px: NDArray[np.int64]) -> Self:
        """Return the decoder as it is: it asks for no sizes."""
        del sizes_px
        return self

    def __call__(self, segmentation: NDArray[np.float32], distance: NDArray[np.float32] | None) -> Nuclei:
        """Cut the maps into nuclei; see ``Decoder``."""
        positive, boundary, negative = (segmentation[..., plane] for plane in range(3))
        nuclear = positive + negative
        shallow = np.float32(1) if distance is None else 1 - distance
        edge = boundary * shallow  # what is left of the boundary where a nucleus is deep
        inside = nuclear + (boundary - edge)
        foreground = inside > np.float32(self.settings.foreground_threshold)
        if not foreground.any():
            return Nuclei(labels=np.zeros(foreground.shape, np.int32), p_positive=np.empty(0, np.float32))
        if distance is None:
            landscape = self._landscape(self._depth_of(foreground), edge, self.settings.smoothing_um / 2)
        else:
            landscape = self._landscape(distance, edge, self.settings.smoothing_um)
        landscape[~foreground] = -1
        labels = merged_basins(_basins(landscape, foreground), landscape, self.settings.merge_ratio)
        labels = grown(labels, nuclear + boundary > np.float32(0.5), round(self.reach_um / self.mpp))
        labels = enclosed_by_one(labels)
        labels = _without_small(labels, self.min_area_um2 / self.mpp**2)
        labels, kept = numbered_by_first_pixel(labels)
        return Nuclei(labels=labels, p_positive=_mean_share(labels, len(kept), positive, nuclear * foreground))

    def _depth_of(self, foreground: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Distance to the nearest pixel outside, in nuclear radii; the image border is not an outside."""
        return (ndimage.distance_transform_edt(foreground) * (self.mpp / NUCLEAR_RADIUS_UM)).astype(np.float32)

    def _landscape(self, depth: NDArray[np.float32], edge: NDArray[np.float32], smoothing_um: float) -> NDArray[np.float32]:
        """Cut trenches into the depth where the edge is likely, then smooth."""
        return np.asarray(ndimage.gaussian_filter(depth * (1 - edge), smoothing_um / self.mpp, truncate=3.0))


def _basins(landscape: NDArray[np.float32], foreground: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Flood the foreground from each local maximum; plateaus are one maximum, ties go by row, then column.

    Every 4-connected piece of the foreground has a maximum, so every foreground pixel gets a label, and each label is
    4-connected.
    """
    peaks = foreground & (landscape == ndimage.maximum_filter(landscape, footprint=CROSS))
    seeds, _ = ndimage.label(peaks, structure=CROSS)
    return np.asarray(watershed(_ordered(landscape, peaks), seeds, connectivity=1, mask=foreground), dtype=np.int32)


def _ordered(landscape: NDArray[np.float32], peaks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the landscape upside down, with equal peaks told apart by row, then column.

    The flooding itself leaves open which of two equal peaks comes first, and that would depend on what else is in the image.
    What is taken off a peak is less than half the distance to the next float32, so no other order changes.
    """
    heights = -landscape.astype(np.float64)
    pixels = np.flatnonzero(peaks)
    values = heights.ravel()[pixels]
    heights.ravel()[pixels] = values - (np.abs(values) * 2.0**-26 + 1e-50) * (2 - pixels / peaks.size)
    return heights


def grown(labels: NDArray[np.int32], where: NDArray[np.bool_], steps: int) -> NDArray[np.int32]:
    """Let every label take free neighbours inside the mask, one 4-connected step at a time.

    A pixel between two labels goes to the one above it, else left, right or below.
    """
    for _ in range(steps):
        padded, free = np.pad(labels, 1), where & (labels == 0)
        labels = labels.copy()
        for neighbours in (padded[:-2, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:], padded[2:, 1:-1]):
            taken = free & (labels == 0)
            labels[taken] = neighbours[taken]
    return labels


def _without_small(labels: NDArray[np.int32], min_area_px: float) -> NDArray[np.int32]:
    areas = np.bincount(labels.ravel())
    keep = areas >= min_area_px
    keep[0] = False
    return labels * keep[labels]


def _mean_share(
    labels: NDArray[np.int32], count: int, positive: NDArray[np.float32], nuclear: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Mean over each nucleus of positive / (positive + negative); pixels without either (holes, boundary) do not vote."""
    pixels = gather(labels, count)
    part, whole = positive.ravel()[pixels.flat], nuclear.ravel()[pixels.flat]
    votes = whole > 0
    share = np.divide(part, whole, out=np.zeros_like(part), where=votes)
    total = np.bincount(pixels.nucleus, weights=share, minlength=count)
    voters = np.bincount(pixels.nucleus, weights=votes, minlength=count)
    return (total / np.maximum(voters, 1)).astype(np.float32)
