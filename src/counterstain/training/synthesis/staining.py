"""Stain a ``Scene`` by Beer-Lambert: hematoxylin in every nucleus, DAB in a spatially clustered subset of the cells.

The outcome is a pair of density images and the class of every nucleus; ``render`` turns them into light.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import expand_labels

from counterstain.training.synthesis.brown import (
    Strengths,
    border_dab,
    cell_body_dab,
    cytoplasmic_dab,
    haze_dab,
    nuclear_dab,
    ring_dab,
    stray_dab,
)
from counterstain.training.synthesis.noise import Field, smooth_noise
from counterstain.training.synthesis.scenes import Scene

POSITIVE_FROM_OD = 0.15
"""A nucleus is positive when the mean optical density of the DAB of its cell, within the outline of the nucleus and at the
wavelength that DAB absorbs most, is at least this. Haze and stray brown above the nucleus do not count. On the outlined fields
that may be trained on, people call nuclei positive from about here on."""

_TRACE_OD = 0.11
"""Most DAB that a negative nucleus binds by itself."""

_CLEAR_SHARE = 0.5
"""A nucleus with less than this share of the DAB of its surroundings is clear: the brown is that of the cytoplasm."""

_SURROUNDINGS_PX = 6

_PATTERNS = {"nuclear": 0.64, "ring": 0.11, "border": 0.10, "cytoplasm": 0.09, "cell_body": 0.06}
_BESIDE_NUCLEI = ("border", "cytoplasm", "cell_body")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stained:
    """Densities of both stains over one scene."""

    scene: Scene
    hematoxylin: Field
    """(h, w) float32 optical density of hematoxylin at its strongest wavelength."""
    dab: Field
    """(h, w) float32 optical density of DAB, specific and not."""
    specific_dab: Field
    """(h, w) float32: the part of ``dab`` that belongs to cells; the marker image shows it."""
    positive: NDArray[np.bool_]
    """(n + 1,) bool by label; entry 0, the background, is False."""


def stain_scene(rng: np.random.Generator, scene: Scene) -> Stained:
    """Choose which cells bind DAB, where and how strongly, and call the nuclei that show enough of it positive."""
    chosen = _choose_cells(rng, scene)
    # pale counterstain is as common as strong: laboratories differ by a factor of five
    hematoxylin_od = float(np.exp(rng.uniform(np.log(0.12), np.log(0.85))))
    pattern = str(rng.choice(list(_PATTERNS), p=list(_PATTERNS.values())))
    specific = _specific_dab(rng, scene, chosen, pattern)
    loss = rng.uniform(0, 0.8)  # DAB hides part of the counterstain below it
    hematoxylin = hematoxylin_od * np.maximum(scene.density, -0.3) * (1 - loss * np.clip(specific, 0, 1))
    other = haze_dab(rng, scene, specific) + stray_dab(rng, (scene.labels.shape[0], scene.labels.shape[1]))
    return Stained(
        scene=scene,
        hematoxylin=(hematoxylin + rng.uniform(0, 0.04)).astype(np.float32),
        dab=(specific + other).astype(np.float32),
        specific_dab=specific,
        positive=positive_nuclei(specific, scene.labels, clear_nuclei=pattern in _BESIDE_NUCLEI),
    )


def positive_nuclei(specific: Field, labels: NDArray[np.int32], *, clear_nuclei: bool = False) -> NDArray[np.bool_]:
    """Return (n + 1,) bool by label: which nuclei are positive; entry 0 is False.

    Those are the nuclei whose DAB has a mean optical density of at least ``POSITIVE_FROM_OD``.

    Parameters
    ----------
    specific : (h, w) float32 optical density of the DAB of cells.
    labels : (h, w) int32, 0 = background.
    clear_nuclei : whether the stain lies beside nuclei, so that one that is clearly paler than what is around it is negative.
    """
    numbers = np.arange(int(labels.max()) + 1)
    means = np.atleast_1d(ndimage.mean(specific, labels, numbers))
    positive = (means >= POSITIVE_FROM_OD) & (numbers > 0)
    if clear_nuclei:
        around = np.where(labels > 0, 0, expand_labels(labels, _SURROUNDINGS_PX))
        beside = np.atleast_1d(ndimage.sum_labels(specific, around, numbers)) / np.maximum(
            np.bincount(around.ravel(), minlength=len(numbers)), 1
        )
        positive &= means >= _CLEAR_SHARE * beside
    return np.asarray(positive)


def _specific_dab(rng: np.random.Generator, scene: Scene, chosen: NDArray[np.bool_], pattern: str) -> Field:
    """Return the DAB of the cells, in one pattern or, in nuclear stains, with some of another."""
    strengths = _strengths(rng, chosen)
    if pattern == "ring":
        return ring_dab(rng, scene, strengths)
    if pattern == "border":
        return border_dab(rng, scene, strengths)
    if pattern == "cell_body":
        return cell_body_dab(rng, scene, strengths)
    if pattern == "cytoplasm":
        return cytoplasmic_dab(rng, scene)
    dab = nuclear_dab(rng, scene, strengths + _traces(rng, chosen))
    if rng.random() < 0.15:
        dab = dab + rng.uniform(0.05, 0.4) * cell_body_dab(rng, scene, _strengths(rng, chosen))
    return dab


def _choose_cells(rng: np.random.Generator, scene: Scene) -> NDArray[np.bool_]:
    """Choose no cell or about a random share of them, at least one; neighbours are alike. Returns (n + 1,) bool by label."""
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


def _strengths(rng: np.random.Generator, chosen: NDArray[np.bool_]) -> Strengths:
    """Return the mean DAB optical density per label; strong, moderate and weak cells mixed in random shares."""
    shares = rng.dirichlet([1.2, 1.0, 0.6])
    kind = rng.choice(3, size=len(chosen), p=shares)
    low, high = np.array([0.8, 0.35, POSITIVE_FROM_OD + 0.02]), np.array([2.4, 0.8, 0.35])
    strength = low[kind] + (high - low)[kind] * rng.random(len(chosen))
    return np.where(chosen, strength, 0).astype(np.float32)


def _traces(rng: np.random.Generator, chosen: NDArray[np.bool_]) -> Strengths:
    """Return a trace of DAB for some of the nuclei that were not chosen, in some fields."""
    share = rng.choice([0.0, rng.uniform(0.05, 1.0)], p=[0.65, 0.35])
    traces = rng.uniform(0, _TRACE_OD, len(chosen)) * (rng.random(len(chosen)) < share)
    traces[0] = 0
    return np.where(chosen, 0, traces).astype(np.float32)
