"""A ``Scene``: where nuclei are and how dense they are, before any stain.

Scenes come from real tiles with an instance map (bright field or fluorescence), warped to a random scale and angle, or are
drawn (see ``drawing``). Nothing here knows colours.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label as connected_regions

from counterstain.geometry import DEFAULT_MPP
from counterstain.images import optical_density
from counterstain.training.synthesis.noise import Field, fibres, smooth_noise

TARGET_DIAMETER_PX = (11.0, 58.0)
"""Range of median nuclear diameters at 0.25 um/px: from small lymphocytes to large carcinoma nuclei; small ones are common."""

_KNOWN_SCALE_ZOOM = (0.45, 1.8)
"""Range of enlargement of a scene whose pixel size is known, beyond what takes it to 0.25 um/px."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Nuclei of one field."""

    density: NDArray[np.floating]
    """(h, w) float32, or float16 where many are kept: relative hematoxylin density; 1 is the median nucleus, 0 the median
    background."""
    labels: NDArray[np.int32]
    """(h, w) int32 instances, 0 = background, numbered from 1 without gaps."""
    unknown: NDArray[np.bool_] | None = None
    """(h, w): may be a nucleus that nobody outlined; None where everything is outlined."""
    matrix: NDArray[np.floating] | None = None
    """(h, w) float32 or float16: relative density of cytoplasm and fibres, which a second stain of the tile shows; None without
    one."""
    mpp: float | None = None
    """Micrometres per pixel, where they are known."""


def counterstained_scene(image: NDArray[np.uint8], labels: NDArray[np.int32], *, mpp: float) -> Scene:
    """Turn an (h, w, 3) uint8 RGB tile of H&E into a scene.

    Eosin absorbs green light and next to no red, so the optical density of the red channel is that of hematoxylin, and what the
    green channel absorbs beyond that is eosin. White is the brightest that the tile shows. What is as dark as an outlined
    nucleus without being one is unknown: blurred nuclei are rarely outlined.

    Parameters
    ----------
    labels : (h, w) int32 instances, 0 = background.
    mpp : micrometres per pixel of the tile.
    """
    white = np.maximum(np.quantile(image, 0.995, axis=(0, 1)), 1)
    density = optical_density(np.minimum(image / white.astype(np.float32), 1))
    red, green = density[..., 0], density[..., 1]
    eosin = np.clip(green - 1.1 * red, 0, None)
    return Scene(
        density=_normalised(red, labels),
        labels=labels,
        unknown=unlabelled_nuclei(red, labels),
        matrix=(eosin / max(float(np.quantile(eosin, 0.95)), 0.05)).astype(np.float32),
        mpp=mpp,
    )


