"""Analyse many images, one after the other or some at once; an image that fails is named, and the others are done."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from counterstain.files import claimed
from counterstain.inference.backend import Backend
from counterstain.jobs.boundary import attempt
from counterstain.jobs.inputs import Input
from counterstain.jobs.kept import kept_result
from counterstain.jobs.listening import ImageListener, Listener
from counterstain.jobs.outcome import Outcome
from counterstain.outputs.names import formats_for, needs_modalities
from counterstain.panel import OUTLINE_PX
from counterstain.passes.workers import Workers
from counterstain.pipeline import AnalyzeOptions, analyze
from counterstain.progress import OnProgress, Progress
from counterstain.results.folder import check_apart, check_free, homes, write_folder
from counterstain.results.record import FILE_NAME, Record, read_record
from counterstain.scoring.region_files import read_regions
from counterstain.scoring.regions import NO_REGIONS, Regions
from counterstain.slides.base import Slide, size_at
from counterstain.slides.opening import as_unicode, open_slide
from counterstain.stitching.work import SETTINGS, TILES, discard


def _no_others(path: Path, slide: Slide, mpp: float | None) -> None:
    """Leave the work on a slide to this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is done to every image of a run."""

    backend: Backend
    options: AnalyzeOptions
    out: Path
    formats: tuple[str, ...]
    formats_named: bool = True
    """Whether the user named them; if not, those that a large slide cannot be written in are left out."""
    mpp: float | None = None
    """Micrometres per pixel of the images; None takes what each file says."""
    overwrite: bool = False
    outline_px: int = OUTLINE_PX
    """Width of the outlines of nuclei on the overlay."""
    regions: Path | None = None
    """File of the parts of every slide that are scored on their own."""
    workers_for: Callable[[Path, Slide, float | None], Workers | None] = _no_others
    """Takes the path of a slide, the open slide and ``mpp``; returns the workers that do the work, None for this process."""
    opened: Callable[..., AbstractContextManager[Slide]] = open_slide
    """Takes the path of an image, ``mpp``, ``default_mpp`` and ``series``; returns the open slide, as ``open_slide`` does."""
    at_once: int = 1
    """Images that are at work at the same time, each in a thread of its own; only other processes make that faster."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the run is interrupted; all threads that work for it then stop soon."""


def run_batch(inputs: list[Input], job: Job, outcome: Outcome[Record], listener: Listener) -> None:
    """Analyse every input and add what came of it to ``outcome``, in the order of the inputs.

    An error that one input causes is reported, and the others are analysed all the same.
    """
    inhabited = homes([item.path for item in inputs])

    def one(item: Input) -> None:
        heard = listener.begin(item.name)
        fault = attempt(lambda: _claim_and_analyze(item, job, outcome, heard, inhabited))
        if fault:
            outcome.failed(fault.failure(item.name, item.path))
            listener.failed(str(item.path), fault.error)
        heard.end(failed=fault is not None)

    at_once(one, inputs, job.at_once, job.stop)
    order = {item.name: number for number, item in enumerate(inputs)}
    outcome.records.sort(key=lambda record: order[record[0]])
    outcome.failures.sort(key=lambda failed: order.get(failed.name, -1))  # first what was named and is not there


def at_once(work: Callable[[Input], None], inputs: list[Input], threads: int, stop: threading.Event) -> None:
    """Work on inputs in their order, on several at once where more than one thread is asked for.

    When an input raises, or Ctrl-C is pressed, ``stop`` is set, no further input is begun and the error is raised as soon as
    those at work have stopped.
    """
    if threads == 1:
        for item in inputs:
            work(item)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="slide") as pool:
        futures = [pool.submit(work, item) for item in inputs]
        try:
            for future in as_completed(futures):
                future.result()
        finally:
            if not all(future.done() for future in futures):
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)


def _claim_and_analyze(
    item: Input, job: Job, outcome: Outcome[Record], heard: ImageListener, inhabited: frozenset[Path]
) -> None:
    """Analyse one file while nobody else may write to its folder."""
    check_apart(job.out / item.name, inhabited)
    with claimed(job.out / item.name):
        analyze_file(item, job, outcome, heard)


