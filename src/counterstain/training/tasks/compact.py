"""Learn the compact network: from rendered patches, or from listed co-registered sets."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from counterstain.errors import TrainingError
from counterstain.panel import DEFAULT_PANEL, Panel
from counterstain.training.checkpoint import MODEL
from counterstain.training.datasets.batches import TRUE_MODALITIES, Batch, batch_rng, batches, jitter, stream, to_batch, turn
from counterstain.training.datasets.cache import open_cache, to_planes
from counterstain.training.datasets.crops import Annotated, random_crop
from counterstain.training.datasets.folders import annotate
from counterstain.training.datasets.paired import read_images
from counterstain.training.datasets.set_list import read_set_list
from counterstain.training.losses.total import loss_terms
from counterstain.training.networks.compact import CompactNetwork, CompactOptions
from counterstain.training.options import AugmentOptions, DataOptions, LoopOptions, LossOptions, PairedOptions
from counterstain.training.synthesis.render import Sample
from counterstain.training.tasks.base import Exported, Step
from counterstain.training.validate import Infer, field_set, listed_set, rendered_set

TILE_PX, MARGIN_PX = 1536, 128
"""Of the compact network: with this margin tiles of any size count the same nuclei but for 0.1 %; see the lab log."""


class CompactTask:
    """See ``Task``; a set list takes the place of rendered patches.

    Parameters
    ----------
    report : receives a line before something slow.
    """

    def __init__(
        self,
        network: CompactOptions,
        data: DataOptions,
        paired: PairedOptions,
        augment: AugmentOptions,
        losses: LossOptions,
        loop: LoopOptions,
        report: Callable[[str], None],
    ) -> None:
        self._data, self._paired, self._augment, self._losses, self._loop = data, paired, augment, losses, loop
        self._report, self._stride_px = report, network.stride_px
        self.networks, self.optimizers = compact_network(DEFAULT_PANEL, network, loop)

    def batches(self, start: int, rank: int) -> Iterator[Batch]:
        """Open the patches, which are rendered the first time, and return batches of them."""
        if self._paired.manifest:
            return self._paired_batches(start, rank)
        self._report("opening training patches (the first time they are rendered, which takes minutes)")
        cache = open_cache(self._data, self._loop.seed)
        return batches(cache, self._augment, self._loop, start=start, rank=rank)

    def _paired_batches(self, start: int, rank: int) -> Iterator[Batch]:
        names = ("image", *TRUE_MODALITIES, "segmentation")
        found = read_set_list(Path(self._paired.manifest), "train", names)
        if not found:
            raise TrainingError(f"{self._paired.manifest} has no set in the split train")
        fields = [annotate(one.name, read_images(one, self._paired.shrink), scale=self._paired.zoom) for one in found]
        return stream(lambda step: self._crop(batch_rng(self._loop.seed, step, rank), fields), start)

    def _crop(self, rng: np.random.Generator, fields: list[Annotated]) -> Batch:
        patches = []
        for _ in range(self._loop.batch):
            planes = to_planes(random_crop(rng, fields[rng.integers(len(fields))], self._paired.crop_px))
            patches.append(turn(rng, planes) if self._paired.turn else planes)
        return jitter(rng, to_batch(np.stack(patches), np.ones(len(patches), bool)), self._augment)

    def steps(self, networks: Mapping[str, nn.Module], batch: Batch) -> Iterator[Step]:
        """Yield the only loss."""
        yield MODEL, loss_terms(networks[MODEL]((batch.image - 0.5) / 0.5), batch, self._losses)

    def infer(self, network: nn.Module) -> Infer:
        """Return what the network infers."""
        return segment_with(network)

    def example(self, batch: Batch) -> Tensor:
        """Return the images of a batch."""
        return batch.image

    def validation(self) -> dict[str, list[Sample]]:
        """Return the validation split of the set list, or real fields of another slide and held-out tiles, rendered."""
        if self._paired.manifest:
            samples = listed_set(self._paired)
            return {"validation": samples} if samples else {}
        return {"field": field_set(self._data), "rendered": rendered_set(self._data, self._loop.seed)}

    def exported(self, network: nn.Module) -> Exported:
        """Return what a bundle is made of; see ``Task.exported``."""
        return exported_compact(network, DEFAULT_PANEL, self._stride_px)


class _ExportedNetwork(nn.Module):
    """The compact network as a bundle runs it: a normalised image in, the channels of the panel out, in order."""

    def __init__(self, network: nn.Module, panel: Panel) -> None:
        super().__init__()
        self.network = network
        self.names = [channel.name for channel in panel.channels]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = _as_maps(self.network(image))
        return tuple(outputs[name] for name in self.names)


def exported_compact(network: nn.Module, panel: Panel, stride_px: int) -> Exported:
    """Return what a bundle of a compact network is made of: the watershed cuts its maps."""
    return Exported(
        network=_ExportedNetwork(network, panel).eval(),
        panel=panel,
        decoder="watershed",
        tile_px=TILE_PX,
        margin_px=MARGIN_PX,
        stride_px=stride_px,
    )


def compact_network(
    panel: Panel, options: CompactOptions, loop: LoopOptions
) -> tuple[dict[str, nn.Module], dict[str, Optimizer]]:
    """Return a new compact network and its optimizer, each under the name ``model``."""
    network = CompactNetwork(panel, options).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=loop.learning_rate, weight_decay=loop.weight_decay)
    return {MODEL: network}, {MODEL: optimizer}


def segment_with(network: nn.Module) -> Infer:
    """Return a function from RGB in [0, 1] to the maps that a bundle gives: modalities, ``segmentation`` and ``distance``."""
    return lambda image: _as_maps(network((image - 0.5) / 0.5))


def _as_maps(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn the logits of the classes into the probabilities of positive, boundary and negative.

    The softmax is written out plane by plane: that of ONNX Runtime over the second axis takes a seventh of a tile's time.
    """
    planes = [*torch.split(outputs.pop("class_logits"), 1, dim=1)]  # background, negative, positive, boundary
    highest = torch.maximum(torch.maximum(planes[0], planes[1]), torch.maximum(planes[2], planes[3]))
    background, negative, positive, boundary = (torch.exp(plane - highest) for plane in planes)
    total = background + negative + positive + boundary
    return outputs | {"segmentation": torch.cat([positive / total, boundary / total, negative / total], dim=1)}
