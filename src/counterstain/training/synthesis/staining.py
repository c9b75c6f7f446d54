"""Stain a ``Scene`` by Beer-Lambert: hematoxylin in every nucleus, DAB in a spatially clustered subset.

The outcome is a pair of density images and the class of every nucleus; ``render`` turns them into light.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from counterstain.training.synthesis.noise import Field, blobs, fibres, smooth_noise
from counterstain.training.synthesis.scenes import Scene

WEAKEST_POSITIVE_OD = 0.14
"""Mean DAB optical density from which a nucleus counts as positive; weaker ones are drawn as background, not as cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stained:
    """Densities of both stains over one scene."""

    scene: Scene
    hematoxylin: Field
    """(h, w) float32 optical density of hematoxylin at its strongest wavelength."""
    dab: Field
    """(h, w) float32 optical density of DAB, specific and not."""
    specific_dab: Field
    """(h, w) float32: the part of ``dab`` that belongs to positive cells; the marker image shows it."""
    positive: NDArray[np.bool_]
    """(n + 1,) bool by label; entry 0, the background, is False."""


def stain_scene(rng: np.random.Generator, scene: Scene) -> Stained:
    """Choose which nuclei are positive and how strongly each stain binds."""
    positive = _choose_positive(rng, scene)
    pattern = rng.random()
    # pale counterstain is as common as strong: laboratories differ by a factor of five
    hematoxylin_od = float(np.exp(rng.uniform(np.log(0.12), np.log(0.85))))
    if pattern < 0.80:
        specific = _nuclear_dab(rng, scene, positive)
    elif pattern < 0.90:
        specific = _membranous_dab(rng, scene, positive)
    else:
        specific, positive = _cytoplasmic_dab(rng, scene)
    loss = rng.uniform(0, 0.8)  # DAB hides part of the counterstain below it
    hematoxylin = hematoxylin_od * np.maximum(scene.density, -0.3) * (1 - loss * np.clip(specific, 0, 1))
    unspecific = _unspecific_dab(rng, scene, specific)
    return Stained(
        scene=scene,
        hematoxylin=(hematoxylin + rng.uniform(0, 0.04)).astype(np.float32),
        dab=(specific + unspecific).astype(np.float32),
        specific_dab=specific.astype(np.float32),
        positive=positive,
    )


def _choose_positive(rng: np.random.Generator, scene: Scene) -> NDArray[np.bool_]:
    """Choose no nucleus or about a random share of them, at least one; neighbours are alike. Returns (n + 1,) bool by label."""
    count = int(scene.labels.max())
    fraction = rng.choice(
        [0.0, rng.uniform(0.02, 0.15), rng.uniform(0.15, 0.5), rng.uniform(0.5, 1.0)], p=[0.1, 0.4, 0.35, 0.15]
    )
    if count == 0:
        return np.zeros(1, np.bool_)
    cluster = smooth_noise(rng, scene.labels.shape, rng.uniform(30, 150)) * rng.uniform(0, 1.5)
    centres = np.array(ndimage.center_of_mass(scene.labels > 0, scene.labels, np.arange(1, count + 1)))
    rows, cols = np.clip(centres.round().astype(int), 0, np.array(scene.labels.shape) - 1).T
    liking = cluster[rows, cols] + rng.standard_normal(count)
    chosen = liking >= np.quantile(liking, 1 - fraction) if fraction > 0 else np.zeros(count, np.bool_)
    return np.concatenate([[False], chosen])


def _strengths(rng: np.random.Generator, positive: NDArray[np.bool_]) -> Field:
    """Return the mean DAB optical density per label; strong, moderate and weak cells mixed in random shares."""
    shares = rng.dirichlet([1.2, 1.0, 0.6])
    kind = rng.choice(3, size=len(positive), p=shares)
    low, high = np.array([0.8, 0.35, WEAKEST_POSITIVE_OD]), np.array([2.4, 0.8, 0.35])
    strength = low[kind] + (high - low)[kind] * rng.random(len(positive))
    return np.where(positive, strength, 0).astype(np.float32)


