"""What slides carry besides tissue, and what scanners do to it. Each function draws one thing, or nothing.

Debris is added as optical density per colour (h, w, 3); camera effects change the finished image.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from counterstain.training.synthesis.noise import Field, blobs, dots, fibres, smooth_noise

ColourField = NDArray[np.float32]

_PIGMENTS = np.array([[1.0, 1.0, 1.0], [0.5, 0.75, 1.0], [0.9, 0.95, 0.7], [1.0, 0.8, 0.45]], np.float32)
"""Relative optical densities in R, G, B: carbon, melanin or hemosiderin, dirt, stain precipitate."""


def add_debris(rng: np.random.Generator, density: ColourField) -> ColourField:
    """Return (h, w, 3) float32 with pigment, carbon, blood, stained collagen or a fold added, most often none of them."""
    painters = (
        (_grains, 0.2),
        (_clump, 0.04),
        (_red_blood_cells, 0.18),
        (_ghosts, 0.08),
        (_platelets, 0.06),
        (_collagen, 0.12),
        (_fold, 0.05),
    )
    for painter, probability in painters:
        if rng.random() < probability:
            density = painter(rng, density)
    return density


def _grains(rng: np.random.Generator, density: ColourField) -> ColourField:
    shape = density.shape[:2]
    spots = np.zeros(shape, np.float32)
    count = int(rng.integers(2, 40))
    spots[rng.integers(0, shape[0], count), rng.integers(0, shape[1], count)] = rng.uniform(5, 30, count)
    spots = np.minimum(ndimage.gaussian_filter(spots, rng.uniform(0.7, 1.8)), rng.uniform(0.3, 1.5))
    colour: Field = rng.choice(_PIGMENTS)
    return density + spots[..., None].astype(np.float32) * colour


def _clump(rng: np.random.Generator, density: ColourField) -> ColourField:
    shape = density.shape[:2]
    patch = blobs(rng, shape, rng.uniform(10, 30), rng.uniform(0.005, 0.03)) * blobs(rng, shape, rng.uniform(2, 5), 0.7)
    strength = np.float32(rng.uniform(0.3, 1.6))
    return np.asarray(density + strength * patch[..., None] * _PIGMENTS[int(rng.integers(0, 2))], dtype=np.float32)


def _red_blood_cells(rng: np.random.Generator, density: ColourField) -> ColourField:
    """Draw red cells, or the grey rings that are left of them where they are lysed."""
    shape = density.shape[:2]
    red, grey = np.array([0.08, 0.45, 0.4], np.float32), np.array([0.2, 0.2, 0.24], np.float32)
    colour = (red if rng.random() < 0.5 else grey) * rng.uniform(0.3, 1.0) + rng.uniform(0, 0.06)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    centre, layer = rng.uniform(0, shape[0], 2), np.zeros(shape, np.float32)
    typical_radius, hollow, reach = rng.uniform(6, 14), rng.uniform(0.2, 1.2), rng.uniform(0.12, 0.4)
    for row, col in rng.normal(centre, shape[0] * reach, (int(rng.integers(3, 60)), 2)):
        radius = typical_radius * rng.uniform(0.85, 1.15)
        depth = radius - np.hypot((y - row), (x - col) * rng.uniform(0.8, 1.2))
        dimple = 1 - hollow * np.exp(-((radius - depth) ** 2) / (0.3 * radius**2))
        layer = np.where(depth > 0, np.maximum(layer, np.clip(depth / 1.5, 0, 1) * dimple), layer)
    return density + layer[..., None] * colour


def _ghosts(rng: np.random.Generator, density: ColourField) -> ColourField:
    """Draw pale round things that have no nucleus, bluish or grey: ghosts of red cells, vacuoles with mucin, drops."""
    shape = density.shape[:2]
    tint = np.array([0.5, 0.4, 0.25], np.float32) * rng.uniform(0.05, 0.3) * rng.uniform(0.6, 1.4, 3).astype(np.float32)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    centre, layer = rng.uniform(0, shape[0], 2), np.zeros(shape, np.float32)
    typical_radius, softness = rng.uniform(5, 22), rng.uniform(1, 4)
    for row, col in rng.normal(centre, shape[0] * rng.uniform(0.15, 0.5), (int(rng.integers(2, 25)), 2)):
        depth = typical_radius * rng.uniform(0.7, 1.3) - np.hypot(y - row, (x - col) * rng.uniform(0.7, 1.3))
        layer = np.maximum(layer, np.clip(depth / softness, 0, 1))
    return np.asarray(density + layer[..., None] * tint, dtype=np.float32)


def _platelets(rng: np.random.Generator, density: ColourField) -> ColourField:
    """Draw clusters of specks far smaller than a nucleus, in the tone of the counterstain."""
    specks = dots(rng, density.shape[:2], most=0.02, cloud_px=40, cover=0.2, blur_px=(1.0, 2.2))
    layer = np.minimum(specks, 1) * rng.uniform(0.1, 0.5)
    return np.asarray(density + layer[..., None] * np.array([0.8, 0.6, 0.3], np.float32), dtype=np.float32)


def _collagen(rng: np.random.Generator, density: ColourField) -> ColourField:
    """Draw wavy strands without nuclei, pink as in H&E, or in the tone of the counterstain."""
    shape = density.shape[:2]
    tones = np.array([[0.15, 0.6, 0.25], [0.35, 0.6, 0.3], [0.6, 0.45, 0.2]], np.float32)
    colour = tones[int(rng.integers(3))] * rng.uniform(0.2, 1.0)
    strands = 0.5 * np.abs(fibres(rng, shape, rng.uniform(3, 10))) + rng.uniform(0, 0.5)
    where = blobs(rng, shape, rng.uniform(30, 120), rng.uniform(0.2, 1.0))
    return np.asarray(density + (strands * where)[..., None] * colour, dtype=np.float32)


def _fold(rng: np.random.Generator, density: ColourField) -> ColourField:
    shape = density.shape[:2]
    ridge = np.exp(-((smooth_noise(rng, shape, rng.uniform(60, 150)) / rng.uniform(0.08, 0.25)) ** 2))
    doubled = 0.5 * np.roll(density, rng.integers(10, 60, 2), axis=(0, 1))
    return np.asarray(density + ridge[..., None] * (doubled + rng.uniform(0.02, 0.15)), dtype=np.float32)


def photograph(rng: np.random.Generator, light: ColourField) -> NDArray[np.uint8]:
    """Turn (h, w, 3) float32 light in [0, 1] into the (h, w, 3) uint8 file of some scanner: focus, sharpening, noise, JPEG."""
    light = _defocus(rng, light)
    if rng.random() < 0.4:
        light = light + rng.uniform(0.3, 1.8) * (light - ndimage.gaussian_filter(light, (1, 1, 0)))
    light = np.clip(light, 0, 1) ** np.float32(rng.uniform(0.85, 1.2))
    light = light + _sensor_noise(rng, light.shape)
    image = (np.clip(light, 0, 1) * 255).round().astype(np.uint8)
    return jpeg(image, int(rng.integers(30, 96))) if rng.random() < 0.7 else image


def _defocus(rng: np.random.Generator, light: ColourField) -> ColourField:
    sigma = rng.choice([0.0, rng.uniform(0.3, 1.0), rng.uniform(1.0, 2.0)], p=[0.35, 0.45, 0.2])
    blurred = ndimage.gaussian_filter(light, (sigma, sigma, 0)) if sigma else light
    if rng.random() < 0.12:  # a part of the field out of focus
        away = blobs(rng, light.shape[:2], 80, rng.uniform(0.2, 0.6))[..., None]
        blurred = (1 - away) * blurred + away * ndimage.gaussian_filter(light, (2.5, 2.5, 0))
    if rng.random() < 0.4:  # scanned at a lower power and enlarged
        side, small = light.shape[0], int(light.shape[0] * rng.uniform(0.4, 0.85))
        blurred = _resize(_resize(blurred, small), side)
    return blurred


def _resize(light: ColourField, side: int) -> ColourField:
    planes = [Image.fromarray(np.ascontiguousarray(light[..., c])) for c in range(3)]
    resized = [np.asarray(plane.resize((side, side), Image.Resampling.BICUBIC)) for plane in planes]
    return np.stack(resized, axis=-1)


def _sensor_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Field:
    strength = rng.choice([0.0, rng.uniform(0.002, 0.012), rng.uniform(0.012, 0.03)], p=[0.3, 0.5, 0.2])
    noise = rng.standard_normal(shape, dtype=np.float32)
    if rng.random() < 0.5:
        noise = ndimage.gaussian_filter(noise, (0.7, 0.7, 0)) * 2
    return noise * np.float32(strength)


def jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return the image after JPEG compression at this quality."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))
