"""Scenes drawn from nothing: epithelium, stroma and scattered lymphocytes, whose overlapping nuclei add up as real ones do."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from counterstain.training.synthesis.noise import Field, smooth_noise
from counterstain.training.synthesis.scenes import TARGET_DIAMETER_PX, Scene, tidy_labels, tissue_texture


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How the nuclei of one kind of tissue lie."""

    spacing: tuple[float, float]
    """Distance between neighbours over the nuclear diameter."""
    elongation: tuple[float, float]
    relative_size: tuple[float, float]
    aligned: float
    """0: every angle at random; 1: all follow the fibres."""


_LAYOUTS = (
    _Layout(spacing=(0.85, 1.25), elongation=(1.0, 1.5), relative_size=(0.9, 1.2), aligned=0.3),  # epithelium
    _Layout(spacing=(1.1, 2.2), elongation=(2.0, 4.5), relative_size=(0.7, 1.0), aligned=0.85),  # stroma
    _Layout(spacing=(0.95, 1.8), elongation=(1.0, 1.25), relative_size=(0.55, 0.8), aligned=0.0),  # lymphocytes
    _Layout(spacing=(1.3, 2.6), elongation=(1.0, 1.9), relative_size=(0.8, 1.4), aligned=0.1),  # scattered
)


def draw_scene(rng: np.random.Generator, side: int) -> Scene:
    """Draw a square field of one or two kinds of tissue, with holes where there is none."""
    diameter = float(np.exp(rng.uniform(*np.log(TARGET_DIAMETER_PX))))
    shape = (side, side)
    density, labels = tissue_texture(rng, shape), np.zeros(shape, np.int32)
    chosen = rng.choice(len(_LAYOUTS), size=2, p=[0.45, 0.2, 0.15, 0.2])
    border = smooth_noise(rng, shape, rng.uniform(60, 200)) > rng.uniform(-1.5, 1.5)
    tissue = smooth_noise(rng, shape, rng.uniform(60, 160)) > rng.choice([-9.0, -1.0, 0.0], p=[0.6, 0.25, 0.15])
    angle_field = rng.uniform(0, np.pi) + smooth_noise(rng, shape, 120) * 0.5
    for kind, where in zip(chosen, (border & tissue, ~border & tissue), strict=True):
        _add_nuclei(rng, (density, labels), where, angle_field, (_LAYOUTS[kind], diameter))
    veil = ndimage.gaussian_filter(tissue.astype(np.float32), 2)
    return Scene(density=np.where(labels > 0, density, density * veil).astype(np.float32), labels=tidy_labels(labels))


def _add_nuclei(
    rng: np.random.Generator,
    canvas: tuple[Field, NDArray[np.int32]],
    where: NDArray[np.bool_],
    angle_field: Field,
    style: tuple[_Layout, float],
) -> None:
    density, labels = canvas
    layout, diameter = style
    spread, faint = rng.uniform(0.1, 0.4), rng.uniform(0, 0.4)
    edge_px, texture = rng.uniform(0.6, 2.2), rng.uniform(0, 0.4)
    for row, col in _positions(rng, where, diameter * rng.uniform(*layout.spacing)):
        size = diameter * rng.uniform(*layout.relative_size) * float(np.exp(rng.normal(0, 0.12)))
        elongation = rng.uniform(*layout.elongation)
        angle = angle_field[row, col] * layout.aligned + rng.uniform(0, np.pi) * (1 - layout.aligned)
        window, depth = _outline(rng, (row, col), (size, elongation, angle), labels.shape)
        strength = float(np.exp(rng.normal(0, spread))) * (rng.uniform(0.25, 0.6) if rng.random() < faint else 1.0)
        chromatin = 1 + texture * smooth_noise(rng, depth.shape, rng.uniform(2, 5))
        density[window] += np.clip(depth / edge_px + 0.5, 0, 1) * np.clip(chromatin, 0.2, 2) * strength
        inside = (depth > 0) & ((labels[window] == 0) | (rng.random() < 0.5))
        labels[window][inside] = labels.max() + 1


def _positions(rng: np.random.Generator, where: NDArray[np.bool_], spacing_px: float) -> list[tuple[int, int]]:
    """Return jittered points of a hexagonal lattice that fall into the mask."""
    height, width = where.shape
    rows = np.arange(rng.uniform(0, spacing_px), height, spacing_px * 0.87)
    points: list[tuple[int, int]] = []
    for number, row in enumerate(rows):
        cols = np.arange((number % 2) * spacing_px / 2 + rng.uniform(0, 3), width, spacing_px)
        jitter = rng.normal(0, spacing_px * 0.17, (len(cols), 2))
        rc = np.column_stack([row + jitter[:, 0], cols + jitter[:, 1]]).astype(int)
        rc = rc[(rc >= 0).all(axis=1) & (rc < (height, width)).all(axis=1) & (rng.random(len(rc)) > 0.1)]
        points += [(int(r), int(c)) for r, c in rc if where[r, c]]
    order = rng.permutation(len(points))
    return [points[index] for index in order]


def _outline(
    rng: np.random.Generator, centre: tuple[int, int], form: tuple[float, float, float], shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], Field]:
    """Return the window of a nucleus and, in it, the approximate depth below its edge in pixels (negative outside)."""
    size, elongation, angle = form
    long_px, short_px = size / 2 * np.sqrt(elongation), size / 2 / np.sqrt(elongation)
    reach = int(long_px * 1.3) + 3
    rows = slice(max(0, centre[0] - reach), min(shape[0], centre[0] + reach + 1))
    cols = slice(max(0, centre[1] - reach), min(shape[1], centre[1] + reach + 1))
    y, x = np.mgrid[rows, cols].astype(np.float32)
    y, x = y - centre[0], x - centre[1]
    along = (x * np.cos(angle) + y * np.sin(angle)) / long_px
    across = (y * np.cos(angle) - x * np.sin(angle)) / short_px
    theta = np.arctan2(across, along)
    wobble = sum(rng.normal(0, 0.10 / k) * np.cos(k * theta + rng.uniform(0, 6.3)) for k in (2, 3, 4, 5))
    radius = np.hypot(along, across)
    return (rows, cols), ((1 + wobble - radius) * short_px).astype(np.float32)
