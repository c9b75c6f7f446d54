"""The two passes on the workers of a Dask cluster: the same tiles and blocks, in the same folder of work, as on one machine.

Only names, boxes and settings travel. Pixels and maps go over a file system that the workers share with the process that asks:
each opens the slide and loads the model itself, once. A tile writes whole chunks of its own and a block a file of its own,
so work that is done twice, because a worker was lost, leaves what it leaves when it is done once.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

from distributed import Client, KilledWorker, LocalCluster, as_completed

from counterstain.cells.parts import part_path, write_part
from counterstain.cells.segment import Rules, segment_block
from counterstain.errors import BundleError, OutputError, SlideError, UsageError
from counterstain.geometry import Box, Size
from counterstain.inference.backend import Backend
from counterstain.inference.names import BACKENDS, Engine, load_backend
from counterstain.inference.openvino import Precision
from counterstain.inference.run import grid_of, infer
from counterstain.outputs.atomic import explained
from counterstain.outputs.record import package_versions
from counterstain.passes import CELLS, Errand, opened_maps, written
from counterstain.slides.base import Resolution, Slide
from counterstain.slides.opening import open_slide
from counterstain.stitching.work import holds
from counterstain.tiling.grid import Tile

TILES_PER_TASK = 8
"""Tiles that a worker does without asking: some seconds of work, which is what is lost with the worker."""

RETRIES = 2
"""How often a task that fails is tried again, on any worker, before its slide fails."""

WORKERS_WAIT_S = 600.0
"""How long a scheduler may be without any worker, as when they wait in the queue of a batch system."""

LOCAL = "local:"

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as a worker finds it."""

    name: str
    """A known name, or the absolute path of a bundle."""
    fingerprint: str
    threads: int | None
    """Of each worker; None takes what it may use."""
    batch_size: int
    engine: Engine
    precision: Precision
    versions: tuple[tuple[str, str], ...]
    """Packages that can change a number, and their versions in the process that asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A slide as a worker finds it, and what it must be."""

    path: Path
    """Absolute."""
    modified_ns: int
    mpp: float | None
    """What the user said of the pixel size."""
    size: Size
    resolution: Resolution


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A scheduler with its workers, and the model that they run."""

    client: Client
    model: Model

    def workers_for(self, path: Path, slide: Slide, mpp: float | None) -> "SlideWorkers":
        """Return the workers at the work of one slide.

        Parameters
        ----------
        path : of the slide's file, on a file system that the workers share.
        slide : the same, open.
        mpp : micrometres per pixel as the user said; None where the file says them.
        """
        modified_ns = path.stat().st_mtime_ns
        source = Source(path=path.absolute(), modified_ns=modified_ns, mpp=mpp, size=slide.size, resolution=slide.resolution)
        return SlideWorkers(cluster=self, source=source)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideWorkers:
    """The ``Workers`` of one slide."""

    cluster: Cluster
    source: Source

    def infer(self, tiles: Sequence[Tile], errand: Errand) -> Iterator[Tile]:
        """Yield each tile when a worker has written its maps; see ``Workers.infer``."""
        groups = [tuple(tiles[first : first + TILES_PER_TASK]) for first in range(0, len(tiles), TILES_PER_TASK)]
        for group in self._spread(infer_tiles, groups, errand):
            yield from group

    def cut(self, blocks: Sequence[Box], rules: Rules, errand: Errand) -> Iterator[Box]:
        """Yield each block when a worker has written its table; see ``Workers.cut``."""
        return self._spread(cut_block, blocks, errand, rules=rules)

    def _spread(self, work: Callable[..., Part], parts: Sequence[Part], errand: Errand, **more: Any) -> Iterator[Part]:
        """Yield each part when a worker has done it.

        Raises
        ------
        SlideError
            The workers that had a part were lost, each time, or the scheduler was.
        """
        errand = Errand(work=errand.work.absolute(), settings=errand.settings, panel=errand.panel)
        task = partial(work, source=self.source, model=self.cluster.model, errand=errand, **more)
        futures = self.cluster.client.map(task, parts, pure=False, retries=RETRIES)
        try:
            for future in as_completed(futures):
                yield future.result()
        except KilledWorker as error:
            raise SlideError(f"{self.source.path}: worker after worker was lost at the same place: {error}") from error
        except CancelledError as error:
            raise SlideError(f"{self.source.path}: the scheduler was lost or gave the work up: {error}") from error
        finally:
            self.cluster.client.cancel(futures)


def model_at(
    backend: Backend,
    name: str,
    *,
    threads: int | None = None,
    batch_size: int = 1,
    engine: Engine = "onnxruntime",
    precision: Precision = "f32",
) -> Model:
    """Return what workers need to load the model that this process has loaded.

    Parameters
    ----------
    backend : the model, loaded.
    name : by which it was loaded: a known name, or a path that the workers share.
    threads : CPU threads of each worker; None takes what it may use.
    batch_size : tiles that the model sees at once.
    engine, precision : as it was loaded with.
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
        machine, which end with the block.
    model : see ``model_at``.
    wait_s : how long the scheduler may take to answer.

    Raises
    ------
    UsageError
        There is no scheduler, or it has no worker after ``WORKERS_WAIT_S``.
    """
    with _local(address) if address.startswith(LOCAL) else _remote(address, wait_s) as client:
        yield Cluster(client=client, model=model)


@contextmanager
def _local(address: str) -> Iterator[Client]:
    count = address.removeprefix(LOCAL)
    if not count.isdecimal() or int(count) < 1:
        raise UsageError(f"expected {LOCAL} and the number of worker processes, such as {LOCAL}2, got {address!r}")
    settings = {"n_workers": int(count), "threads_per_worker": 1, "processes": True, "memory_limit": 0}
    with LocalCluster(host="127.0.0.1", dashboard_address=None, **settings) as cluster, Client(cluster) as client:
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


# What follows runs in a worker. One task runs at a time: the network uses all threads by itself, and readers have one user.

_at_work = threading.Lock()
_open: dict[Source, Slide] = {}


def infer_tiles(tiles: tuple[Tile, ...], *, source: Source, model: Model, errand: Errand) -> tuple[Tile, ...]:
    """Write the maps of tiles and return them.

    Raises
    ------
    UsageError
        The worker has other versions of what can change a number.
    BundleError
        The worker finds another model under the name.
    SlideError
        The worker cannot read the slide, or finds another one under the path.
    OutputError
        The worker does not see the folder of work, or cannot write to it.
    """
    with _at_work:
        backend = _backend(model)
        slide = _slide(source, backend.manifest.mpp)
        _check_shared(errand)
        maps, grid = opened_maps(slide, backend.manifest, errand), grid_of(slide, backend.manifest)
        inferred = infer(slide, backend, grid, tiles=tiles, batch_size=model.batch_size)
        return tuple(written(inferred, maps, errand))


def cut_block(block: Box, *, rules: Rules, source: Source, model: Model, errand: Errand) -> Box:
    """Write the table of a block and return the block; raises what ``infer_tiles`` raises."""
    with _at_work:
        backend = _backend(model)
        slide = _slide(source, backend.manifest.mpp)
        _check_shared(errand)
        maps = opened_maps(slide, backend.manifest, errand)
        with explained(errand.work):
            write_part(part_path(errand.work / CELLS, block), segment_block(slide, maps, block, rules))
        return block


@lru_cache(maxsize=1)
def _backend(model: Model) -> Backend:
    """Load a model and check that it is the one that is asked for."""
    versions = package_versions()
    other = [f"{name} {versions[name]} instead of {asked}" for name, asked in model.versions if versions[name] != asked]
    if other:
        raise UsageError(f"a worker has {', '.join(other)}: results could differ; install the same versions everywhere")
    backend = load_backend(model.name, threads=model.threads, engine=model.engine, precision=model.precision)
    if backend.fingerprint != model.fingerprint:
        raise BundleError(f"a worker finds another model under {model.name}: {backend.fingerprint}, not {model.fingerprint}")
    return backend


def _slide(source: Source, default_mpp: float) -> Slide:
    """Return the slide, which stays open until another one is asked for."""
    if source not in _open:
        for earlier in [*_open]:
            _open.pop(earlier).close()
        slide = open_slide(source.path, mpp=source.mpp, default_mpp=default_mpp)
        if (slide.size, slide.resolution) != (source.size, source.resolution):
            slide.close()
            raise SlideError(f"a worker finds another slide under {source.path}: {slide.size} at {slide.resolution}")
        _open[source] = slide
    return _open[source]


def _check_shared(errand: Errand) -> None:
    if not holds(errand.work, errand.settings):
        raise OutputError(f"a worker does not see {errand.work}; workers and the command must share the file system of --out")
