"""Render one training sample: an IHC image and everything that can be asked about it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from counterstain.training.synthesis.artifacts import ColourField, add_debris, photograph
from counterstain.training.synthesis.drawing import draw_scene
from counterstain.training.synthesis.noise import Field, smooth_noise
from counterstain.training.synthesis.scenes import Scene
from counterstain.training.synthesis.staining import Stained, stain_scene
from counterstain.training.synthesis.targets import (
    BACKGROUND,
    UNKNOWN,
    class_image,
    dapi_image,
    distance_image,
    lap2_image,
    marker_image,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One co-registered tuple, rendered or real. All images are (h, w) or (h, w, 3) uint8."""

    image: NDArray[np.uint8]
    hematoxylin: NDArray[np.uint8]
    dapi: NDArray[np.uint8]
    lap2: NDArray[np.uint8]
    marker: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    """Values of ``targets``: 0 background, 1 negative, 2 positive, 3 boundary, 255 unknown."""
    distance: NDArray[np.uint8]
    has_modalities: bool = True
    """False where only nuclei are annotated; the modalities are then black and take part in no loss."""


_HEMATOXYLINS = np.array([[0.86, 0.47, 0.17], [0.78, 0.58, 0.24], [0.65, 0.70, 0.29], [0.62, 0.66, 0.42]], np.float32)
_DABS = np.array([[0.27, 0.57, 0.78], [0.34, 0.54, 0.77], [0.45, 0.57, 0.69]], np.float32)
"""Optical density in R, G, B of stains as scanners show them, from the literature (Ruifrok and Johnston, 2001) and by eye."""


def render_field(rng: np.random.Generator, scene: Scene) -> Sample:
    """Stain, light and photograph a scene, and draw its targets."""
    stained = stain_scene(rng, scene)
    hematoxylin_od, dab_od = _stain_vectors(rng)
    white = _white_point(rng)
    light = _transmit(rng, stained, (hematoxylin_od, dab_od), white)
    clean = ndimage.gaussian_filter(stained.hematoxylin, 0.7)[..., None] * hematoxylin_od
    classes = class_image(scene.labels, stained.positive)
    nuclear = scene.labels > 0
    if scene.unknown is not None:
        classes[scene.unknown & (classes == BACKGROUND)] = UNKNOWN
        nuclear = nuclear | scene.unknown  # what may be a nucleus shines in DAPI as one would
    return Sample(
        image=photograph(rng, light),
        hematoxylin=_as_bytes(white * 10**-clean),
        dapi=_as_bytes(dapi_image(rng, scene.density, nuclear)),
        lap2=_as_bytes(lap2_image(rng, scene.labels)),
        marker=_as_bytes(marker_image(stained.specific_dab)),
        classes=classes,
        distance=_as_bytes(distance_image(scene.labels)),
    )


def synthetic_field(seed: int, side: int) -> Sample:
    """Return a drawn field, the same for the same seed; for demonstrations and tests."""
    rng = np.random.default_rng(seed)
    return render_field(rng, draw_scene(rng, side))


def _stain_vectors(rng: np.random.Generator) -> tuple[ColourField, ColourField]:
    """Return the two stain vectors: random mixtures of known ones, jittered."""
    vectors = []
    for known, jitter in ((_HEMATOXYLINS, 0.04), (_DABS, 0.04)):
        mixture = rng.dirichlet(np.full(len(known), 0.6)) @ known + rng.normal(0, jitter, 3)
        vectors.append((np.maximum(mixture, 0.05) / mixture.max()).astype(np.float32))
    return vectors[0], vectors[1]


def _white_point(rng: np.random.Generator) -> NDArray[np.float32]:
    yellowing = np.array([0, 0.4, 1.0]) * rng.choice([0, rng.uniform(0, 0.08)])
    white = rng.uniform(0.8, 0.98) * (1 + rng.normal(0, 0.025, 3) - yellowing)
    return np.asarray(np.clip(white, 0.6, 1.0), dtype=np.float32)


def _transmit(
    rng: np.random.Generator, stained: Stained, vectors: tuple[ColourField, ColourField], white: NDArray[np.float32]
) -> ColourField:
    """Return (h, w, 3) float32 light that reaches the camera."""
    density = stained.hematoxylin[..., None] * vectors[0] + stained.dab[..., None] * vectors[1]
    density = add_debris(rng, density)
    flare = rng.uniform(0.0, 0.06)  # stray light: even black DAB is not 0
    light = white * 10**-density * (1 - flare) + flare * rng.uniform(0.2, 0.8)
    if rng.random() < 0.3:
        light = light * _vignette(rng, stained.dab.shape)[..., None]
    return np.asarray(light, dtype=np.float32)


def _vignette(rng: np.random.Generator, shape: tuple[int, ...]) -> Field:
    return (1 + rng.uniform(0, 0.05) * smooth_noise(rng, (shape[0], shape[1]), 200)).astype(np.float32)


def _as_bytes(unit: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.asarray((np.clip(unit, 0, 1) * 255).round(), dtype=np.uint8)
