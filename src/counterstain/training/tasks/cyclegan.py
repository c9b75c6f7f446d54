"""Learn to translate between two kinds of images of which no pair shows the same tissue (CycleGAN, Zhu et al., ICCV 2017).

The pool of earlier translations that the paper shows its discriminators is left out, so that a resumed run is the same run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from counterstain.errors import TrainingError, UsageError
from counterstain.training.checkpoint import MODEL
from counterstain.training.datasets.paired import ImageBatch, PairedSource, unpaired_batches
from counterstain.training.datasets.set_list import read_set_list
from counterstain.training.losses.cycle import CycleOptions, cycle_judgement, cycle_terms
from counterstain.training.networks.layers import GeneratorOptions, initialise
from counterstain.training.networks.names import generator
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
from counterstain.training.validate import Infer

_PLANES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleGANTaskOptions:
    """Two kinds of images, two generators, two discriminators."""

    source: str = "image"
    """Name of the first kind in the set list."""
    target: str = "marker"
    """Name of the second kind; sets need not have both."""
    translator: str = "resnet_9blocks"
    """Published name of both generators."""
    generator: GeneratorOptions = field(default_factory=lambda: GeneratorOptions(norm="instance", dropout=False))
    """As in the CycleGAN paper: instance normalisation, no dropout."""
    discriminator: DiscriminatorOptions = field(default_factory=lambda: DiscriminatorOptions(layers=3))
    """As in the CycleGAN paper: patches of 70 px."""
    objective: CycleOptions = field(default_factory=CycleOptions)


class CyclePair(nn.Module):
    """Two generators: ``there`` from source to target, ``back`` from target to source."""

    def __init__(self, options: CycleGANTaskOptions) -> None:
        super().__init__()
        self.there = generator(options.translator, _PLANES, _PLANES, options.generator)
        self.back = generator(options.translator, _PLANES, _PLANES, options.generator)

    def forward(self, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Translate both ways, there and back again, and each to its own kind; (n, 3, h, w) in [-1, 1] all."""
        to_target, to_source = self.there(source), self.back(target)
        return {
            "to target": to_target,
            "to source": to_source,
            "source returned": self.back(to_target),
            "target returned": self.there(to_source),
            "source kept": self.back(source),
            "target kept": self.there(target),
        }


class CycleGANTask:
    """See ``Task``."""

    def __init__(self, options: CycleGANTaskOptions, paired: PairedOptions, augment: AugmentOptions, loop: LoopOptions) -> None:
        if options.source == options.target:
            raise UsageError(f"cyclegan.source and cyclegan.target are both {options.source!r}; expected two kinds of images")
        self._options, self._paired, self._augment, self._loop = options, paired, augment, loop
        self._kinds = (options.source, options.target)
        try:
            pair = CyclePair(options)
        except ValueError as error:
            raise UsageError(f"the cyclegan options describe no model: {error}") from error
        judges = Discriminators(dict.fromkeys(self._kinds, _PLANES), options.discriminator)
        self.networks: dict[str, nn.Module] = {MODEL: pair, DISCRIMINATORS: judges}
        for network in self.networks.values():
            initialise(network)
        self.optimizers = {name: adam(network, loop.learning_rate) for name, network in self.networks.items()}

    def batches(self, start: int, rank: int) -> Iterator[ImageBatch]:
        """Read the set list and return batches in which the two kinds are of different fields."""
        found = read_set_list(Path(self._paired.manifest), "train", ())
        sources = {}
        for kind in self._kinds:
            fields = tuple(one for one in found if any(panel.name == kind for panel in one.panels))
            if not fields:
                raise TrainingError(f"{self._paired.manifest} has no set with {kind!r} in the split train")
            sources[kind] = PairedSource(fields=fields, names=(kind,), options=self._paired, augment=self._augment)
        return unpaired_batches(sources, self._loop, start=start, rank=rank)

    def steps(self, networks: Mapping[str, nn.Module], batch: ImageBatch) -> Iterator[Step]:
        """Yield the loss of the discriminators, then that of the generators."""
        source, target = self._kinds
        true = {name: to_signed(batch.images[name]) for name in self._kinds}
        outputs: dict[str, Tensor] = networks[MODEL](true[source], true[target])
        inferred = {source: outputs["to source"], target: outputs["to target"]}

        judges = networks[DISCRIMINATORS]
        on_true, on_fixed = judges(true), judges({name: image.detach() for name, image in inferred.items()})
        yield DISCRIMINATORS, cycle_judgement(on_true, on_fixed, self._options.objective)

        with frozen(self.networks[DISCRIMINATORS]) as judges:
            scores = judges(inferred)
        returned = {source: outputs["source returned"], target: outputs["target returned"]}
        kept = {source: outputs["source kept"], target: outputs["target kept"]} if self._options.objective.identity else {}
        yield MODEL, cycle_terms(true, returned, kept, scores, self._options.objective)

    def infer(self, network: nn.Module) -> Infer:
        """Return the translation from source to target, under the name of the target."""

        def infer(image: Tensor) -> dict[str, Tensor]:
            return {self._options.target: to_unit(network.get_submodule("there")(to_signed(image)))}

        return infer

    def example(self, batch: ImageBatch) -> Tensor:
        """Return the source images of a batch."""
        return batch.images[self._options.source]

    def validation(self) -> dict[str, list[Sample]]:
        """Return nothing: without pairs nothing can be scored."""
        return {}

    def exported(self, network: nn.Module) -> Exported:
        """Raise ``TrainingError``: a bundle is for counting, and a translation infers no nuclei."""
        raise TrainingError("a run of unpaired translation infers no nuclei, so no bundle is made of it")
