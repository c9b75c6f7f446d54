"""Teach the compact network what a trained model answers on unlabelled IHC images.

The teacher is any bundle. It answers once per image, tile by tile as when it analyses a slide; the student then learns from
random squares of these answers.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from counterstain.cells.decoders.watershed import Watershed
from counterstain.errors import TrainingError, UsageError
from counterstain.geometry import DEFAULT_MPP, Box
from counterstain.inference.backend import Backend
from counterstain.inference.names import load_backend
from counterstain.inference.run import grid_of, infer
from counterstain.panel import DEFAULT_PANEL, DISTANCE, SEGMENTATION, Panel
from counterstain.slides.array import ArraySlide
from counterstain.stitching.canvas import stitch
from counterstain.training.checkpoint import MODEL
from counterstain.training.datasets.paired import ImageBatch, Images, PairedSource, paired_batches, read_images
from counterstain.training.datasets.set_list import read_set_list
from counterstain.training.losses.distillation import distillation_terms
from counterstain.training.networks.compact import CompactOptions
from counterstain.training.options import AugmentOptions, LoopOptions, LossOptions, PairedOptions
from counterstain.training.synthesis.render import Sample
from counterstain.training.synthesis.targets import distance_image
from counterstain.training.tasks.base import Exported, Step
from counterstain.training.tasks.compact import compact_network, exported_compact, segment_with
from counterstain.training.validate import Infer, listed_set


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationTaskOptions:
    """Who teaches."""

    teacher: str = "default"
    """Name of a model, or path of a bundle; it infers a segmentation at 0.25 um/px."""


def student_panel(teacher: Panel) -> Panel:
    """Return the channels of the default panel that the teacher knows, the segmentation, and the distance.

    Raises
    ------
    UsageError
        The teacher infers no segmentation.
    """
    names = {channel.name for channel in teacher.channels}
    if SEGMENTATION.name not in names:
        raise UsageError(f"the teacher infers no segmentation, but {sorted(names)}; choose another distillation.teacher")
    modalities = tuple(channel for channel in DEFAULT_PANEL.modalities if channel.name in names)
    marker = DEFAULT_PANEL.marker if DEFAULT_PANEL.marker in names else None
    return Panel(channels=(*modalities, SEGMENTATION, DISTANCE), marker=marker)


class DistillationTask:
    """See ``Task``.

    Parameters
    ----------
    report : receives a line for every image that the teacher has answered.
    """

    def __init__(
        self,
        options: DistillationTaskOptions,
        network: CompactOptions,
        paired: PairedOptions,
        augment: AugmentOptions,
        losses: LossOptions,
        loop: LoopOptions,
        report: Callable[[str], None],
    ) -> None:
        self._paired, self._augment, self._losses, self._loop, self._report = paired, augment, losses, loop, report
        self._stride_px = network.stride_px
        self._teacher = load_backend(options.teacher)
        if abs(self._teacher.manifest.mpp - DEFAULT_MPP) > 1e-6:
            raise UsageError(f"the teacher works at {self._teacher.manifest.mpp} um/px, the student at {DEFAULT_MPP}")
        self._panel = student_panel(self._teacher.manifest.panel)
        self.networks, self.optimizers = compact_network(self._panel, network, loop)

    def batches(self, start: int, rank: int) -> Iterator[ImageBatch]:
        """Ask the teacher about every image and return batches of its answers."""
        found = read_set_list(Path(self._paired.manifest), "train", ("image",))
        if not found:
            raise TrainingError(f"{self._paired.manifest} has no set in the split train")
        fields = []
        for number, one in enumerate(found, start=1):
            fields.append(ask_teacher(read_images(one, self._paired.shrink)["image"], self._teacher, self._panel))
            self._report(f"the teacher has answered {number} of {len(found)} images")
        names = ("image", *(channel.name for channel in self._panel.channels))
        source = PairedSource(fields=tuple(fields), names=names, options=self._paired, augment=self._augment)
        return paired_batches(source, self._loop, start=start, rank=rank)

    def steps(self, networks: Mapping[str, nn.Module], batch: ImageBatch) -> Iterator[Step]:
        """Yield the only loss."""
        outputs = networks[MODEL]((batch.images["image"] - 0.5) / 0.5)
        yield MODEL, distillation_terms(outputs, batch.images, self._losses)

    def infer(self, network: nn.Module) -> Infer:
        """Return what the student infers."""
        return segment_with(network)

    def example(self, batch: ImageBatch) -> Tensor:
        """Return the images of a batch."""
        return batch.images["image"]

    def validation(self) -> dict[str, list[Sample]]:
        """Return the validation split, whose sets have a true segmentation."""
        samples = listed_set(self._paired)
        return {"validation": samples} if samples else {}

    def exported(self, network: nn.Module) -> Exported:
        """Return what a bundle of the student is made of; see ``Task.exported``."""
        return exported_compact(network, self._panel, self._stride_px)


def ask_teacher(image: NDArray[np.uint8], teacher: Backend, panel: Panel) -> Images:
    """Return an image with the teacher's answers.

    Parameters
    ----------
    image : (h, w, 3) uint8 at the teacher's resolution.
    panel : what to keep; fluorescence of three planes becomes one by its maximum. Where the teacher infers no distance, it is
        measured in the nuclei that its segmentation is cut into.

    Returns
    -------
    ``image`` and every channel of the panel, (h, w, planes) uint8.
    """
    slide = ArraySlide(np.ascontiguousarray(image))
    grid, own = grid_of(slide, teacher.manifest), teacher.manifest.panel
    maps = stitch(infer(slide, teacher, grid), size=grid.size, mpp=teacher.manifest.mpp, panel=own)
    answers = {name: plane.as_bytes(Box.whole(grid.size)) for name, plane in maps.planes.items()}
    if DISTANCE.name not in answers:
        segmentation = answers[SEGMENTATION.name].astype(np.float32) / np.float32(255)
        nuclei = Watershed(mpp=teacher.manifest.mpp)(segmentation, None)
        answers[DISTANCE.name] = (distance_image(nuclei.labels) * 255).round().astype(np.uint8)[..., None]
    return {"image": image} | {channel.name: _with_planes(answers[channel.name], channel.planes) for channel in panel.channels}


def _with_planes(values: NDArray[np.uint8], planes: int) -> NDArray[np.uint8]:
    if values.shape[2] == planes:
        return values
    grey = values.max(axis=2, keepdims=True)
    return np.repeat(grey, planes, axis=2)
