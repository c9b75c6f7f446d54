"""Where DAB binds: one function per pattern, and the brown that belongs to no cell. Densities only, no classes, no colours."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries

from counterstain.training.synthesis.noise import Field, blobs, dots, fibres, smooth_noise
from counterstain.training.synthesis.scenes import Scene

Strengths = NDArray[np.float32]
"""(n + 1,) float32 by label: mean optical density of DAB; 0 for a cell that does not bind it, and for the background."""


def nuclear_dab(rng: np.random.Generator, scene: Scene, strengths: Strengths) -> Field:
    """Return DAB in nuclei, more or less granular, as Ki-67 or ER show it."""
    shape = scene.labels.shape
    fine, coarse = smooth_noise(rng, shape, rng.uniform(1.5, 3)), smooth_noise(rng, shape, rng.uniform(3, 7))
    granularity = np.clip(rng.uniform(0, 0.9) + rng.normal(0, 0.2, len(strengths)), 0, 1).astype(np.float32)
    texture = np.clip(1 + granularity[scene.labels] * (0.35 * fine + 0.5 * coarse), 0.15, 2.0)
    follow = rng.uniform(0, 0.6)
    chromatin = (1 - follow) + follow * np.clip(scene.density, 0, 1.5)
    raw = strengths[scene.labels] * texture * chromatin
    return np.asarray(ndimage.gaussian_filter(raw, rng.uniform(0.6, 1.3)), dtype=np.float32)


def ring_dab(rng: np.random.Generator, scene: Scene, strengths: Strengths) -> Field:
    """Return DAB in a tight ring round nuclei and above them, as CD3 or CD8 show it in lymphocytes."""
    distance, owner = _nearest_nucleus(scene)
    ring_px, width_px = rng.uniform(1, 4), rng.uniform(1, 2.5)
    above = rng.uniform(0.1, 0.7)  # the membrane over and under the nucleus, which the section shows through it
    ring = np.exp(-(((distance - ring_px) / width_px) ** 2)) * (distance > 0) + above * (scene.labels > 0)
    texture = np.clip(1 + 0.4 * smooth_noise(rng, scene.labels.shape, rng.uniform(2, 6)), 0.2, 2)
    return np.asarray(ndimage.gaussian_filter(strengths[owner] * ring * texture, 0.8), dtype=np.float32)


def border_dab(rng: np.random.Generator, scene: Scene, strengths: Strengths) -> Field:
    """Return DAB on the borders between cells, away from their nuclei, whole or in stretches, as HER2 or E-cadherin show it."""
    shape = scene.labels.shape
    distance, owner = _nearest_nucleus(scene)
    near = distance < rng.uniform(8, 25)
    line = find_boundaries(np.where(near, owner, 0), mode="thick").astype(np.float32)
    line *= np.clip(rng.uniform(-0.2, 1.2) + smooth_noise(rng, shape, rng.uniform(8, 25)), 0, 1.5)
    width_px = rng.uniform(0.7, 1.8)
    drawn = ndimage.gaussian_filter(line, width_px) * width_px * 1.5
    haze = rng.uniform(0, 0.15) * near
    inside = ndimage.gaussian_filter((scene.labels > 0).astype(np.float32), 1.0)
    return np.asarray(strengths[owner] * (drawn + haze) * (1 - rng.uniform(0.5, 1.0) * inside), dtype=np.float32)


def cell_body_dab(rng: np.random.Generator, scene: Scene, strengths: Strengths) -> Field:
    """Return coarse DAB in the cytoplasm of single cells, whose nuclei stay clearer."""
    distance, owner = _nearest_nucleus(scene)
    shape = scene.labels.shape
    reach_px = rng.uniform(3, 14)
    body = np.clip((reach_px * (1 + 0.3 * smooth_noise(rng, shape, 12)) - distance) / 2, 0, 1)
    grain = np.clip(1 + rng.uniform(0, 1) * smooth_noise(rng, shape, rng.uniform(1.5, 5)), 0.05, 3)
    inside = ndimage.gaussian_filter((scene.labels > 0).astype(np.float32), 1.0)
    return np.asarray(strengths[owner] * body * grain * (1 - rng.uniform(0.5, 1.0) * inside), dtype=np.float32)


def cytoplasmic_dab(rng: np.random.Generator, scene: Scene) -> Field:
    """Return DAB that fills whole regions and leaves their nuclei paler."""
    shape = scene.labels.shape
    region = blobs(rng, shape, rng.uniform(40, 120), rng.uniform(0.15, 0.9))
    texture = np.clip(1 + 0.3 * smooth_noise(rng, shape, rng.uniform(2, 6)) + 0.3 * np.abs(fibres(rng, shape, 4)), 0.2, 2)
    inside = ndimage.gaussian_filter((scene.labels > 0).astype(np.float32), 1.0)
    return np.asarray(rng.uniform(0.25, 1.0) * region * texture * (1 - rng.uniform(0.4, 1.0) * inside), dtype=np.float32)


def haze_dab(rng: np.random.Generator, scene: Scene, specific: Field) -> Field:
    """Return the even brown that no cell is counted for: haze around cells, cytoplasm, and a general tint."""
    shape = scene.labels.shape
    haze = np.zeros(shape, np.float32)
    if rng.random() < 0.5:
        haze += rng.uniform(0, 0.25) * ndimage.gaussian_filter(specific, rng.uniform(3, 10))
    if rng.random() < 0.35:
        texture = np.clip(1 + 0.5 * smooth_noise(rng, shape, rng.uniform(2, 12)), 0, 3)
        haze += rng.uniform(0, 0.12) * texture * blobs(rng, shape, rng.uniform(20, 90), rng.uniform(0.2, 1))
    if rng.random() < 0.25:  # cytoplasmic blush of negative cells
        near = ndimage.gaussian_filter((scene.labels > 0).astype(np.float32), rng.uniform(4, 9))
        haze += rng.uniform(0, 0.15) * near * (scene.labels == 0)
    return haze


def stray_dab(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Return brown things that are no nucleus: granules, scraps of membrane, smears, clots, a stained edge; most often few."""
    stray = np.zeros(shape, np.float32)
    for draw, probability in ((_granules, 0.2), (_scraps, 0.15), (_smear, 0.08), (_clots, 0.03), (_edge, 0.04)):
        if rng.random() < probability:
            stray += draw(rng, shape)
    return stray


