"""What ``analyze`` and ``demo`` do once their options are read: check everything, run, report."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from counterstain.cells.segment import CellOptions
from counterstain.cli.console import show_error, show_summary, show_warning, visible
from counterstain.cli.progress import OnTheConsole, listening
from counterstain.extras import install_command, require
from counterstain.files import explained
from counterstain.geometry import mpp_of_magnification
from counterstain.inference.names import load_backend
from counterstain.jobs.batch import Job, Outcome, run_batch
from counterstain.jobs.boundary import fault_of
from counterstain.jobs.document import document
from counterstain.jobs.fields import with_series
from counterstain.jobs.inputs import find_inputs
from counterstain.jobs.listening import SILENCE, Listener
from counterstain.jobs.run_log import RunLog
from counterstain.outputs.names import check_formats, default_formats, skipped_formats
from counterstain.pipeline import AnalyzeOptions
from counterstain.results.summary import write_summary
from counterstain.scoring.names import DEFAULT, scorers
from counterstain.scoring.region_files import read_regions

SLIDES_AT_ONCE = 3
"""On a cluster: one whose results are written, one whose last tiles or blocks are done, and one for all other workers. The
command holds the tables of as many."""

CELL_OPTIONS = ("decoder", "threshold", "marker_threshold", "min_area_um2", "max_area_um2")


def analyze_paths(named: tuple[str, ...], out: Path, settings: Mapping[str, Any]) -> bool:
    """Analyse what was named and return whether anything failed.

    Raises
    ------
    CounterstainError
        Nothing could be done at all: an unknown model or format, a damaged bundle, an output folder that cannot be made.
    """
    job, shard = make_job(out, settings), settings.get("shard")
    inputs, faults = find_inputs(named)
    inputs = with_series(inputs, settings.get("series"))
    if shard:  # names are given to all images first, so that no two shards write to one folder
        inputs, faults = shard.of(inputs), shard.of(faults)
    outcome = Outcome(
        failures=[fault_of(error).failure("", name) for name, error in faults],
        log=RunLog(out, shard, OnTheConsole(SILENCE)),
    )
    for name, error in faults:
        show_error(name, error)
    with spread(job, settings) as job:
        run = lambda listener: run_batch(inputs, job, outcome, listener)  # noqa: E731
        return run_and_report(job, outcome, run, images=len(inputs), settings=settings)


@contextmanager
def spread(job: Job, settings: Mapping[str, Any]) -> Iterator[Job]:
    """Yield the job with the workers of the cluster that was named; as it is when none was."""
    if not settings.get("cluster"):
        yield job
        return
    require("--cluster", ("dask", "distributed", "zarr"), "cluster")
    from counterstain.cluster import cluster_at, model_at

    how = {name: settings[name] for name in ("threads", "engine", "precision")}
    model = model_at(job.backend, settings["bundle"], batch_size=job.options.batch_size, **how)
    with cluster_at(settings["cluster"], model) as cluster:
        yield replace(job, workers_for=cluster.workers_for, at_once=SLIDES_AT_ONCE, stop=cluster.stop)


def make_job(out: Path, settings: Mapping[str, Any]) -> Job:
    """Turn the options of a command into a ``Job``, with the model loaded and the output folder made."""
    formats = settings["formats"] or default_formats()
    check_formats(formats)
    if settings.get("regions"):
        read_regions(settings["regions"], mpp=1.0)  # a file that is wrong for every slide is refused before any work
    given = {name: settings[name] for name in CELL_OPTIONS if settings.get(name) is not None}
    scores = tuple(settings.get("scores") or DEFAULT)
    scorers(scores)  # an unknown name is refused before any work
    more = {name: settings[name] for name in ("max_damaged_share", "any_stain") if settings.get(name) is not None}
    options = AnalyzeOptions(cells=CellOptions(**given), scores=scores, threads=settings["threads"], **more)
    backend = load_backend(
        settings["bundle"], threads=settings["threads"], engine=settings["engine"], precision=settings["precision"]
    )
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
    mpp, magnification = settings.get("mpp"), settings.get("magnification")
    if magnification is not None:
        mpp = mpp_of_magnification(magnification)
    overwrite, regions = settings.get("overwrite", False), settings.get("regions")
    return Job(
        backend=backend,
        options=options,
        out=out,
        formats=tuple(formats),
        formats_named=bool(settings["formats"]),
        mpp=mpp,
        overwrite=overwrite,
        regions=regions,
    )


def run_and_report(
    job: Job, outcome: Outcome, run: Callable[[Listener], None], *, images: int, settings: Mapping[str, Any]
) -> bool:
    """Run with progress bars, write ``summary.csv``, show what came of it, and return whether anything failed."""
    quiet, as_json = settings["quiet"], settings["as_json"]
    model = {"name": job.backend.manifest.name, "version": job.backend.manifest.version, "fingerprint": job.backend.fingerprint}
    outcome.log.started(settings, model, images)
    for failure in outcome.failures:  # what was named and is not there
        outcome.log.failed(failure)
    with listening(images, quiet=quiet or as_json, as_json=settings.get("progress") == "json") as listener:
        try:
            run(listener)
        except KeyboardInterrupt:
            outcome.log.interrupted(len(outcome.records) - len(outcome.kept), len(outcome.failures))
            raise
    outcome.log.ended(len(outcome.records) - len(outcome.kept), len(outcome.failures))
    summary = write_summary(job.out, {name for name, _ in outcome.records} - outcome.kept, outcome.failures)
    if not quiet:
        show_warnings(outcome)
    if as_json:
        sys.stdout.write(json.dumps(document(job.out, outcome, summary), indent=2, ensure_ascii=True, allow_nan=False) + "\n")
    elif not quiet:
        show_table(job, outcome, defaults=not settings["formats"])
    return bool(outcome.failures)


def show_warnings(outcome: Outcome) -> None:
    """Write every warning with the name of its image to standard error."""
    for name, content in outcome.records:
        for message in content.warnings:
            show_warning(name, message)


def show_table(job: Job, outcome: Outcome, *, defaults: bool) -> None:
    """Write the table of results and where they are."""
    if outcome.records:
        show_summary(outcome.records)
    failed = f", {len(outcome.failures)} failed" if outcome.failures else ""
    kept = f", {len(outcome.kept)} kept from earlier runs" if outcome.kept else ""
    click.echo(f"{len(outcome.records) - len(outcome.kept)} done{kept}{failed}; results in {visible(str(job.out))}")
    if defaults and skipped_formats():
        click.echo(f"not written: {', '.join(skipped_formats())}; for it run: {install_command('slides')}")
