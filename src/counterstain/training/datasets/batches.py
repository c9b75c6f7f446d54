"""Shuffled, augmented batches.

The batch of a step depends on the seed and the step alone, so a resumed run sees the same ones.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from counterstain.training.datasets.cache import PLANES, PatchCache
from counterstain.training.options import AugmentOptions, LoopOptions

BatchT = TypeVar("BatchT")

TRUE_MODALITIES = ("hematoxylin", "dapi", "lap2", "marker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Tensors of n patches; images are float32 in [0, 1]."""

    image: Tensor
    """(n, 3, h, w)"""
    modalities: dict[str, Tensor]
    """Name -> (n, planes, h, w)."""
    classes: Tensor
    """(n, h, w) int64."""
    distance: Tensor
    """(n, 1, h, w)"""
    has_modalities: Tensor
    """(n,) bool."""

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on another device."""
        return Batch(
            image=self.image.to(device, memory_format=torch.channels_last),
            modalities={name: image.to(device) for name, image in self.modalities.items()},
            classes=self.classes.to(device),
            distance=self.distance.to(device),
            has_modalities=self.has_modalities.to(device),
        )


def batches(cache: PatchCache, augment: AugmentOptions, loop: LoopOptions, *, start: int = 0, rank: int = 0) -> Iterator[Batch]:
    """Yield batches for ever, from that of step ``start``; processes of different ``rank`` see different ones."""

    def make(step: int) -> Batch:
        rng = batch_rng(loop.seed, step, rank)
        chosen = np.sort(rng.choice(len(cache), loop.batch, replace=loop.batch > len(cache)))
        patches = [turn(rng, np.asarray(cache.planes[index])) for index in chosen]
        return jitter(rng, to_batch(np.stack(patches), cache.has_modalities[chosen]), augment)

    return stream(make, start)


def batch_rng(seed: int, step: int, rank: int) -> np.random.Generator:
    """Return the generator that the batch of one step is made with."""
    return np.random.default_rng([seed, 7, step, rank] if rank else [seed, 7, step])


def stream(make: Callable[[int], BatchT], start: int) -> Iterator[BatchT]:
    """Yield ``make(step)`` from ``start`` for ever; the next one is prepared while the last is used."""
    with ThreadPoolExecutor(1) as pool:
        step = start
        coming = pool.submit(make, step)
        while True:
            step += 1
            batch, coming = coming.result(), pool.submit(make, step)
            yield batch


def turn(rng: np.random.Generator, patch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return all planes together after one of the eight turns and flips of a square."""
    turned = np.rot90(patch, int(rng.integers(4)), axes=(1, 2))
    return np.ascontiguousarray(turned[..., ::-1] if rng.random() < 0.5 else turned)


def to_batch(planes: NDArray[np.uint8], has_modalities: NDArray[np.bool_]) -> Batch:
    """Return (n, 11, h, w) uint8 planes as a batch."""
    pieces = dict(zip(PLANES, torch.split(torch.from_numpy(planes), list(PLANES.values()), dim=1), strict=True))
    return Batch(
        image=pieces["image"].float() / 255,
        modalities={name: pieces[name].float() / 255 for name in TRUE_MODALITIES},
        classes=pieces["classes"][:, 0].long(),
        distance=pieces["distance"].float() / 255,
        has_modalities=torch.from_numpy(has_modalities.copy()),
    )


def jitter(rng: np.random.Generator, batch: Batch, options: AugmentOptions) -> Batch:
    """Return the batch with other colours and pixel noise.

    The hematoxylin image changes with the IHC image, so that both keep the same colours; the other targets do
    not change.
    """
    image, hematoxylin = jittered(rng, [batch.image, batch.modalities["hematoxylin"]], options)
    return Batch(
        image=image,
        modalities=batch.modalities | {"hematoxylin": hematoxylin},
        classes=batch.classes,
        distance=batch.distance,
        has_modalities=batch.has_modalities,
    )


def jittered(rng: np.random.Generator, stained: list[Tensor], options: AugmentOptions) -> list[Tensor]:
    """Scale and shift the optical densities of images alike, per sample and channel, and add pixel noise to the first.

    Parameters
    ----------
    stained : (n, 3, h, w) float32 in [0, 1] each; none are returned as none.
    """
    if not stained:
        return []
    n = len(stained[0])
    log_scale = rng.normal(0, options.strength_sigma, (n, 1, 1, 1)) + rng.normal(0, options.colour_sigma, (n, 3, 1, 1))
    scale = torch.from_numpy(np.exp(log_scale)).float()
    veil = rng.uniform(0, options.veil_od, (n, 1, 1, 1)) * (rng.random((n, 1, 1, 1)) < options.veil_share)
    shift = torch.from_numpy(rng.normal(0, options.shift_sigma, (n, 3, 1, 1)) + veil).float()
    images = [(image.clamp(min=1 / 255) ** scale * 10**-shift).clamp(0, 1) for image in stained]
    noise = rng.uniform(0, options.noise_sigma, (n, 1, 1, 1)) * rng.standard_normal(stained[0].shape, dtype=np.float32)
    return [(images[0] + torch.from_numpy(noise).float()).clamp(0, 1), *images[1:]]
