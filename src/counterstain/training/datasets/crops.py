"""Cut training patches out of real annotated images at random positions and scales."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from counterstain.training.synthesis.render import Sample
from counterstain.training.synthesis.targets import BACKGROUND, UNKNOWN, class_image, distance_image


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotated:
    """One real image with nuclei, and with modalities where it has them."""

    name: str
    image: NDArray[np.uint8]
    """(h, w, 3) RGB."""
    labels: NDArray[np.int32]
    """(h, w) instances, 0 = background."""
    positive: NDArray[np.bool_]
    """(n + 1,) by label."""
    unknown: NDArray[np.bool_]
    """(h, w): neither nucleus nor background for certain."""
    modalities: dict[str, NDArray[np.uint8]]
    """Empty, or all of hematoxylin (h, w, 3), dapi, lap2, marker (h, w)."""
    scale: tuple[float, float] = (0.8, 1.25)
    """Range of enlargement of a patch; 1 keeps the pixels."""


def random_crop(rng: np.random.Generator, source: Annotated, side: int) -> Sample:
    """Cut a square of ``side`` pixels after random enlargement within ``source.scale``."""
    zoom = rng.uniform(*source.scale)
    height, width = source.labels.shape
    extent = min(side / zoom, height, width)
    row, col = rng.uniform(0, height - extent), rng.uniform(0, width - extent)
    return crop(source, (row, col, extent), side)


def crop(source: Annotated, window: tuple[float, float, float], side: int) -> Sample:
    """Cut the square window (row, col, extent) and resample it to ``side`` pixels."""
    labels = _resample(source.labels, window, side, Image.Resampling.NEAREST)
    unknown = _resample(source.unknown.astype(np.uint8), window, side, Image.Resampling.NEAREST) > 0
    classes = class_image(labels, source.positive)
    classes[unknown & (classes == BACKGROUND)] = UNKNOWN
    planes = {name: _resample(plane, window, side, Image.Resampling.BICUBIC) for name, plane in source.modalities.items()}
    black = np.zeros((side, side), np.uint8)
    return Sample(
        image=_resample(source.image, window, side, Image.Resampling.BICUBIC),
        hematoxylin=planes.get("hematoxylin", np.zeros((side, side, 3), np.uint8)),
        dapi=planes.get("dapi", black),
        lap2=planes.get("lap2", black),
        marker=planes.get("marker", black),
        classes=classes,
        distance=(distance_image(labels) * 255).round().astype(np.uint8),
        has_modalities=bool(planes),
    )


def _resample(array: NDArray, window: tuple[float, float, float], side: int, how: Image.Resampling) -> NDArray:  # type: ignore[type-arg]
    row, col, extent = window
    box = (col, row, col + extent, row + extent)
    return np.asarray(Image.fromarray(array).resize((side, side), how, box=box)).copy()