def _nuclear_dab(rng: np.random.Generator, scene: Scene, positive: NDArray[np.bool_]) -> Field:
    strength = _strengths(rng, positive)
    shape = scene.labels.shape
    fine, coarse = smooth_noise(rng, shape, rng.uniform(1.5, 3)), smooth_noise(rng, shape, rng.uniform(3, 7))
    granularity = np.clip(rng.uniform(0, 0.9) + rng.normal(0, 0.2, len(positive)), 0, 1).astype(np.float32)
    texture = np.clip(1 + granularity[scene.labels] * (0.35 * fine + 0.5 * coarse), 0.15, 2.0)
    follow = rng.uniform(0, 0.6)
    chromatin = (1 - follow) + follow * np.clip(scene.density, 0, 1.5)
    raw = strength[scene.labels] * texture * chromatin
    return ndimage.gaussian_filter(raw, rng.uniform(0.6, 1.3))


def _membranous_dab(rng: np.random.Generator, scene: Scene, positive: NDArray[np.bool_]) -> Field:
    """Return DAB in a ring of cytoplasm and membrane around each positive nucleus, as CD3 or CD8 show it."""
    distance, nearest = ndimage.distance_transform_edt(scene.labels == 0, return_indices=True)
    owner = scene.labels[tuple(nearest)]
    ring_px, width_px = rng.uniform(1, 4), rng.uniform(1, 2.5)
    ring = np.exp(-(((distance - ring_px) / width_px) ** 2)) * (distance > 0) + 0.35 * (scene.labels > 0)
    texture = np.clip(1 + 0.4 * smooth_noise(rng, scene.labels.shape, 3), 0.2, 2)
    return ndimage.gaussian_filter((_strengths(rng, positive)[owner] * ring * texture).astype(np.float32), 0.8)


def _cytoplasmic_dab(rng: np.random.Generator, scene: Scene) -> tuple[Field, NDArray[np.bool_]]:
    """Return DAB that fills whole regions and leaves their nuclei paler, and which nuclei lie in such a region."""
    shape = scene.labels.shape
    region = blobs(rng, shape, rng.uniform(40, 120), rng.uniform(0.15, 0.9))
    texture = np.clip(1 + 0.3 * smooth_noise(rng, shape, rng.uniform(2, 6)) + 0.3 * np.abs(fibres(rng, shape, 4)), 0.2, 2)
    inside = ndimage.gaussian_filter((scene.labels > 0).astype(np.float32), 1.0)
    dab = rng.uniform(0.25, 1.0) * region * texture * (1 - rng.uniform(0.4, 1.0) * inside)
    share = ndimage.mean(region, scene.labels, np.arange(int(scene.labels.max()) + 1))
    positive = np.nan_to_num(np.atleast_1d(share)) > 0.5
    positive[0] = False
    return dab.astype(np.float32), positive


def _unspecific_dab(rng: np.random.Generator, scene: Scene, specific: Field) -> Field:
    """Return the brown that no cell should be counted for: haze around cells, cytoplasm, and a general tint."""
    shape = scene.labels.shape
    unspecific = np.zeros(shape, np.float32)
    if rng.random() < 0.5:
        unspecific += rng.uniform(0, 0.25) * ndimage.gaussian_filter(specific, rng.uniform(3, 10))
    if rng.random() < 0.35:
        texture = np.clip(1 + 0.5 * smooth_noise(rng, shape, rng.uniform(2, 12)), 0, 3)
        unspecific += rng.uniform(0, 0.12) * texture * blobs(rng, shape, rng.uniform(20, 90), rng.uniform(0.2, 1))
    if rng.random() < 0.2:  # cytoplasmic blush of negative cells
        near = ndimage.gaussian_filter((scene.labels > 0).astype(np.float32), rng.uniform(4, 9))
        unspecific += rng.uniform(0, 0.1) * near * (scene.labels == 0)
    return unspecific