def analyze_file(item: Input, job: Job, outcome: Outcome[Record], heard: ImageListener) -> None:
    """Analyse one file into its folder, unless that holds the result already."""
    folder = job.out / item.name
    remove_finished_work(folder)
    with job.opened(item.path, mpp=job.mpp, default_mpp=job.backend.manifest.mpp, series=item.series) as slide:
        kept = None if job.overwrite else earlier_result(slide, job, folder)
        if kept:
            outcome.was_done(item.name, kept)
            return
        workers, source = job.workers_for(item.path, slide, job.mpp), as_unicode(item.path)
        outcome.done(item.name, analyze_slide(slide, job, folder, source=source, heard=heard, workers=workers))


def earlier_result(slide: Slide, job: Job, folder: Path) -> Record | None:
    """Return the record of the result that this job would write, where it is there; None where there is room for it.

    Raises
    ------
    OutputError
        Something else is in the way.
    """
    formats = _formats(slide, job)
    kept = kept_result(folder, slide, job.backend, job.options, _regions(slide, job), formats)
    if kept is None:
        check_free(folder, formats, job.backend.manifest.panel)
    return kept


def analyze_slide(
    slide: Slide, job: Job, folder: Path, *, source: str, heard: ImageListener, workers: Workers | None = None
) -> Record:
    """Analyse an open slide into ``folder`` and return the content of its ``analysis.json``.

    A large slide keeps what is done in a hidden folder beside it, where the next run finds it when this one is interrupted.
    """
    formats = _formats(slide, job)
    options = replace(job.options, modalities=needs_modalities(formats), restart=job.overwrite)
    work = work_of(folder)
    analysis = analyze(
        slide,
        job.backend,
        options,
        regions=_regions(slide, job),
        work=work,
        on_progress=_stoppable(heard.step, job.stop),
        workers=workers,
    )
    left_out = _left_out(job.formats, formats)
    analysis = replace(analysis, source=source, outline_px=job.outline_px, warnings=(*analysis.warnings, *left_out))
    if not job.overwrite:
        check_free(folder, formats, job.backend.manifest.panel)  # another run may have been faster
    write_folder(analysis, folder, formats)
    with suppress(OSError):
        discard(work)  # the maps of a large slide, which went on disk
    content = read_record(folder)
    if content is None:
        raise OSError(f"{folder} was changed by another program while it was written")
    return content


def work_of(folder: Path) -> Path:
    """Return the folder of work of the slide whose result goes to ``folder``."""
    return folder.with_name(f".{folder.name}.work")


def remove_finished_work(folder: Path) -> None:
    """Remove the folder of work of a run that was killed after writing its result; one newer than the result is unfinished."""
    work, result = work_of(folder), folder / FILE_NAME
    if not (result.is_file() and work.is_dir()):
        return
    logs = [path for path in (work / SETTINGS, work / TILES) if path.exists()]
    if all(path.stat().st_mtime_ns <= result.stat().st_mtime_ns for path in logs):
        with suppress(OSError):
            discard(work)


def _stoppable(tell: OnProgress, stop: threading.Event) -> OnProgress:
    """Return a ``tell`` that also ends the work, as Ctrl-C does, once the run is to stop."""

    def told(progress: Progress) -> None:
        tell(progress)
        if stop.is_set():
            raise KeyboardInterrupt

    return told


def _regions(slide: Slide, job: Job) -> Regions:
    return read_regions(job.regions, slide.resolution.sides) if job.regions else NO_REGIONS


def _formats(slide: Slide, job: Job) -> tuple[str, ...]:
    """Return the formats that the slide is written in."""
    return formats_for(job.formats, size_at(slide, job.backend.manifest.mpp).area, named=job.formats_named)


def _left_out(asked: tuple[str, ...], written: tuple[str, ...]) -> tuple[str, ...]:
    missing = [name for name in asked if name not in written]
    return (f"the slide is too large for pictures of it; not written: {', '.join(missing)}",) if missing else ()
