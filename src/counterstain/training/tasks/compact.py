"""Learn the compact network: from rendered patches, or from the co-registered sets of a manifest."""

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
from counterstain.training.datasets.manifest import read_manifest
from counterstain.training.datasets.paired import read_images
from counterstain.training.losses.total import loss_terms
from counterstain.training.networks.compact import STRIDE_PX, CompactNetwork
from counterstain.training.options import AugmentOptions, DataOptions, LoopOptions, LossOptions, PairedOptions
from counterstain.training.synthesis.render import Sample
from counterstain.training.tasks.base import Exported, Step
from counterstain.training.validate import Infer, field_set, manifest_set, rendered_set

TILE_PX, MARGIN_PX = 1536, 192
"""Of the compact network, which sees 270 px: with this margin tiles of any size count the same nuclei but for 0.1 %."""


class CompactTask:
    """See ``Task``; a manifest takes the place of rendered patches.

    Parameters
    ----------
    report : receives a line before something slow.
    """

    def __init__(
        self,
        data: DataOptions,
        paired: PairedOptions,
        augment: AugmentOptions,
        losses: LossOptions,
        loop: LoopOptions,
        report: Callable[[str], None],
    ) -> None:
        self._data, self._paired, self._augment, self._losses, self._loop = data, paired, augment, losses, loop
        self._report = report
        self.networks, self.optimizers = compact_network(DEFAULT_PANEL, loop)

    def batches(self, start: int, rank: int) -> Iterator[Batch]:
        """Open the patches, which are rendered the first time, and return batches of them."""
        if self._paired.manifest:
            return self._paired_batches(start, rank)
        self._report("opening training patches (the first time they are rendered, which takes minutes)")
        cache = open_cache(self._data, self._loop.seed)
        return batches(cache, self._augment, self._loop, start=start, rank=rank)

    def _paired_batches(self, start: int, rank: int) -> Iterator[Batch]:
        names = ("image", *TRUE_MODALITIES, "segmentation")
        found = read_manifest(Path(self._paired.manifest), "train", names)
        if not found:
            raise TrainingError(f"{self._paired.manifest} has no set in the split train")
        fields = [annotate(one.name, read_images(one, self._paired.shrink), scale=self._paired.zoom) for one in found]
        return stream(lambda step: self._cut(batch_rng(self._loop.seed, step, rank), fields), start)

    def _cut(self, rng: np.random.Generator, fields: list[Annotated]) -> Batch:
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
        """Return the split of the manifest, or real fields of another slide and held-out tiles, rendered."""
        if self._paired.manifest:
            samples = manifest_set(self._paired)
            return {"validation": samples} if samples else {}
        return {"field": field_set(self._data), "rendered": rendered_set(self._data, self._loop.seed)}

    def exported(self, network: nn.Module) -> Exported:
        """Return what a bundle is made of; see ``Task.exported``."""
        return exported_compact(network, DEFAULT_PANEL)


class _ExportedNetwork(nn.Module):
    """The compact network as a bundle runs it: a normalised image in, the channels of the panel out, in order."""

    def __init__(self, network: nn.Module, panel: Panel) -> None:
        super().__init__()
        self.network = network
        self.names = [channel.name for channel in panel.channels]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = segment_with(self.network)(image * 0.5 + 0.5)
        return tuple(outputs[name] for name in self.names)


def exported_compact(network: nn.Module, panel: Panel) -> Exported:
    """Return what a bundle of a compact network is made of: the watershed cuts its maps."""
    return Exported(
        network=_ExportedNetwork(network, panel).eval(),
        panel=panel,
        decoder="watershed",
        tile_px=TILE_PX,
        margin_px=MARGIN_PX,
        stride_px=STRIDE_PX,
    )


def compact_network(panel: Panel, loop: LoopOptions) -> tuple[dict[str, nn.Module], dict[str, Optimizer]]:
    """Return a new compact network and its optimizer, each under the name ``model``."""
    network = CompactNetwork(panel).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=loop.learning_rate, weight_decay=loop.weight_decay)
    return {MODEL: network}, {MODEL: optimizer}


def segment_with(network: nn.Module) -> Infer:
    """Return a function from RGB in [0, 1] to the maps that a bundle gives: modalities, ``segmentation`` and ``distance``."""

    def infer(image: Tensor) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = network((image - 0.5) / 0.5)
        shares = torch.softmax(outputs.pop("class_logits"), dim=1)
        return outputs | {"segmentation": torch.stack([shares[:, 2], shares[:, 3], shares[:, 1]], dim=1)}

    return infer
