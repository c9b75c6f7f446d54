"""Learn the model of the DeepLIIF paper from co-registered sets: all generators against all discriminators."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from counterstain.errors import TrainingError, UsageError
from counterstain.panel import DEFAULT_PANEL, SEGMENTATION, Channel, Panel
from counterstain.training.checkpoint import MODEL
from counterstain.training.datasets.paired import ImageBatch, PairedSource, paired_batches
from counterstain.training.datasets.set_list import read_set_list
from counterstain.training.losses.objective import (
    ObjectiveOptions,
    segmentation_judgement,
    segmentation_terms,
    translation_judgement,
    translation_terms,
)
from counterstain.training.losses.perceptual import PerceptualLoss, load_perceptual
from counterstain.training.networks.deepliif import INPUT, DeepLIIFNetwork, DeepLIIFOptions
from counterstain.training.networks.layers import initialise
from counterstain.training.options import AugmentOptions, LoopOptions, PairedOptions
from counterstain.training.synthesis.render import Sample
from counterstain.training.tasks.adversarial import (
    DISCRIMINATORS,
    DiscriminatorOptions,
    Discriminators,
    adam,
    frozen,
    to_signed,
    to_unit,
)
from counterstain.training.tasks.base import Exported, Step
from counterstain.training.validate import Infer, listed_set

PAPER_TILE_PX, PAPER_MARGIN_PX = 512, 32
"""A margin of a sixteenth of the tile on each side, as the published software overlaps its tiles."""

_SEGMENTED = "segmentation"
_JUDGED = "segmentation beside "


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepLIIFTaskOptions:
    """The composed model, its discriminators and its objective."""

    modalities: tuple[str, ...] = ("hematoxylin", "dapi", "lap2", "marker")
    """Names of the inferred images, none to ten, as the set list calls them."""
    inputs: tuple[str, ...] = ("image",)
    """Names of the input images, stacked in this order."""
    segmentation: bool = True
    """Whether nuclei are segmented too."""
    network: DeepLIIFOptions = field(default_factory=DeepLIIFOptions)
    discriminator: DiscriminatorOptions = field(default_factory=DiscriminatorOptions)
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)


def deepliif_panel(options: DeepLIIFTaskOptions) -> Panel:
    """Return what the model infers: RGB images, as the published software has them, then the segmentation.

    Raises
    ------
    UsageError
        A name cannot be that of a channel, or is there twice.
    """
    titles = {channel.name: channel.title for channel in DEFAULT_PANEL.modalities}
    marker = "marker" if "marker" in options.modalities else None
    try:
        channels = [Channel(name=name, planes=3, title=titles.get(name, name)) for name in options.modalities]
        return Panel(channels=(*channels, *((SEGMENTATION,) if options.segmentation else ())), marker=marker)
    except ValueError as error:
        raise UsageError(f"deepliif.modalities cannot be channels: {error}") from error


def deepliif_network(options: DeepLIIFTaskOptions) -> DeepLIIFNetwork:
    """Return the generators with new weights.

    Raises
    ------
    UsageError
        The options describe no model.
    """
    if len(options.inputs) != options.network.inputs:
        raise UsageError(
            f"deepliif.inputs names {len(options.inputs)} images, deepliif.network.inputs is {options.network.inputs}"
        )
    try:
        network = DeepLIIFNetwork(deepliif_panel(options), options.network)
    except ValueError as error:
        raise UsageError(f"the deepliif options describe no model: {error}") from error
    initialise(network)
    return network


class DeepLIIFTask:
    """See ``Task``."""

    def __init__(self, options: DeepLIIFTaskOptions, paired: PairedOptions, augment: AugmentOptions, loop: LoopOptions) -> None:
        self._options, self._paired, self._augment, self._loop = options, paired, augment, loop
        model = deepliif_network(options)
        self._weights, self._stride_px = dict(model.weights), model.stride_px
        if paired.crop_px % model.stride_px:
            raise UsageError(f"paired.crop_px = {paired.crop_px} must be a multiple of {model.stride_px} for these generators")
        condition = 3 * len(options.inputs)
        planes = dict.fromkeys(options.modalities, condition + 3)
        planes |= {_JUDGED + source: 3 + (condition if source == INPUT else 3) for source in self._weights}
        judges = Discriminators(planes, options.discriminator)
        initialise(judges)
        self.networks: dict[str, nn.Module] = {MODEL: model, DISCRIMINATORS: judges}
        self.optimizers = {name: adam(network, loop.learning_rate) for name, network in self.networks.items()}
        self._perceptual: PerceptualLoss | None = None

    def batches(self, start: int, rank: int) -> Iterator[ImageBatch]:
        """Read the weights of the perceptual loss and the set list, and return batches of its training split."""
        self._read_perceptual()
        names = (*self._options.inputs, *self._options.modalities, *((_SEGMENTED,) if self._options.segmentation else ()))
        found = read_set_list(Path(self._paired.manifest), "train", names)
        if not found:
            raise TrainingError(f"{self._paired.manifest} has no set in the split train")
        source = PairedSource(fields=found, names=names, options=self._paired, augment=self._augment)
        return paired_batches(source, self._loop, start=start, rank=rank)

    def steps(self, networks: Mapping[str, nn.Module], batch: ImageBatch) -> Iterator[Step]:
        """Yield the loss of the discriminators, then that of the generators they just learned to judge."""
        objective = self._options.objective
        true = {name: to_signed(image) for name, image in batch.images.items()}
        condition = torch.cat([true[name] for name in self._options.inputs], dim=1)
        inferred: dict[str, Tensor] = networks[MODEL](condition)

        judges = networks[DISCRIMINATORS]
        fixed = {name: image.detach() for name, image in inferred.items()}
        on_true, on_fixed = judges(self._pairs(condition, true, true)), judges(self._pairs(condition, true, fixed))
        terms = translation_judgement(self._translations(on_true), self._translations(on_fixed), objective)
        terms |= segmentation_judgement(self._segmentations(on_true), self._segmentations(on_fixed), self._weights, objective)
        yield DISCRIMINATORS, terms

        with frozen(self.networks[DISCRIMINATORS]) as judges:
            scores = judges(self._pairs(condition, true, inferred))
        modalities = {name: true[name] for name in self._options.modalities}
        terms = translation_terms(inferred, modalities, self._translations(scores), objective, self._perceptual_on(condition))
        if self._options.segmentation:
            judged = self._segmentations(scores)
            terms |= segmentation_terms(inferred[_SEGMENTED], true[_SEGMENTED], judged, self._weights, objective)
        yield MODEL, terms

    def _pairs(self, condition: Tensor, true: Mapping[str, Tensor], judged: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what each discriminator sees: a modality beside the input, the segmentation beside each of its sources."""
        pairs = {name: torch.cat([condition, judged[name]], dim=1) for name in self._options.modalities}
        for source in self._weights:
            beside = condition if source == INPUT else true[source]
            pairs[_JUDGED + source] = torch.cat([beside, judged[_SEGMENTED]], dim=1)
        return pairs

    def _translations(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: scores[name] for name in self._options.modalities}

    def _segmentations(self, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {source: scores[_JUDGED + source] for source in self._weights}

    def _perceptual_on(self, image: Tensor) -> PerceptualLoss | None:
        perceptual = self._read_perceptual()
        return perceptual.to(image.device) if perceptual else None

    def _read_perceptual(self) -> PerceptualLoss | None:
        """Return the perceptual loss; its weights are read once, and not by a task that is built to be exported."""
        self._perceptual = self._perceptual or load_perceptual(self._options.objective.perceptual)
        return self._perceptual

    def infer(self, network: nn.Module) -> Infer:
        """Return what the generators infer, without the parts of the segmentation."""
        names = [channel.name for channel in deepliif_panel(self._options).channels]

        def infer(image: Tensor) -> dict[str, Tensor]:
            outputs = network(to_signed(image))
            return {name: to_unit(outputs[name]) for name in names}

        return infer

    def example(self, batch: ImageBatch) -> Tensor:
        """Return the input images of a batch."""
        return torch.cat([batch.images[name] for name in self._options.inputs], dim=1)

    def validation(self) -> dict[str, list[Sample]]:
        """Return the validation split, where nuclei of a single ``image`` are segmented."""
        samples = listed_set(self._paired) if self._options.segmentation and self._options.inputs == ("image",) else []
        return {"validation": samples} if samples else {}

    def exported(self, network: nn.Module) -> Exported:
        """Return what a bundle of the generators is made of; see ``Task.exported``."""
        if len(self._options.inputs) != 1:
            raise TrainingError(f"a bundle reads one image at a time, and this run reads {', '.join(self._options.inputs)}")
        return exported_deepliif(network, deepliif_panel(self._options), self._stride_px)


class _ExportedNetwork(nn.Module):
    """The composed model as a bundle runs it; answers in [-1, 1] become [0, 1]."""

    def __init__(self, network: nn.Module, panel: Panel) -> None:
        super().__init__()
        self.network = network
        self.names = [channel.name for channel in panel.channels]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(image)
        return tuple((outputs[name] + 1) / 2 for name in self.names)


def exported_deepliif(network: nn.Module, panel: Panel, stride_px: int) -> Exported:
    """Return what a bundle of a composed model is made of: tiles, margins and decoder as published."""
    return Exported(
        network=_ExportedNetwork(network, panel).eval(),
        panel=panel,
        decoder="deepliif",
        tile_px=max(PAPER_TILE_PX, stride_px),
        margin_px=PAPER_MARGIN_PX,
        stride_px=stride_px,
    )
