"""A run from its order to its outcome: find the images, analyse them, keep a log and sum up. Nothing is shown."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from counterstain.extras import require
from counterstain.jobs.batch import Job, run_batch
from counterstain.jobs.boundary import fault_of
from counterstain.jobs.fields import with_series
from counterstain.jobs.inputs import Input, find_inputs
from counterstain.jobs.listening import SILENCE, Listener
from counterstain.jobs.order import Order, job_of
from counterstain.jobs.outcome import Outcome, keep_log, sum_up
from counterstain.jobs.run_log import RunLog
from counterstain.results.record import Record
from counterstain.slides.base import Slide


def analyze_images(named: tuple[str, ...], order: Order, listener: Listener = SILENCE) -> Outcome[Record]:
    """Analyse the images behind files, folders and patterns, and return what came of each.

    Raises
    ------
    CounterstainError
        Nothing could be done at all; see ``job_of`` and ``find_inputs``.
    """
    job = job_of(order)
    inputs, faults = find_inputs(named)
    inputs = with_series(inputs, order.series)
    if order.shard:  # names are given to all images first, so that no two shards write to one folder
        inputs, faults = order.shard.of(inputs), order.shard.of(faults)
    outcome: Outcome[Record] = Outcome(out=order.out, log=RunLog(order.out, order.shard, listener))
    listener.started(len(inputs))
    with _spread(job, order) as spread, keep_log(outcome, order.told(), len(inputs), _model(job)):
        for name, error in faults:
            outcome.failed(fault_of(error).failure("", name))
            listener.failed(name, error)
        run_batch(inputs, spread, outcome, listener)
    return sum_up(outcome)


def analyze_slides(slides: Mapping[str, Slide], order: Order, listener: Listener = SILENCE) -> Outcome[Record]:
    """Analyse open slides, each under a text that says what it is, and return what came of each; see ``analyze_images``."""
    job = replace(job_of(order), opened=lambda path, **_: nullcontext(slides[str(path)]))
    inputs = [Input(path=Path(source), name=slide.name) for source, slide in slides.items()]
    outcome: Outcome[Record] = Outcome(out=order.out, log=RunLog(order.out, listener=listener))
    listener.started(len(inputs))
    with keep_log(outcome, order.told(), len(inputs), _model(job)):
        run_batch(inputs, job, outcome, listener)
    return sum_up(outcome)


@contextmanager
def _spread(job: Job, order: Order) -> Iterator[Job]:
    """Yield the job with the workers of the cluster that is named; as it is when none is."""
    if not order.cluster:
        yield job
        return
    require("work on a cluster", ("dask", "distributed", "zarr"), "cluster")
    from counterstain.jobs.spreading import spread

    with spread(job, order, order.cluster) as spread_job:
        yield spread_job


def _model(job: Job) -> dict[str, str]:
    manifest = job.backend.manifest
    return {"name": manifest.name, "version": manifest.version, "fingerprint": job.backend.fingerprint}
