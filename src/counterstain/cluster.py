"""The two passes on the workers of a Dask cluster: the same tiles and blocks, in the same folder of work, as on one machine.

Only names, boxes, settings and sizes of nuclei travel. Pixels and maps go over a file system that the workers share with the
process that asks: each opens the slides and loads the model itself, once. Several slides may be at work at the same time, each
asked for from a thread of its own: the workers go on with the next while the last pieces of one are done and its results
written. A tile writes whole chunks of its own and a block a file of its own, so work that is done twice because a worker was
lost gives the same files as work that is done once.
"""

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from distributed import Client, Future, KilledWorker, LocalCluster, wait
from distributed.comm.core import CommClosedError
from numpy.typing import NDArray

from counterstain.cells.decoders.base import Decoder
from counterstain.cells.segment import Rules
from counterstain.errors import SlideError, UsageError
from counterstain.geometry import Box
from counterstain.inference.backend import Backend, available_threads
from counterstain.inference.names import BACKENDS, Engine
from counterstain.inference.openvino import Arithmetic
from counterstain.inference.stopwatch import Stopwatch
from counterstain.passes.workers import Errand
from counterstain.slides.base import Slide
from counterstain.tiling.grid import Tile
from counterstain.tiling.quality import TileQuality
from counterstain.versions import package_versions
from counterstain.worker import Model, Source, cut_block, find_block_sizes, infer_tiles

TILES_PER_TASK = 8
"""Tiles that a worker gets at a time: some seconds of work, which are lost when the worker is."""

RETRIES = 2
"""How often a task that fails is tried again, on any worker, before its slide fails."""

IN_FLIGHT = 256
"""Tasks of one slide that the scheduler knows of at a time, so that neither it nor the command grows with the slide."""

LOOK_S = 1.0
"""While waiting for a task: how often to check for an interrupted run, a lost scheduler or lost workers."""

WORKERS_WAIT_S = 600.0
"""How long a scheduler may be without any worker, as when they wait in the queue of a batch system."""

LOCAL = "local:"

DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""What workers of this machine run first. A terminal sends Ctrl-C to them too; they ignore it, as the command ends them."""

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A scheduler with its workers, and the model that they run."""

    client: Client
    model: Model
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the run is interrupted: threads that wait for a worker then raise ``KeyboardInterrupt``."""
    numbers: Iterator[int] = field(default_factory=count)
    """One for each slide; the workers go on with the one that came first."""

    def workers_for(self, path: Path, slide: Slide, mpp: float | None) -> "SlideWorkers":
        """Return the workers at the work of one slide.

        Parameters
        ----------
        path : of the slide's file, on a file system that the workers share.
        slide : the same, open.
        mpp : micrometres per pixel as the user said; None where the file says them.
        """
        source = Source.of(path, slide, mpp)
        return SlideWorkers(cluster=self, source=source, number=next(self.numbers))


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideWorkers:
    """The ``Workers`` of one slide."""

    cluster: Cluster
    source: Source
    number: int = 0

    @property
    def needs_folder(self) -> bool:
        """True: all that processes share is a file system."""
        return True

    def infer(
        self, tiles: Sequence[Tile], errand: Errand, stopwatch: Stopwatch
    ) -> Generator[tuple[Tile, TileQuality], None, None]:
        """Yield each tile when a worker has written its maps; see ``Workers.infer``."""
        groups = [tuple(tiles[first : first + TILES_PER_TASK]) for first in range(0, len(tiles), TILES_PER_TASK)]
        with stopwatch("network"), closing(self._spread(infer_tiles, groups, errand)) as done:
            for group in done:
                yield from group

    def find_sizes(self, blocks: Sequence[Box], decoder: Decoder, errand: Errand) -> Generator[NDArray[np.int64], None, None]:
        """Yield the sizes of the nuclei of each block; see ``Workers.find_sizes``."""
        return self._spread(find_block_sizes, blocks, errand, decoder=decoder)

    def cut(self, blocks: Sequence[Box], rules: Rules, errand: Errand) -> Generator[tuple[Box, int], None, None]:
        """Yield each block when a worker has written its table; see ``Workers.cut``."""
        return self._spread(cut_block, blocks, errand, rules=rules)

    def _spread(
        self, work: Callable[..., Done], parts: Sequence[Any], errand: Errand, **more: Any
    ) -> Generator[Done, None, None]:
        """Yield what the workers make of each part, in the order in which they are done.

        Raises
        ------
        SlideError
            The workers that had a part were lost, each time, or the scheduler was, or there has been no worker for long.
        KeyboardInterrupt
            The run is interrupted.
        """
        errand = replace(errand, work=errand.work.absolute())
        task = partial(work, source=self.source, model=self.cluster.model, errand=errand, **more)
        client, missing = self.cluster.client, iter(parts)
        at_work: set[Future[Any]] = set()
        try:
            while at_work := at_work | self._submitted(task, islice(missing, IN_FLIGHT - len(at_work))):
                done, at_work = self._first_done(at_work)
                for future in done:
                    made = _handed_over(future)
                    if made is None:
                        at_work.add(future)
                    yield from made or ()
        except KilledWorker as error:
            raise SlideError(f"{self.source.path}: worker after worker was lost at the same place: {error}") from error
        except (CancelledError, CommClosedError) as error:
            at_work = set()  # nobody is there to be told that they are not wanted any more
            raise self._without_scheduler() from error
        finally:
            if at_work and client.status == "running":
                client.cancel([*at_work])

    def _submitted(self, task: Callable[..., Done], parts: Iterable[Any]) -> set[Future[Any]]:
        """Give tasks to the scheduler: those of the slide that came first go before the others."""
        self._check_scheduler()
        priority = -self.number
        return {self.cluster.client.submit(task, part, pure=False, retries=RETRIES, priority=priority) for part in parts}

    def _first_done(self, at_work: set[Future[Any]]) -> tuple[set[Future[Any]], set[Future[Any]]]:
        """Wait until a task is done, and return those that are and those that are not."""
        last_worker = time.monotonic()
        while True:
            self._check_scheduler()
            try:
                done, left = wait(at_work, timeout=LOOK_S, return_when="FIRST_COMPLETED")
            except TimeoutError:
                if self._has_workers():
                    last_worker = time.monotonic()
                if time.monotonic() - last_worker > WORKERS_WAIT_S:
                    raise SlideError(
                        f"{self.source.path}: the scheduler has had no worker for {WORKERS_WAIT_S:.0f} s; "
                        "start some and repeat the command, which goes on from here"
                    ) from None
            else:
                return done, left

    def _has_workers(self) -> bool:
        try:
            return bool(self.cluster.client.nthreads())
        except OSError:  # the scheduler is lost, which is looked at next
            return False

    def _check_scheduler(self) -> None:
        if self.cluster.stop.is_set():
            raise KeyboardInterrupt
        if self.cluster.client.status != "running":
            raise self._without_scheduler()

    def _without_scheduler(self) -> SlideError:
        return SlideError(
            f"{self.source.path}: the scheduler was lost; start it and its workers again and repeat the command, "
            "or repeat it without a cluster: it goes on from here"
        )


def _handed_over(future: Future[Done]) -> tuple[Done] | None:
    """Return what a task made; None where it was lost with its worker, so that the task waits to be done again."""
    try:
        return (future.result(timeout=LOOK_S),)
    except TimeoutError:
        if future.status == "error":  # it is what the task itself ended with
            raise
        return None


def model_at(
    backend: Backend,
    name: str,
    *,
    threads: int | None = None,
    batch_size: int = 1,
    engine: Engine = "onnxruntime",
    precision: Arithmetic = "f32",
) -> Model:
    """Return what workers need to load the model that this process has loaded.

    Parameters
    ----------
    backend : the model, loaded.
    name : by which it was loaded: a known name, or a path that the workers share.
    threads : CPU threads of each worker; None takes what it may use.
    batch_size : tiles that the model sees at once.
    engine, precision : those with which it was loaded.
    """
    return Model(
        name=name if name in BACKENDS else str(Path(name).absolute()),
        fingerprint=backend.fingerprint,
        threads=threads,
        batch_size=batch_size,
        engine=engine,
        precision=precision,
        versions=tuple(package_versions().items()),
    )


@contextmanager
def cluster_at(address: str, model: Model, *, wait_s: float = 30.0) -> Iterator[Cluster]:
    """Yield a cluster whose workers run a model.

    Parameters
    ----------
    address : of a scheduler, as ``tcp://host:8786``; or a scheduler file (``.json``); or ``local:N`` for N processes of this
        machine, which end with the block and share its cores where ``model`` names no number of threads.
    model : see ``model_at``.
    wait_s : how long the scheduler may take to answer.

    Raises
    ------
    UsageError
        There is no scheduler, or it has no worker after ``WORKERS_WAIT_S``.
    """
    if not address.startswith(LOCAL):
        with _remote(address, wait_s) as client:
            yield Cluster(client=client, model=model)
        return
    processes = _local_processes(address)
    with _local(processes) as client:
        yield Cluster(client=client, model=shared_by(model, processes))


def shared_by(model: Model, processes: int) -> Model:
    """Return the model with the threads of this machine divided among processes, where it names no number of its own."""
    return model if model.threads else replace(model, threads=max(1, available_threads() // processes))


def _local_processes(address: str) -> int:
    number = address.removeprefix(LOCAL)
    if not number.isdecimal() or int(number) < 1:
        raise UsageError(f"expected {LOCAL} and the number of worker processes, such as {LOCAL}2, got {address!r}")
    return int(number)


@contextmanager
def _local(processes: int) -> Iterator[Client]:
    workers = {"n_workers": processes, "threads_per_worker": 1, "processes": True, "memory_limit": 0, "preload": DEAF}
    place = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": logging.ERROR}
    with LocalCluster(**place, **workers) as cluster, Client(cluster) as client:
        yield client


@contextmanager
def _remote(address: str, wait_s: float) -> Iterator[Client]:
    is_file = address.endswith(".json")
    if is_file and not Path(address).is_file():
        raise UsageError(f"there is no scheduler file {address}; make one with: dask scheduler --scheduler-file {address}")
    place = {"scheduler_file": address} if is_file else {"address": address}
    try:
        client = Client(**place, timeout=wait_s)
    except (OSError, ValueError) as error:
        raise UsageError(f"no Dask scheduler answers at {address}: {error}; start one with: dask scheduler") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKERS_WAIT_S)
        except TimeoutError as error:
            raise UsageError(f"the scheduler at {address} has no workers; start some with: dask worker {address}") from error
        yield client