def unlabelled_nuclei(image_od: Field, labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return where an image is as dark as its faintest labelled nuclei although nothing is labelled there.

    Parameters
    ----------
    image_od : (h, w) float32 mean optical density.
    """
    inside = ndimage.median(image_od, labels, np.arange(1, labels.max() + 1)) if labels.max() else np.array([np.inf])
    smooth = ndimage.gaussian_filter(image_od, 2)
    outside = ndimage.binary_dilation(labels > 0, iterations=3)
    return ndimage.binary_dilation((smooth > np.quantile(inside, 0.15)) & ~outside, iterations=3)


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
    """Cut a square of ``side`` pixels at random position, angle and flip, at a random scale.

    Where the pixel size is known, the scale is about the true one; else it leads to a random nuclear diameter. What lies
    outside the tile is its mirror image.
    """
    zoom = _zoom(rng, scene)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([1 / zoom, rng.choice([-1, 1]) * rng.uniform(0.9, 1.1) / zoom])
    centre = np.array([rng.uniform(0, extent) for extent in scene.labels.shape])
    offset = centre - matrix @ np.array([side / 2, side / 2])

    def smooth(kept: NDArray[np.floating]) -> Field:
        plane = kept.astype(np.float32)
        plane = plane if zoom > 0.8 else ndimage.gaussian_filter(plane, 0.4 / zoom)
        return np.asarray(ndimage.affine_transform(plane, matrix, offset, (side, side), order=1, mode="mirror"), np.float32)

    def nearest(plane: NDArray[np.integer]) -> NDArray[np.integer]:
        return np.asarray(ndimage.affine_transform(plane, matrix, offset, (side, side), order=0, mode="mirror"))

    return Scene(
        density=smooth(scene.density),
        labels=tidy_labels(nearest(scene.labels)),
        unknown=None if scene.unknown is None else nearest(scene.unknown.astype(np.uint8)) > 0,
        matrix=None if scene.matrix is None else smooth(scene.matrix),
        mpp=None if scene.mpp is None else scene.mpp / zoom,
    )


def _zoom(rng: np.random.Generator, scene: Scene) -> float:
    if scene.mpp is not None:
        low, high = np.log(_KNOWN_SCALE_ZOOM)
        return float(scene.mpp / DEFAULT_MPP * np.exp(rng.uniform(low, high)))
    low, high = np.log(TARGET_DIAMETER_PX)
    return float(np.clip(np.exp(rng.uniform(low, high)) / median_diameter_px(scene.labels), 0.3, 2.5))


def tidy_labels(labels: NDArray[np.integer], *, min_area_px: int = 30) -> NDArray[np.int32]:
    """Renumber the connected pieces of each label from 1 without gaps and drop those smaller than ``min_area_px``."""
    pieces = connected_regions(labels, connectivity=1, background=0)
    areas = np.bincount(pieces.ravel())
    kept = areas >= min_area_px
    kept[0] = False
    numbers = np.where(kept, np.cumsum(kept), 0)
    return np.asarray(numbers[pieces], dtype=np.int32)


def vary_nuclei(rng: np.random.Generator, scene: Scene) -> Scene:
    """Give each nucleus its own strength, flatness, rim and specks: pale, vesicular and dark ones stand side by side."""
    count = int(scene.labels.max()) + 1
    spread, faint = rng.uniform(0.1, 0.5), rng.uniform(0, 0.45)
    strength = np.exp(rng.normal(0, spread, count)) * np.where(rng.random(count) < faint, rng.uniform(0.25, 0.7, count), 1)
    flatness = np.clip(rng.uniform(-0.3, 0.9) + rng.normal(0, 0.15, count), 0, 1)
    hollow = np.clip(rng.uniform(-0.3, 0.8) + rng.normal(0, 0.15, count), 0, 0.85)
    strength[0], flatness[0], hollow[0] = 1, 0, 0
    means = ndimage.mean(scene.density, scene.labels, np.arange(count))
    depth = ndimage.distance_transform_edt(scene.labels > 0).astype(np.float32)
    profile = 1 - hollow[scene.labels] * (1 - np.exp(-np.maximum(depth - 1.5, 0) / 2.5))
    flat = flatness[scene.labels]
    nuclear = (
        (1 - flat) * scene.density + flat * np.clip(means, 0.4, 1.8)[scene.labels] * np.minimum(depth / 1.5, 1)
    ) * profile
    nuclear = (nuclear + _specks(rng, scene.labels.shape) * hollow[scene.labels]) * strength[scene.labels]
    background = scene.density * rng.uniform(0.2, 1.1)
    if scene.matrix is not None:
        background = background + scene.matrix * rng.choice([0, rng.uniform(0, 0.5)])
    inside = ndimage.gaussian_filter((scene.labels > 0).astype(np.float32), 0.7)
    return replace(scene, density=(inside * nuclear + (1 - inside) * background).astype(np.float32))


def _specks(rng: np.random.Generator, shape: tuple[int, ...]) -> Field:
    """Return (h, w) float32: nucleoli and clumps of chromatin, which a pale nucleus shows."""
    coarse = smooth_noise(rng, (shape[0], shape[1]), rng.uniform(2, 6))
    return np.asarray(rng.uniform(0, 1.2) * np.clip(coarse - rng.uniform(0.7, 1.5), 0, 1), dtype=np.float32)


def tissue_texture(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Return (h, w) float32 cytoplasm and stroma, mostly in [0, 0.5], in units of nuclear density."""
    cloud = smooth_noise(rng, shape, rng.uniform(20, 90)) * rng.uniform(0.02, 0.10)
    grain = smooth_noise(rng, shape, rng.uniform(2, 5)) * rng.uniform(0.01, 0.05)
    strands = np.abs(fibres(rng, shape, rng.uniform(3, 8))) * rng.uniform(0, 0.12)
    return (rng.uniform(0.0, 0.2) + cloud + grain + strands).astype(np.float32)
