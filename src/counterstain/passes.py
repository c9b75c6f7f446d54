"""The two passes over a slide that does not fit in memory: tiles to maps on disk, then finished maps to cells, block by block.

Whatever is done is recorded at once, so a run that was killed goes on where it was and gives what it would have given. Tiles
without tissue are never read nor shown to the network.
"""

import hashlib
import importlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.decoder import Decoder
from counterstain.cells.parts import part_path, segment_kept
from counterstain.cells.seams import BLOCK_PX, blocks
from counterstain.cells.segment import CellOptions, Rules, rules_for
from counterstain.cells.table import CellTable
from counterstain.errors import SlideError
from counterstain.extras import require
from counterstain.files import explained
from counterstain.geometry import Box
from counterstain.inference.ahead import ahead
from counterstain.inference.backend import Backend
from counterstain.inference.bundle import Manifest
from counterstain.inference.run import grid_of, infer
from counterstain.inference.stopwatch import Stopwatch
from counterstain.panel import Panel
from counterstain.slides.base import Slide
from counterstain.stitching.canvas import put
from counterstain.stitching.maps import Maps
from counterstain.stitching.work import Settings, TileLog, record, resume
from counterstain.tiling.glass import Tissue, tiles_with_tissue
from counterstain.tiling.grid import Tile, TileGrid
from counterstain.tiling.quality import TileQualities, TileQuality
from counterstain.versions import package_versions

MAPS, CELLS = "maps", "cells"
"""Subfolders of the folder of work."""

MEASURED = ("dapi", "lap2")
"""Modalities that the cells table measures, beside the marker."""

OnProgress = Callable[[int, int], None]
"""Takes the number of tiles, or of blocks, that are done and of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a process needs to work in the folder of work of a slide, which it shares with others."""

    work: Path
    settings: Settings
    """As the folder must have them recorded."""
    panel: Panel
    """The maps that are kept."""


class Workers(Protocol):
    """Processes that do the tiles and blocks of one slide, and see its file and its folder of work as this one does."""

    def infer(self, tiles: Sequence[Tile], errand: Errand) -> Iterator[tuple[Tile, TileQuality]]:
        """Yield each of the tiles, in any order, as soon as its maps are written, with what is wrong with it."""

    def measure(self, blocks: Sequence[Box], decoder: Decoder, errand: Errand) -> Iterator[NDArray[np.int64]]:
        """Yield, for each of the blocks, in any order, the (n,) int64 sizes in pixels of its nuclei."""

    def cut(self, blocks: Sequence[Box], rules: Rules, errand: Errand) -> Iterator[Box]:
        """Yield each of the blocks, in any order, as soon as its table is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One slide on its way through one model."""

    slide: Slide
    backend: Backend
    grid: TileGrid
    tissue: Tissue
    on_progress: OnProgress | None
    on_block: OnProgress | None = None
    stopwatch: Stopwatch
    workers: Workers | None = None
    """Who does the tiles and blocks; None is this process."""
    cutting_threads: int = 1
    """Blocks that this process cuts at the same time."""


def passes_on_disk(
    run: Run, options: CellOptions, work: Path, *, batch_size: int = 1, modalities: bool = True, restart: bool = False
) -> tuple[Maps, CellTable, TileQualities]:
    """Infer all tiles that show tissue into maps on disk and cut the nuclei, without what is done already.

    Parameters
    ----------
    work : made when missing; holds all that is done.
    modalities : whether the maps of all modalities are wanted.
    restart : whether a run with other settings in the folder is thrown away, not refused.

    Raises
    ------
    SlideError
        zarr, which the maps on disk need, is not installed.
    UsageError
        The folder holds a run with other settings.
    OutputError
        The folder cannot be written.
    """
    panel = run.backend.manifest.panel
    panel = panel if modalities else needed(panel)
    errand = Errand(work=work, settings=settings_of(run, options, panel), panel=panel)
    maps = _opened(run, errand, restart=restart)
    tiles = _infer_missing(run, maps, errand, batch_size)
    with run.stopwatch("cells"):
        return maps, _cut(run, maps, options, errand), tiles


def needed(panel: Panel) -> Panel:
    """Return the channels that cells are cut from and measured on."""
    measured = (*MEASURED, panel.marker)
    return panel.only([channel.name for channel in panel.channels if channel.role != "modality" or channel.name in measured])


def settings_of(run: Run, options: CellOptions, panel: Panel) -> dict[str, Any]:
    """Return everything that decides what a run computes, by the names under which people know it."""
    slide, grid = run.slide, run.grid
    return {
        "slide": slide.name,
        "size": [slide.size.height, slide.size.width],
        "mpp": slide.resolution.mpp,
        **({} if slide.resolution.aspect == 1 else {"aspect": slide.resolution.aspect}),
        "tissue": hashlib.sha256(run.tissue.mask.tobytes()).hexdigest()[:16],
        "pixels": run.tissue.seen,
        "model": run.backend.fingerprint,
        "tiles": [grid.tile_px, grid.margin_px, grid.stride_px],
        "blocks": BLOCK_PX,
        "maps": [channel.name for channel in panel.channels],
        **asdict(options),
        **{f"version of {name}": version for name, version in package_versions().items()},
    }


