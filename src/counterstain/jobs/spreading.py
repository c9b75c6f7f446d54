"""The work of a run on the workers of a cluster. Needs the packages of the extra ``cluster``: imported only when it is used."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from counterstain.cluster import cluster_at, model_at
from counterstain.jobs.batch import Job
from counterstain.jobs.order import Order

SLIDES_AT_ONCE = 3
"""Slides at work at once: one whose results are written, one whose last tiles or blocks are done, one for all other workers.
The process that asks holds the tables of that many in memory."""


@contextmanager
def spread(job: Job, order: Order, address: str) -> Iterator[Job]:
    """Yield the job with the workers of the scheduler at an address."""
    model = model_at(
        job.backend,
        order.bundle,
        batch_size=job.options.batch_size,
        threads=order.threads,
        engine=order.engine,
        precision=order.precision,
    )
    with cluster_at(address, model) as cluster:
        yield replace(job, workers_for=cluster.workers_for, at_once=SLIDES_AT_ONCE, stop=cluster.stop)
