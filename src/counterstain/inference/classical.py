"""A backend without weights: stain unmixing and fixed local rules.

It is the baseline to beat, the choice where no model may be used, and the test double. Every value depends on a neighbourhood
of less than ``REACH_PX`` pixels and on nothing else of its tile, so results do not depend on the tiling.

The thresholds were chosen by the Dice of nuclei and of positive nuclei on the DeepLIIF training sets and the glioma
Ki-67 fields of slides 1 and 2.
"""

from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from counterstain.geometry import DEFAULT_MPP
from counterstain.images import HEMATOXYLIN, to_bytes, unmix
from counterstain.inference.backend import Outputs
from counterstain.inference.bundle import Manifest
from counterstain.panel import DEFAULT_PANEL, DISTANCE, SEGMENTATION, Panel

REACH_PX = 32
"""Margin of the tiles; the filters below reach 5 + 16 + 10 = 31 pixels."""

_SMOOTH_SIGMA, _SMOOTH_RADIUS = 1.5, 5
_SURROUND_SIGMA, _SURROUND_RADIUS = 6.0, 16
_DEPTH_PX = 10
"""Distance from the edge at which a nucleus counts as deep: 2.5 um at 0.25 um/px, about the radius of a small nucleus."""

_DAB_WEIGHT = 0.7
"""Weight of DAB in the nuclear density: it is darker than hematoxylin, and also stains what is not a nucleus."""
_SURROUND_WEIGHT = 0.3
_NUCLEUS_DENSITY, _NUCLEUS_WIDTH = 0.17, 0.03
_HEMATOXYLIN_BLEED = 0.3
_POSITIVE_DENSITY, _POSITIVE_WIDTH = 0.2, 0.05
_SATURATION = 0.5
"""Density beyond which a nucleus is no denser, so that blur does not widen the darkest ones."""
_FULL_DAB, _FULL_SLOPE = 0.8, 0.1
"""DAB density, and change of nuclear density per pixel, shown at full brightness."""

Plane = NDArray[np.float32]


class ClassicalBackend:
    """A ``Backend`` that infers the default panel from the hematoxylin and DAB densities alone."""

    def __init__(self) -> None:
        self.manifest = Manifest(
            name="classical",
            version=version("counterstain"),
            panel=Panel(channels=(*DEFAULT_PANEL.modalities, SEGMENTATION, DISTANCE), marker=DEFAULT_PANEL.marker),
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
    unmixed = np.moveaxis(unmix(image), -1, 0)
    hematoxylin, dab = (_smooth(plane) for plane in unmixed)
    density = _smooth(np.minimum(unmixed[0] + np.float32(_DAB_WEIGHT) * unmixed[1], np.float32(_SATURATION)))
    nucleus = _nucleus_probability(density)
    positive = _sigmoid(dab - np.float32(_HEMATOXYLIN_BLEED) * hematoxylin, _POSITIVE_DENSITY, _POSITIVE_WIDTH)
    rim = _rim(nucleus)
    return {
        "hematoxylin": _stained(hematoxylin),
        "dapi": _shown(nucleus * density, _SATURATION),
        "lap2": _shown(np.hypot(*np.gradient(density)), _FULL_SLOPE),
        "marker": _shown(nucleus * dab, _FULL_DAB),
        "segmentation": np.stack([nucleus * positive, rim, nucleus * (1 - positive)]),
        "distance": _depth(nucleus)[np.newaxis],
    }


def _smooth(plane: Plane) -> Plane:
    return ndimage.gaussian_filter(plane, _SMOOTH_SIGMA, radius=_SMOOTH_RADIUS, mode="reflect")


def _nucleus_probability(density: Plane) -> Plane:
    """Ask for more than a fixed density above a part of the surroundings' density, which follows uneven background."""
    surround = ndimage.gaussian_filter(density, _SURROUND_SIGMA, radius=_SURROUND_RADIUS, mode="reflect")
    return _sigmoid(density - np.float32(_SURROUND_WEIGHT) * surround, _NUCLEUS_DENSITY, _NUCLEUS_WIDTH)


def _sigmoid(values: Plane, middle: float, width: float) -> Plane:
    return np.asarray(1 / (1 + np.exp((np.float32(middle) - values) / np.float32(width))), dtype=np.float32)


def _depth(nucleus: Plane) -> Plane:
    """Return the distance to the nearest pixel outside, up to ``_DEPTH_PX``, as a part of that."""
    inside = nucleus > 0.5
    if inside.all():  # the transform is undefined without a pixel outside
        return np.ones_like(nucleus)
    return np.asarray(np.minimum(ndimage.distance_transform_edt(inside), _DEPTH_PX) / _DEPTH_PX, dtype=np.float32)


def _rim(nucleus: Plane) -> Plane:
    """Return ``4 p (1 - p)``, which is highest where the probability is one half."""
    return np.asarray(4 * nucleus * (1 - nucleus), dtype=np.float32)


def _shown(values: Plane, brightest: float) -> Plane:
    """Return (1, h, w) brightness in [0, 1]."""
    return np.asarray(np.clip(values / np.float32(brightest), 0, 1), dtype=np.float32)[np.newaxis]


def _stained(hematoxylin: Plane) -> Plane:
    """Render hematoxylin alone on white by the law of Beer and Lambert; (3, h, w)."""
    vector = np.asarray(HEMATOXYLIN, np.float32)[:, np.newaxis, np.newaxis]
    return np.asarray(10 ** -(hematoxylin * vector), dtype=np.float32)
