"""Real schedulers and workers for tests, as processes of this machine."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


def wait_for(is_there, what, limit_s=120.0):
    """Return what ``is_there`` gives as soon as it gives something."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if found := is_there():
            return found
        time.sleep(0.05)
    raise TimeoutError(what)


@dataclass
class Processes:
    """A scheduler and its workers, all of which end with the block of ``running``."""

    folder: Path
    started: list[subprocess.Popen] = field(default_factory=list)
    """The scheduler, then the workers."""

    @property
    def file(self):
        return self.folder / "scheduler.json"

    @property
    def log(self):
        return self.folder / "dask.log"

    def start(self, *command, cwd=None):
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command, "--scheduler-file", str(self.file), "--no-dashboard"],
                stdout=log,
                stderr=log,
                cwd=cwd or self.folder,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        self.started.append(process)

    def start_worker(self, *, program=("-m", "dask", "worker"), cwd=None):
        """Start a worker, with a program of its own or in another folder."""
        self.start(*program, "--host", "127.0.0.1", "--no-nanny", "--nthreads", "1", cwd=cwd)


@contextmanager
def running(folder, workers=2):
    """Yield a scheduler with workers; its file is in ``folder``."""
    processes = Processes(folder)
    try:
        processes.start("-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0")
        wait_for(processes.file.exists, "the scheduler")
        for _ in range(workers):
            processes.start_worker()
        yield processes
    finally:
        for process in processes.started:
            process.kill()
        for process in processes.started:
            process.wait(timeout=30)
        processes.file.unlink(missing_ok=True)
