"""A recipe: everything a training run can be told. ``counterstain train CONFIG`` reads it from TOML, a table per class."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator

from counterstain.errors import UsageError
from counterstain.options import Line
from counterstain.training.networks.compact import CompactOptions
from counterstain.training.options import AugmentOptions, DataOptions, LoopOptions, LossOptions, PairedOptions
from counterstain.training.tasks.base import Task
from counterstain.training.tasks.compact import CompactTask
from counterstain.training.tasks.cyclegan import CycleGANTask, CycleGANTaskOptions
from counterstain.training.tasks.deepliif import DeepLIIFTask, DeepLIIFTaskOptions
from counterstain.training.tasks.distillation import DistillationTask, DistillationTaskOptions

Report = Callable[[str], None]


def _one_folder(name: str) -> str:
    if Path(name).name != name or name.startswith("."):
        raise ValueError("must be the name of a folder, without / and without a dot in front")
    return name


FolderName = Annotated[Line, AfterValidator(_one_folder)]
"""A folder inside another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """One training run."""

    name: FolderName = "compact"
    """Names the folder of the run and the bundle."""
    folder: Line = "runs"
    """Where the folder of the run is made."""
    task: Literal["compact", "deepliif", "distillation", "cyclegan"] = "compact"
    """What is learned."""
    network: CompactOptions = field(default_factory=CompactOptions)
    """Of the compact network, with or without a teacher."""
    data: DataOptions = field(default_factory=DataOptions)
    """Rendered patches, for the compact network without a set list."""
    paired: PairedOptions = field(default_factory=PairedOptions)
    """Real images, for every other task."""
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    losses: LossOptions = field(default_factory=LossOptions)
    """Of the compact network, with or without a teacher."""
    deepliif: DeepLIIFTaskOptions = field(default_factory=DeepLIIFTaskOptions)
    distillation: DistillationTaskOptions = field(default_factory=DistillationTaskOptions)
    cyclegan: CycleGANTaskOptions = field(default_factory=CycleGANTaskOptions)
    loop: LoopOptions = field(default_factory=LoopOptions)


def build_task(options: TrainOptions, report: Report) -> Task:
    """Return the task of a recipe with new networks, drawn from torch's generator.

    Raises
    ------
    UsageError
        The task needs a set list and has none, or its options contradict each other.
    """
    if options.task != "compact" and not options.paired.manifest:
        raise UsageError(f"the task {options.task} needs paired.manifest, the file that lists its images")
    return _TASKS[options.task](options, report)


_TASKS: dict[str, Callable[[TrainOptions, Report], Task]] = {
    "compact": lambda given, report: CompactTask(
        given.network, given.data, given.paired, given.augment, given.losses, given.loop, report
    ),
    "deepliif": lambda given, report: DeepLIIFTask(given.deepliif, given.paired, given.augment, given.loop),
    "distillation": lambda given, report: DistillationTask(
        given.distillation, given.network, given.paired, given.augment, given.losses, given.loop, report
    ),
    "cyclegan": lambda given, report: CycleGANTask(given.cyclegan, given.paired, given.augment, given.loop),
}
