"""Crop batches from image sets: one window, turn and flip for the image and everything that is known about it.

The batch of a step depends on the seed, the step and the process alone, so a resumed run sees the same ones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from counterstain.errors import TrainingError
from counterstain.training.datasets.batches import batch_rng, jittered, stream
from counterstain.training.datasets.set_list import ImageSet
from counterstain.training.options import AugmentOptions, LoopOptions, PairedOptions

Images = dict[str, NDArray[np.uint8]]
"""Name -> (h, w, planes) uint8, all of one size."""

MASKS = ("segmentation",)
"""Images whose colours are classes: never smoothed by resampling."""

STAINED = ("image", "hematoxylin")
"""Images in which more stain is darker; their colours are varied together."""

_KEPT_IN_MEMORY = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBatch:
    """Squares cut out of image sets."""

    images: dict[str, Tensor]
    """Name -> (n, planes, h, w) float32 in [0, 1]."""

    def to(self, device: torch.device) -> "ImageBatch":
        """Return the batch on another device."""
        return ImageBatch(images={name: image.to(device) for name, image in self.images.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedSource:
    """What batches are cut from."""

    fields: tuple[Images | ImageSet, ...]
    """Read already, or read when needed."""
    names: tuple[str, ...]
    """Of the images in a batch."""
    options: PairedOptions
    augment: AugmentOptions


@lru_cache(maxsize=_KEPT_IN_MEMORY)
def read_images(found: ImageSet, shrink: float = 1.0) -> Images:
    """Decode the images of a set as RGB, and shrink them; the last few are kept in memory.

    Returns
    -------
    Name -> (h, w, 3) uint8.

    Raises
    ------
    TrainingError
        A file cannot be decoded.
    """
    images: Images = {}
    files = {path: _decode(path) for path in {panel.path: None for panel in found.panels}}
    for panel in found.panels:
        file = files[panel.path]
        width = file.width // panel.count
        part = file.crop((panel.index * width, 0, (panel.index + 1) * width, file.height))
        if shrink != 1.0:
            how = Image.Resampling.NEAREST if panel.name in MASKS else Image.Resampling.BOX
            part = part.resize((round(part.width * shrink), round(part.height * shrink)), how)
        images[panel.name] = np.asarray(part)
    return images


def _decode(path: Path) -> Image.Image:
    try:
        with Image.open(path) as file:
            return file.convert("RGB")
    except OSError as error:
        raise TrainingError(f"{path} is not a readable image: {error}") from error


def paired_batches(source: PairedSource, loop: LoopOptions, *, start: int = 0, rank: int = 0) -> Iterator[ImageBatch]:
    """Yield batches of co-registered squares for ever, from that of step ``start``."""

    def make(step: int) -> ImageBatch:
        rng = batch_rng(loop.seed, step, rank)
        return _stack([crop_together(rng, _pick(rng, source), source.options) for _ in range(loop.batch)], rng, source.augment)

    return stream(make, start)


def unpaired_batches(
    sources: Mapping[str, PairedSource], loop: LoopOptions, *, start: int = 0, rank: int = 0
) -> Iterator[ImageBatch]:
    """Yield batches in which images of different names are of different fields, each cut from its own source."""

    def make(step: int) -> ImageBatch:
        rng = batch_rng(loop.seed, step, rank)
        squares = [
            {
                name: crop_together(rng, {name: _pick(rng, source)[name]}, source.options)[name]
                for name, source in sources.items()
            }
            for _ in range(loop.batch)
        ]
        return _stack(squares, rng, next(iter(sources.values())).augment)

    return stream(make, start)


def _pick(rng: np.random.Generator, source: PairedSource) -> Images:
    chosen = source.fields[rng.integers(len(source.fields))]
    images = read_images(chosen, source.options.shrink) if isinstance(chosen, ImageSet) else chosen
    return {name: images[name] for name in source.names}


def crop_together(rng: np.random.Generator, images: Images, options: PairedOptions) -> Images:
    """Crop one random square from all images at the same place, and turn and flip them alike.

    Raises
    ------
    TrainingError
        The images are smaller than the square.
    """
    height, width = next(iter(images.values())).shape[:2]
    extent = options.crop_px / rng.uniform(*options.zoom)
    if extent > min(height, width) + 0.5:
        raise TrainingError(f"images of {width} x {height} px are smaller than paired.crop_px = {options.crop_px} / zoom")
    row, col = (int(rng.integers(int(side - extent) + 1)) for side in (height, width))
    turns, flipped = (int(rng.integers(4)), rng.random() < 0.5) if options.turn else (0, False)
    squares = {}
    for name, image in images.items():
        square = np.rot90(_crop(image, (row, col, extent), options.crop_px, mask=name in MASKS), turns)
        squares[name] = np.ascontiguousarray(square[:, ::-1] if flipped else square)
    return squares


def _crop(image: NDArray[np.uint8], window: tuple[int, int, float], side: int, *, mask: bool) -> NDArray[np.uint8]:
    row, col, extent = window
    if extent == side:
        return image[row : row + side, col : col + side]
    how = Image.Resampling.NEAREST if mask else Image.Resampling.BICUBIC
    box = (col, row, col + extent, row + extent)
    planes = [np.asarray(Image.fromarray(plane).resize((side, side), how, box=box)) for plane in np.moveaxis(image, 2, 0)]
    return np.stack(planes, axis=2)


def _stack(squares: list[Images], rng: np.random.Generator, augment: AugmentOptions) -> ImageBatch:
    images = {}
    for name in squares[0]:
        planes = np.stack([square[name] for square in squares]).transpose(0, 3, 1, 2)  # (n, planes, h, w)
        images[name] = torch.from_numpy(np.ascontiguousarray(planes)).float() / 255
    stained = [name for name in STAINED if name in images]
    varied = jittered(rng, [images[name] for name in stained], augment)
    return ImageBatch(images=images | dict(zip(stained, varied, strict=True)))