def opened_maps(slide: Slide, manifest: Manifest, errand: Errand) -> Maps:
    """Return the maps in the folder of work of a slide; those that are not there yet are made.

    Raises
    ------
    SlideError
        zarr is not installed.
    OutputError
        The maps are damaged.
    """
    require(f"{slide.name} does not fit in memory, so its maps lie on disk, which", ["zarr"], "slides", SlideError)
    store, grid = importlib.import_module("counterstain.stitching.store"), grid_of(slide, manifest)
    maps: Maps = store.stored_maps(
        errand.work / MAPS, size=grid.size, mpp=manifest.mpp, panel=errand.panel, chunk_px=grid.core_px
    )
    return maps


def _opened(run: Run, errand: Errand, *, restart: bool) -> Maps:
    with explained(errand.work):
        is_known = resume(errand.work, errand.settings, replace=restart)
        maps = opened_maps(run.slide, run.backend.manifest, errand)
        if not is_known:
            record(errand.work, errand.settings)
    return maps


def _infer_missing(run: Run, maps: Maps, errand: Errand, batch_size: int) -> TileQualities:
    """Fill the maps with every tile that shows tissue and is not in the log, and return what is wrong with all of them."""
    wanted = [*tiles_with_tissue(run.grid, run.tissue, maps.mpp)]
    with explained(errand.work):
        log = TileLog(errand.work)
    with log:
        missing = [tile for tile in wanted if (tile.keep.row, tile.keep.col) not in log.done]
        missing.sort(key=_shape)  # tiles of one size together make full batches
        done = len(wanted) - len(missing)
        with closing(_filled(run, maps, missing, errand, batch_size)) as filled:
            for number, (tile, quality) in enumerate(filled, start=done + 1):
                with explained(errand.work):
                    log.add(tile.keep, quality)
                if run.on_progress:
                    run.on_progress(number, len(wanted))
        return tuple((tile.keep, log.done[tile.keep.row, tile.keep.col]) for tile in wanted)


def _filled(
    run: Run, maps: Maps, tiles: list[Tile], errand: Errand, batch_size: int
) -> Generator[tuple[Tile, TileQuality], None, None]:
    """Yield each tile as soon as its maps are written, by the workers or by this process."""
    if run.workers:
        with run.stopwatch("network"):
            yield from run.workers.infer(tiles, errand)
        return
    yield from written(run.slide, run.backend, maps, errand, tiles=tiles, batch_size=batch_size, stopwatch=run.stopwatch)


def written(
    slide: Slide,
    backend: Backend,
    maps: Maps,
    errand: Errand,
    *,
    tiles: Sequence[Tile],
    batch_size: int,
    stopwatch: Stopwatch | None = None,
) -> Iterator[tuple[Tile, TileQuality]]:
    """Infer tiles and yield each, with what is wrong with it, when its maps are written; the network goes on meanwhile."""
    judged: dict[Tile, TileQuality] = {}
    inferred = infer(
        slide,
        backend,
        grid_of(slide, backend.manifest),
        tiles=tiles,
        batch_size=batch_size,
        on_tile=judged.__setitem__,
        stopwatch=stopwatch,
    )
    with closing(inferred), closing(ahead(inferred)) as made:
        for tile, values in made:
            with explained(errand.work):
                put(maps, tile, values)
            yield tile, judged.pop(tile)


def _cut(run: Run, maps: Maps, options: CellOptions, errand: Errand) -> CellTable:
    """Return the table of the nuclei of all blocks near tissue, with those that were cut before."""
    near, workers, folder = run.grid.tile_px, run.workers, errand.work / CELLS
    chosen = [block for block in blocks(maps.size) if run.tissue.touches(block.grown(near), maps.mpp)]
    measure = (lambda decoder: workers.measure(chosen, decoder, errand)) if workers else None
    rules = rules_for(maps, options, decoder=run.backend.manifest.decoder, measure=measure)
    if workers:
        _cut_missing(run, chosen, rules, errand)
    on_block = None if workers else run.on_block
    with explained(folder):
        return segment_kept(run.slide, maps, chosen, rules, folder, threads=run.cutting_threads, on_block=on_block)


def _cut_missing(run: Run, chosen: list[Box], rules: Rules, errand: Errand) -> None:
    """Have the workers write the tables of all blocks that are not there."""
    folder = errand.work / CELLS
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    missing = [block for block in chosen if not part_path(folder, block).exists()]
    done = len(chosen) - len(missing)
    for number, _ in enumerate(run.workers.cut(missing, rules, errand) if run.workers else (), start=done + 1):
        if run.on_block:
            run.on_block(number, len(chosen))


def _shape(tile: Tile) -> tuple[int, int]:
    return tile.read.height, tile.read.width
