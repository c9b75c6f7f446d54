"""A ``Scene``: where nuclei are and how dense they are, before any stain.

Scenes come from real tiles with an instance map (bright field or fluorescence), warped to a random scale and angle, or are
drawn (see ``drawing``). Nothing here knows colours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label as connected_regions

from counterstain.images import optical_density
from counterstain.training.synthesis.noise import Field, fibres, smooth_noise

TARGET_DIAMETER_PX = (15.0, 42.0)
"""Range of median nuclear diameters at 0.25 um/px: from small lymphocytes to large carcinoma nuclei."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Nuclei of one field."""

    density: Field
    """(h, w) float32 relative hematoxylin density; 1 is the median nucleus, 0 the median background."""
    labels: NDArray[np.int32]
    """(h, w) int32 instances, 0 = background, numbered from 1 without gaps."""


def tissue_density(image: NDArray[np.uint8], labels: NDArray[np.integer]) -> Field:
    """Turn an (h, w, 3) uint8 RGB bright-field tile into one relative density (h, w) float32.

    The scale is set so that the median over nuclei is 1 and over background 0.
    """
    return _normalised(optical_density(image).mean(axis=2), labels)


def fluorescence_density(image: NDArray[np.uint8], labels: NDArray[np.integer]) -> Field:
    """Turn an (h, w) uint8 DAPI tile into a relative density (h, w) float32, as ``tissue_density`` does."""
    return _normalised(image.astype(np.float32), labels)


def _normalised(signal: Field, labels: NDArray[np.integer]) -> Field:
    nuclei = labels > 0
    background = ~ndimage.binary_dilation(nuclei, iterations=2)
    low = float(np.median(signal[background])) if background.any() else float(signal.min())
    high = float(np.median(signal[nuclei])) if nuclei.any() else low + 1.0
    return np.asarray(np.clip((signal - low) / max(high - low, 1e-3), -0.6, 2.5), dtype=np.float32)


def median_diameter_px(labels: NDArray[np.integer]) -> float:
    """Return the diameter of a disk of the median nuclear area; 25 where there are no nuclei."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(2 * np.sqrt(np.median(areas) / np.pi)) if areas.size else 25.0


def warp_scene(rng: np.random.Generator, scene: Scene, side: int) -> Scene:
    """Cut a square of ``side`` pixels at random position, angle and flip, scaled to a random nuclear diameter.

    What lies outside the tile is its mirror image.
    """
    zoom = float(np.clip(rng.uniform(*TARGET_DIAMETER_PX) / median_diameter_px(scene.labels), 0.3, 2.2))
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([1 / zoom, rng.choice([-1, 1]) * rng.uniform(0.9, 1.1) / zoom])
    centre = np.array([rng.uniform(0, extent) for extent in scene.labels.shape])
    offset = centre - matrix @ np.array([side / 2, side / 2])
    density = scene.density if zoom > 0.8 else ndimage.gaussian_filter(scene.density, 0.4 / zoom)
    shape = (side, side)
    warped = ndimage.affine_transform(density, matrix, offset, shape, order=1, mode="mirror")
    labels = ndimage.affine_transform(scene.labels, matrix, offset, shape, order=0, mode="mirror")
    return Scene(density=warped.astype(np.float32), labels=tidy_labels(labels))


def tidy_labels(labels: NDArray[np.integer], *, min_area_px: int = 30) -> NDArray[np.int32]:
    """Renumber the connected pieces of each label from 1 without gaps and drop those smaller than ``min_area_px``."""
    pieces = connected_regions(labels, connectivity=1, background=0)
    areas = np.bincount(pieces.ravel())
    kept = areas >= min_area_px
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0)
    return np.asarray(numbers[pieces], dtype=np.int32)


def vary_nuclei(rng: np.random.Generator, scene: Scene) -> Scene:
    """Give each nucleus its own strength, flatness and rim, so that pale, vesicular and dark nuclei stand side by side."""
    count = int(scene.labels.max()) + 1
    spread, faint = rng.uniform(0.1, 0.5), rng.uniform(0, 0.4)
    strength = np.exp(rng.normal(0, spread, count)) * np.where(rng.random(count) < faint, rng.uniform(0.3, 0.7, count), 1)
    flatness = np.clip(rng.uniform(0, 1) + rng.normal(0, 0.15, count), 0, 1)
    hollow = np.clip(rng.uniform(-0.2, 0.75) + rng.normal(0, 0.15, count), 0, 0.85)
    strength[0], flatness[0], hollow[0] = 1, 0, 0
    means = ndimage.mean(scene.density, scene.labels, np.arange(count))
    depth = ndimage.distance_transform_edt(scene.labels > 0).astype(np.float32)
    profile = 1 - hollow[scene.labels] * (1 - np.exp(-np.maximum(depth - 1.5, 0) / 2.5))
    flat = flatness[scene.labels]
    nuclear = (
        (1 - flat) * scene.density + flat * np.clip(means, 0.4, 1.8)[scene.labels] * np.minimum(depth / 1.5, 1)
    ) * profile
    nuclear = nuclear * strength[scene.labels]
    background = scene.density * rng.uniform(0.2, 1.1)
    inside = ndimage.gaussian_filter((scene.labels > 0).astype(np.float32), 0.7)
    return Scene(density=(inside * nuclear + (1 - inside) * background).astype(np.float32), labels=scene.labels)


def tissue_texture(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Return (h, w) float32 cytoplasm and stroma, mostly in [0, 0.5], in units of nuclear density."""
    cloud = smooth_noise(rng, shape, rng.uniform(20, 90)) * rng.uniform(0.02, 0.10)
    grain = smooth_noise(rng, shape, rng.uniform(2, 5)) * rng.uniform(0.01, 0.05)
    strands = np.abs(fibres(rng, shape, rng.uniform(3, 8))) * rng.uniform(0, 0.12)
    return (rng.uniform(0.0, 0.2) + cloud + grain + strands).astype(np.float32)
