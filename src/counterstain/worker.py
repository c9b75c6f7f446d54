"""What a worker of a cluster does: tiles to maps and blocks to tables, in the folder of work that it shares with the others.

One task runs at a time in a process: the network uses all threads by itself, and a reader serves one thread at a time. Who
asks, and how tasks travel, is not known here.
"""

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.decoders.base import Decoder
from counterstain.cells.segment import Rules
from counterstain.errors import BundleError, OutputError, SlideError, UsageError
from counterstain.geometry import Box, Size
from counterstain.inference.backend import Backend
from counterstain.inference.names import Engine, load_backend
from counterstain.inference.openvino import Arithmetic
from counterstain.inference.stopwatch import Stopwatch
from counterstain.passes.here import ThisProcess
from counterstain.passes.workers import Errand
from counterstain.slides.base import Resolution, Slide
from counterstain.slides.opening import open_slide
from counterstain.stitching.work import holds
from counterstain.tiling.grid import Tile
from counterstain.tiling.quality import TileQuality
from counterstain.versions import package_versions

SHARE_RESULTS = "workers and the command must share the file system of the results"
SHARE_SLIDES = "workers and the command must share the file system of the slides"

OPEN_SLIDES = 4
"""Slides that a worker keeps open: those that the command has at work, and one that comes next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Where a worker finds a model, and how it runs it."""

    name: str
    """A known name, or the absolute path of a bundle."""
    fingerprint: str
    threads: int | None
    """Of each worker; None takes what it may use."""
    batch_size: int
    engine: Engine
    precision: Arithmetic
    versions: tuple[tuple[str, str], ...]
    """Packages that can change a number, and their versions in the process that asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a worker finds a slide, and by what it checks that it is the right one."""

    path: Path
    """Absolute."""
    modified_ns: int
    mpp: float | None
    """What the user said of the pixel size."""
    size: Size
    resolution: Resolution
    series: int = 0
    """Number of the image in its file."""

    @classmethod
    def of(cls, path: Path, slide: Slide, mpp: float | None) -> "Source":
        """Return what a worker is told of an open slide, and of the pixel size that the user said."""
        return cls(
            path=path.absolute(),
            modified_ns=path.stat().st_mtime_ns,
            mpp=mpp,
            size=slide.size,
            resolution=slide.resolution,
            series=slide.origin.series,
        )


_at_work = threading.Lock()
_open: dict[Source, Slide] = {}


def infer_tiles(
    tiles: tuple[Tile, ...], *, source: Source, model: Model, errand: Errand
) -> tuple[tuple[Tile, TileQuality], ...]:
    """Write the maps of tiles and return the tiles, each with what is wrong with it.

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
        return tuple(_ready(source, model, errand).infer(tiles, errand, Stopwatch()))


def find_block_sizes(block: Box, *, decoder: Decoder, source: Source, model: Model, errand: Errand) -> NDArray[np.int64]:
    """Return the (n,) int64 sizes in pixels of the nuclei of a block; raises what ``infer_tiles`` raises."""
    with _at_work:
        (sizes,) = _ready(source, model, errand).find_sizes([block], decoder, errand)
        return sizes


def cut_block(block: Box, *, rules: Rules, source: Source, model: Model, errand: Errand) -> tuple[Box, int]:
    """Write the table of a block and return both it and the number of its nuclei; raises what ``infer_tiles`` raises."""
    with _at_work:
        (done,) = _ready(source, model, errand).cut([block], rules, errand)
        return done


def _ready(source: Source, model: Model, errand: Errand) -> ThisProcess:
    """Return this process with the model loaded and the slide open, once it is sure that it has what the command has."""
    backend = _backend(model)
    slide = _slide(source, backend.manifest.mpp)
    _check_shared(errand)
    return ThisProcess(slide=slide, backend=backend, batch_size=model.batch_size)


@lru_cache(maxsize=1)
def _backend(model: Model) -> Backend:
    """Load a model and check that it is the one that is asked for."""
    versions = package_versions()
    other = [f"{name} {versions[name]} instead of {asked}" for name, asked in model.versions if versions[name] != asked]
    if other:
        raise UsageError(f"a worker has {', '.join(other)}: results could differ; install the same versions everywhere")
    backend = load_backend(model.name, threads=model.threads, engine=model.engine, precision=model.precision)
    if backend.fingerprint != model.fingerprint:
        raise BundleError(
            f"a worker finds another model under {model.name}: {backend.fingerprint}, not {model.fingerprint}; "
            "put the same bundle there on every machine"
        )
    return backend


def _slide(source: Source, default_mpp: float) -> Slide:
    """Return the slide, which stays open until ``OPEN_SLIDES`` others have been asked for."""
    slide = _open.pop(source, None) or _open_source(source, default_mpp)
    _open[source] = slide  # the last is the one that was asked for last
    while len(_open) > OPEN_SLIDES:
        _open.pop(next(iter(_open))).close()
    return slide


def _open_source(source: Source, default_mpp: float) -> Slide:
    if not source.path.exists():
        raise SlideError(f"a worker does not see {source.path}; {SHARE_SLIDES}")
    slide = open_slide(source.path, mpp=source.mpp, default_mpp=default_mpp, series=source.series)
    if (slide.size, slide.resolution) != (source.size, source.resolution):
        slide.close()
        raise SlideError(
            f"a worker finds another slide under {source.path}: {slide.size} at {slide.resolution}; {SHARE_SLIDES}"
        )
    return slide


def _check_shared(errand: Errand) -> None:
    if not holds(errand.work, errand.settings):
        raise OutputError(f"a worker does not see {errand.work}; {SHARE_RESULTS}")
