"""A backend without weights: stain unmixing and fixed local rules.

It is the baseline to beat, the choice where no model may be used, and the test double. Every value depends on a neighbourhood of
at most ``REACH_PX`` pixels and on nothing else of its tile, so results do not depend on the tiling.
"""

from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from counterstain.geometry import DEFAULT_MPP
from counterstain.images import HEMATOXYLIN, to_bytes, unmix
from counterstain.inference.backend import Outputs
from counterstain.inference.bundle import Manifest
from counterstain.panel import DEFAULT_PANEL

REACH_PX = 32
"""Margin of the tiles; the filters below reach 3 + 16 + 12 pixels."""

_SMOOTH_SIGMA, _SMOOTH_RADIUS = 1.0, 3
_SURROUND_SIGMA, _SURROUND_RADIUS = 8.0, 16
_DEPTH_PX = 12
"""Distance from the edge at which a nucleus counts as deep: 3 um at 0.25 um/px, about the radius of a small nucleus."""

_NUCLEUS_DENSITY, _NUCLEUS_WIDTH = 0.20, 0.05
_SURROUND_WEIGHT = 0.5
_POSITIVE_DENSITY, _POSITIVE_WIDTH = 0.22, 0.06

Plane = NDArray[np.float32]


class ClassicalBackend:
    """A ``Backend`` that infers the default panel from the hematoxylin and DAB densities alone."""

    def __init__(self) -> None:
        self.manifest = Manifest(
            name="classical",
            version=version("counterstain"),
            panel=DEFAULT_PANEL,
            mpp=DEFAULT_MPP,
            tile_px=512,
            margin_px=REACH_PX,
            expected_nuclear_area_um2=(15.0, 90.0),
            licence="Apache-2.0",
        )
        self.fingerprint = f"{self.manifest.name}-{self.manifest.version}"

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        """Infer all channels; see ``Backend.run``."""
        images = [infer_image(image) for image in to_bytes(batch.transpose(0, 2, 3, 1))]
        return {name: np.stack([image[name] for image in images]) for name in images[0]}


def infer_image(image: NDArray[np.uint8]) -> Outputs:
    """Return the channels of the default panel, (c, h, w) float32 in [0, 1], for one (h, w, 3) uint8 image."""
    hematoxylin, dab = (_smooth(plane) for plane in np.moveaxis(unmix(image), -1, 0))
    nucleus = _nucleus_probability(hematoxylin + dab)
    depth = _depth(nucleus)
    positive = _sigmoid(dab, _POSITIVE_DENSITY, _POSITIVE_WIDTH)
    rim = _rim(nucleus)
    return {
        "hematoxylin": _stained(hematoxylin),
        "dapi": np.clip(nucleus * (hematoxylin + dab) / np.float32(0.8), 0, 1)[np.newaxis],
        "lap2": rim[np.newaxis],
        "marker": np.clip(nucleus * dab / np.float32(1.0), 0, 1)[np.newaxis],
        "segmentation": np.stack([nucleus * positive, rim, nucleus * (1 - positive)]),
        "distance": depth[np.newaxis],
    }


def _smooth(plane: Plane) -> Plane:
    return ndimage.gaussian_filter(plane, _SMOOTH_SIGMA, radius=_SMOOTH_RADIUS, mode="reflect")


def _nucleus_probability(density: Plane) -> Plane:
    """A nucleus is denser than a fixed amount plus part of its surroundings, which follows uneven background."""
    surround = ndimage.gaussian_filter(density, _SURROUND_SIGMA, radius=_SURROUND_RADIUS, mode="reflect")
    return _sigmoid(density - np.float32(_SURROUND_WEIGHT) * surround, _NUCLEUS_DENSITY * _SURROUND_WEIGHT, _NUCLEUS_WIDTH)


def _sigmoid(values: Plane, middle: float, width: float) -> Plane:
    return np.asarray(1 / (1 + np.exp((np.float32(middle) - values) / np.float32(width))), dtype=np.float32)


def _depth(nucleus: Plane) -> Plane:
    """Distance to the nearest pixel outside, up to ``_DEPTH_PX``, as a part of it."""
    padded = np.pad(nucleus > 0.5, _DEPTH_PX, mode="symmetric")
    distance = ndimage.distance_transform_edt(padded)[_DEPTH_PX:-_DEPTH_PX, _DEPTH_PX:-_DEPTH_PX]
    if not padded.any() or padded.all():
        distance = np.where(nucleus > 0.5, _DEPTH_PX, 0)
    return np.asarray(np.minimum(distance, _DEPTH_PX) / _DEPTH_PX, dtype=np.float32)


def _rim(nucleus: Plane) -> Plane:
    """Highest where the probability is one half: ``4 p (1 - p)``."""
    return np.asarray(4 * nucleus * (1 - nucleus), dtype=np.float32)


def _stained(hematoxylin: Plane) -> Plane:
    """Render hematoxylin alone on white by the law of Beer and Lambert; (3, h, w)."""
    vector = np.asarray(HEMATOXYLIN, np.float32)[:, np.newaxis, np.newaxis]
    return np.asarray(10 ** -(hematoxylin * vector), dtype=np.float32)