def _nearest_nucleus(scene: Scene) -> tuple[Field, NDArray[np.int32]]:
    """Return the distance of each pixel to a nucleus, 0 within one, and the label of that nucleus."""
    distance, nearest = ndimage.distance_transform_edt(scene.labels == 0, return_indices=True)
    return distance.astype(np.float32), scene.labels[tuple(nearest)]


def _granules(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Draw fine dots in clouds."""
    fine = dots(rng, shape, most=0.03, cloud_px=60, cover=0.3, blur_px=(0.6, 1.6))
    return np.asarray(np.minimum(fine * rng.uniform(0.3, 1.2), 1.5), dtype=np.float32)


def _scraps(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Draw thin curved lines, as of membranes whose nucleus lies in another section."""
    line = np.exp(-((smooth_noise(rng, shape, rng.uniform(10, 30)) / rng.uniform(0.04, 0.12)) ** 2))
    where = blobs(rng, shape, rng.uniform(20, 60), rng.uniform(0.05, 0.5))
    return np.asarray(rng.uniform(0.15, 1.2) * line * where, dtype=np.float32)


def _smear(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    strands = np.clip(np.abs(fibres(rng, shape, rng.uniform(2, 8))) - rng.uniform(0, 0.6), 0, None)
    return np.asarray(
        rng.uniform(0.1, 0.6) * strands * blobs(rng, shape, rng.uniform(30, 120), rng.uniform(0.1, 0.5)), np.float32
    )


def _clots(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Draw ragged lumps of the size of a nucleus or larger, without its smooth edge."""
    lump = blobs(rng, shape, rng.uniform(5, 14), rng.uniform(0.003, 0.02)) * (0.4 + blobs(rng, shape, rng.uniform(1.5, 4), 0.6))
    return np.asarray(rng.uniform(0.2, 1.6) * lump, dtype=np.float32)


def _edge(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Stain a side of the field all over, as tissue is at its edge."""
    side = np.clip((smooth_noise(rng, shape, rng.uniform(120, 250)) - rng.uniform(0.2, 1.2)) * 1.5, 0, 1)
    return np.asarray(rng.uniform(0.1, 0.5) * side * (1 + 0.3 * smooth_noise(rng, shape, rng.uniform(3, 10))), dtype=np.float32)
