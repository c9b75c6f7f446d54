"""The two passes over a slide that does not fit in memory: tiles to maps on disk, then finished maps to cells, block by block.

Whatever is done is recorded at once, so a run that was killed goes on where it was and gives what it would have given. Tiles
without tissue are never read nor shown to the network.
"""

import hashlib
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from counterstain.cells.parts import segment_kept
from counterstain.cells.seams import blocks
from counterstain.cells.segment import CellOptions, rules_for
from counterstain.cells.table import Cells
from counterstain.errors import SlideError
from counterstain.inference.ahead import ahead
from counterstain.inference.backend import Backend
from counterstain.inference.run import infer
from counterstain.inference.stopwatch import Stopwatch
from counterstain.outputs.atomic import explained
from counterstain.panel import Panel
from counterstain.slides.base import Slide
from counterstain.stitching.canvas import put
from counterstain.stitching.maps import Maps
from counterstain.stitching.work import Settings, TileLog, record, resume
from counterstain.tiling.glass import Tissue
from counterstain.tiling.grid import Tile, TileGrid

MAPS, CELLS = "maps", "cells"
"""Subfolders of the folder of work."""

MEASURED = ("dapi", "lap2")
"""Modalities that the cells table measures, beside the marker."""

OnProgress = Callable[[int, int], None]
"""Takes the number of tiles done and of all tiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One slide on its way through one model."""

    slide: Slide
    backend: Backend
    grid: TileGrid
    tissue: Tissue
    on_progress: OnProgress | None
    stopwatch: Stopwatch


def passes_on_disk(
    run: Run, options: CellOptions, work: Path, *, batch_size: int = 1, modalities: bool = True, restart: bool = False
) -> tuple[Maps, Cells]:
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
    maps = _opened(run, panel, work, settings_of(run, options, panel), restart=restart)
    _infer_missing(run, maps, work, batch_size)
    with run.stopwatch("cells"):
        rules = rules_for(maps, options, decoder=run.backend.manifest.decoder)
        near = run.grid.tile_px
        chosen = [block for block in blocks(maps.size) if run.tissue.touches(block.grown(near), maps.mpp)]
        return maps, segment_kept(run.slide, maps, chosen, rules, work / CELLS)


def needed(panel: Panel) -> Panel:
    """Return the channels that cells are cut from and measured on."""
    measured = (*MEASURED, panel.marker)
    channels = tuple(channel for channel in panel.channels if channel.role != "modality" or channel.name in measured)
    return Panel(channels=channels, marker=panel.marker)


def settings_of(run: Run, options: CellOptions, panel: Panel) -> dict[str, Any]:
    """Return everything that decides what a run computes, by the names under which people know it."""
    slide, grid = run.slide, run.grid
    return {
        "slide": slide.name,
        "size": [slide.size.height, slide.size.width],
        "mpp": slide.resolution.mpp,
        "tissue": hashlib.sha256(run.tissue.mask.tobytes()).hexdigest()[:16],
        "model": run.backend.fingerprint,
        "tiles": [grid.tile_px, grid.margin_px, grid.stride_px],
        "maps": [channel.name for channel in panel.channels],
        **asdict(options),
    }


def _opened(run: Run, panel: Panel, work: Path, settings: Settings, *, restart: bool) -> Maps:
    if importlib.util.find_spec("zarr") is None:
        raise SlideError(
            f'{run.slide.name} does not fit in memory, and maps on disk need zarr; run: pip install "counterstain[slides]"'
        )
    store = importlib.import_module("counterstain.stitching.store")
    with explained(work):
        is_known = resume(work, settings, replace=restart)
        maps: Maps = store.stored_maps(
            work / MAPS, size=run.grid.size, mpp=run.backend.manifest.mpp, panel=panel, chunk_px=run.grid.core_px
        )
        if not is_known:
            record(work, settings)
    return maps


def _infer_missing(run: Run, maps: Maps, work: Path, batch_size: int) -> None:
    """Fill the maps with every tile that shows tissue and is not in the log."""
    wanted = [tile for tile in run.grid if run.tissue.touches(tile.read, maps.mpp)]
    with explained(work):
        log = TileLog(work)
    with log:
        missing = [tile for tile in wanted if (tile.keep.row, tile.keep.col) not in log.done]
        missing.sort(key=_shape)  # tiles of one size together make full batches
        done = len(wanted) - len(missing)
        tiles = infer(run.slide, run.backend, run.grid, tiles=missing, batch_size=batch_size, stopwatch=run.stopwatch)
        for tile, values in ahead(tiles):  # the network goes on while a tile is written
            with explained(work):
                put(maps, tile, values)
                log.add(tile.keep)
            done += 1
            if run.on_progress:
                run.on_progress(done, len(wanted))


def _shape(tile: Tile) -> tuple[int, int]:
    return tile.read.height, tile.read.width
