"""Analyse many images one after the other: what fails is named and the others are done."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from counterstain.cli.console import Bars
from counterstain.cli.inputs import Input
from counterstain.errors import CounterstainError
from counterstain.inference.backend import Backend
from counterstain.outputs.folder import check_free, write_folder
from counterstain.outputs.record import read_record
from counterstain.outputs.summary import Failure
from counterstain.pipeline import AnalyzeOptions, analyze
from counterstain.slides.base import Slide
from counterstain.slides.opening import open_slide


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is done to every image of a run."""

    backend: Backend
    options: AnalyzeOptions
    out: Path
    formats: tuple[str, ...]
    mpp: float | None = None
    """Micrometres per pixel of the images; None takes what each file says."""
    overwrite: bool = False


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of a run."""

    records: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Output folder's name and the content of its ``analysis.json``."""
    failures: list[Failure] = field(default_factory=list)


def run_batch(
    inputs: list[Input], job: Job, outcome: Outcome, bars: Bars, on_error: Callable[[str, BaseException], None]
) -> None:
    """Analyse every input and add what came of it to ``outcome``.

    Only errors that belong to one input are passed over; anything else is a fault of this program and is raised.
    """
    for item in inputs:
        bars.begin(item.name)
        try:
            outcome.records.append((item.name, analyse_file(item, job, bars)))
        except (CounterstainError, OSError) as error:
            outcome.failures.append(Failure(name=item.name, source=str(item.path), error=str(error)))
            on_error(str(item.path), error)
        bars.end()


def analyse_file(item: Input, job: Job, bars: Bars) -> dict[str, Any]:
    """Analyse one file into its folder and return the content of its ``analysis.json``."""
    if not job.overwrite:
        check_free(job.out / item.name, job.formats, job.backend.manifest.panel)
    with open_slide(item.path, mpp=job.mpp, default_mpp=job.backend.manifest.mpp) as slide:
        return analyse_slide(slide, job, job.out / item.name, source=str(item.path), bars=bars)


def analyse_slide(slide: Slide, job: Job, folder: Path, *, source: str, bars: Bars) -> dict[str, Any]:
    """Analyse an open slide into ``folder`` and return the content of its ``analysis.json``."""
    analysis = replace(analyze(slide, job.backend, job.options, on_progress=bars.tiles), source=source)
    write_folder(analysis, folder, job.formats)
    content = read_record(folder)
    if content is None:
        raise OSError(f"{folder} was changed by another program while it was written")
    return content
