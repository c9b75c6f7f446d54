"""Workers that live as long as the server: they are started with it, started again when they die, and end with it."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from counterstain.web.settings import ServiceSettings
from counterstain.web.working.process import packed

LOG = logging.getLogger("counterstain.web")

LOOKED_AFTER_EVERY_S = 1.0
GRACE_S = 20.0
"""How long a worker may take to reach a place where its job can go on later."""


@contextmanager
def children(settings: ServiceSettings, count: int) -> Iterator[None]:
    """Keep so many workers alive while the block runs."""
    closing = threading.Event()
    thread = threading.Thread(target=_look_after, args=(settings, count, closing), name="workers")
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join()


def _look_after(settings: ServiceSettings, count: int, closing: threading.Event) -> None:
    alive = [_start(settings) for _ in range(count)]
    while not closing.wait(LOOKED_AFTER_EVERY_S):
        for place, child in enumerate(alive):
            if child.poll() is not None:
                LOG.warning("worker %d ended (exit %s); another one is started", child.pid, child.returncode)
                alive[place] = _start(settings)
    for child in alive:
        _let_go(child)
    for child in alive:
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _start(settings: ServiceSettings) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "counterstain.web.working.process"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)  # noqa: S603 (our own module)
    if child.stdin is not None:
        child.stdin.write(packed(settings) + "\n")
        child.stdin.flush()
    return child


def _let_go(child: subprocess.Popen[str]) -> None:
    if child.stdin is not None:
        child.stdin.close()
