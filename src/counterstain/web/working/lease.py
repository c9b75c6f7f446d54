"""A claimed job: its lease is renewed while the work goes on, and the work ends when the job is no longer wanted."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from sqlalchemy import Engine, RowMapping
from sqlalchemy.exc import DBAPIError

from counterstain.web.store.queue import renew

LOG = logging.getLogger("counterstain.worker")

Reason = Literal["", "cancelled", "lost", "closing"]

RETRY_S = 2.0

Result = TypeVar("Result")


class StoppedError(KeyboardInterrupt):
    """Ends the work on an image as Ctrl-C does, so that nothing on the way takes it for a fault of the image."""


@dataclass(slots=True, kw_only=True)
class Lease:
    """A job that this process holds."""

    engine: Engine
    claimed: RowMapping
    lease_s: float
    closing: threading.Event
    """Set when the process is to end."""
    reason: Reason = ""
    """Why the work is to end; empty while it is to go on."""
    _ended: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise where the work is to end.

        Raises
        ------
        StoppedError
            The job was cancelled, another worker has it, or this one is closing.
        """
        if self.closing.is_set() and not self.reason:
            self.reason = "closing"
        if self.reason:
            raise StoppedError(self.reason)

    def _renew(self) -> None:
        while not self._ended.wait(self.lease_s / 4):
            try:
                held = renew(self.engine, self.claimed, self.lease_s)
            except DBAPIError as error:
                LOG.warning("job %s: the database does not answer: %s", self.claimed["job_id"], type(error.orig).__name__)
                continue
            if held != "held":
                self.reason = held
                return

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease in a thread of its own while the block runs."""
        thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()


def patiently(work: Callable[[], Result], closing: threading.Event) -> Result:
    """Return what a call of the database gives; while the database does not answer, ask again until this process closes.

    Raises
    ------
    DBAPIError
        It did not answer, and the process closes.
    """
    while True:
        try:
            return work()
        except DBAPIError as error:
            LOG.warning("the database does not answer: %s", type(error.orig).__name__)
            if closing.wait(RETRY_S):
                raise
