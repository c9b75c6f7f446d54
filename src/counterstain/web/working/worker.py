"""A worker: claims one job after the other until it is told to stop. Any number of them may share a database."""

import logging
import threading

from sqlalchemy import Engine, RowMapping

from counterstain.web.settings import ServiceSettings
from counterstain.web.store.queue import claim, end, give_back
from counterstain.web.working.lease import Lease, StoppedError, patiently
from counterstain.web.working.running import problem_of, run_job

LOG = logging.getLogger("counterstain.worker")

IDLE_S = 0.5
"""How long a worker waits before it looks for work again."""

GIVEN_UP = {
    "detail": "the work on this image ended its process each time; it may need more memory than there is",
    "remedies": [],
}


def work(settings: ServiceSettings, engine: Engine, closing: threading.Event) -> None:
    """Do jobs until ``closing`` is set; the job at hand is then left to the next worker, which goes on with it."""
    while not closing.is_set():
        claimed = patiently(lambda: claim(engine, settings.lease_s), closing)
        if claimed is None:
            closing.wait(IDLE_S)
        else:
            do_job(settings, engine, claimed, closing)


def do_job(settings: ServiceSettings, engine: Engine, claimed: RowMapping, closing: threading.Event) -> None:
    """Do a claimed job, and write down how it ended."""
    lease = Lease(engine=engine, claimed=claimed, lease_s=settings.lease_s, closing=closing)
    name = claimed["job_id"]
    if claimed["is_cancelled"]:
        patiently(lambda: end(engine, claimed, "cancelled"), closing)
        return
    if claimed["attempts"] > settings.attempts:
        LOG.error("job %s: given up after %d attempts", name, claimed["attempts"] - 1)
        patiently(lambda: end(engine, claimed, "failed", GIVEN_UP), closing)
        return
    LOG.info("job %s: begun", name)
    try:
        with lease.renewed():
            problem = _tried(settings, lease)
    except StoppedError:
        LOG.info("job %s: stopped (%s)", name, lease.reason)
        if lease.reason == "cancelled":
            patiently(lambda: end(engine, claimed, "cancelled"), closing)
        elif lease.reason == "closing":
            give_back(engine, claimed)
        return
    is_ours = patiently(lambda: end(engine, claimed, "failed" if problem else "done", problem), closing)
    LOG.info("job %s: %s%s", name, "failed" if problem else "done", "" if is_ours else ", but another worker has it now")


def _tried(settings: ServiceSettings, lease: Lease) -> dict[str, object] | None:
    """Return why a job failed; whatever goes wrong with one job, the worker goes on with the next."""
    try:
        return run_job(settings, lease)
    except Exception as error:
        LOG.exception("job %s failed", lease.claimed["job_id"])
        return problem_of(error, {str(settings.data): "the store"})
