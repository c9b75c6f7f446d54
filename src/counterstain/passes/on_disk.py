"""The two passes over a slide whose maps are on disk: tiles to maps, then finished maps to cells, block by block.

Whatever is done is recorded at once, so a run that was killed goes on where it was and gives what it would have given. Tiles
without tissue are never read nor shown to the network. Who does the tiles and blocks is not known here.
"""

import hashlib
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from counterstain.cells.parts import keep_cells
from counterstain.cells.seams import BLOCK_PX, blocks
from counterstain.cells.segment import CellOptions, rules_for
from counterstain.cells.table import CellTable
from counterstain.files import explained
from counterstain.inference.backend import Backend
from counterstain.inference.run import grid_of
from counterstain.inference.stopwatch import Stopwatch
from counterstain.panel import Panel
from counterstain.passes.workers import CELLS, Errand, Workers, open_maps
from counterstain.progress import OnProgress, PartsDone, unheard
from counterstain.slides.base import Slide
from counterstain.stitching.maps import Maps
from counterstain.stitching.work import TileLog, resume, write_settings
from counterstain.tiling.glass import Tissue, tiles_with_tissue
from counterstain.tiling.grid import Tile
from counterstain.tiling.quality import TileQualities
from counterstain.versions import package_versions

MEASURED = ("dapi", "lap2")
"""Modalities that the cells table measures, beside the marker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A slide, the model that it is shown to, and where on it there is something to see."""

    slide: Slide
    backend: Backend
    tissue: Tissue


@dataclass(frozen=True, slots=True, kw_only=True)
class Ears:
    """Callbacks that are told how far the work on one slide is."""

    on_progress: OnProgress = unheard
    stopwatch: Stopwatch = field(default_factory=Stopwatch)


def errand_for(subject: Subject, options: CellOptions, work: Path, *, modalities: bool = True) -> Errand:
    """Return what is to be done in a folder of work.

    Parameters
    ----------
    work : made when the work begins.
    modalities : whether the maps of all modalities are wanted.
    """
    panel = subject.backend.manifest.panel
    panel = panel if modalities else needed(panel)
    return Errand(work=work, settings=settings_of(subject, options, panel), panel=panel)


def needed(panel: Panel) -> Panel:
    """Return the channels that cells are cut from and measured on."""
    measured = (*MEASURED, panel.marker)
    return panel.only([channel.name for channel in panel.channels if channel.role != "modality" or channel.name in measured])


def settings_of(subject: Subject, options: CellOptions, panel: Panel) -> dict[str, Any]:
    """Return everything that decides what a run computes, by the names under which people know it."""
    slide, tissue, backend = subject.slide, subject.tissue, subject.backend
    grid = grid_of(slide, backend.manifest)
    return {
        "slide": slide.name,
        "size": [slide.size.height, slide.size.width],
        "mpp": slide.resolution.mpp,
        **({} if slide.resolution.aspect == 1 else {"aspect": slide.resolution.aspect}),
        "tissue": hashlib.sha256(tissue.mask.tobytes()).hexdigest()[:16],
        "pixels": tissue.seen,
        "model": backend.fingerprint,
        "tiles": [grid.tile_px, grid.margin_px, grid.stride_px],
        "blocks": BLOCK_PX,
        "maps": [channel.name for channel in panel.channels],
        **asdict(options),
        **{f"version of {name}": version for name, version in package_versions().items()},
    }


def begin_work(subject: Subject, errand: Errand, *, restart: bool = False) -> Maps:
    """Return the maps of a folder of work, which is made unless it is there; the work then goes on from what it holds.

    Parameters
    ----------
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
    with explained(errand.work):
        is_known = resume(errand.work, errand.settings, replace=restart)
        maps = open_maps(subject.slide, subject.backend.manifest, errand)
        if not is_known:
            write_settings(errand.work, errand.settings)
    return maps


def infer_missing(subject: Subject, errand: Errand, workers: Workers, ears: Ears) -> TileQualities:
    """Have the maps filled with every tile that shows tissue and is not in the log; return what is wrong with all of them.

    Raises
    ------
    OutputError
        The folder of work cannot be written.
    """
    manifest = subject.backend.manifest
    wanted = [*tiles_with_tissue(grid_of(subject.slide, manifest), subject.tissue, manifest.mpp)]
    with explained(errand.work):
        log = TileLog(errand.work)
    with log:
        missing = [tile for tile in wanted if _corner(tile) not in log.done]
        missing.sort(key=_shape)  # tiles of one size together make full batches
        count = PartsDone("tiles", (tile.keep for tile in wanted), ears.on_progress)
        count.before(tile.keep for tile in wanted if _corner(tile) in log.done)
        with closing(workers.infer(missing, errand, ears.stopwatch)) as inferred:
            for tile, quality in inferred:
                with explained(errand.work):
                    log.add(tile.keep, quality)
                count.add(tile.keep)
        return tuple((tile.keep, log.done[_corner(tile)]) for tile in wanted)


def cut_missing(subject: Subject, maps: Maps, options: CellOptions, errand: Errand, workers: Workers, ears: Ears) -> CellTable:
    """Return the table of the nuclei of all blocks near tissue; those that were not cut before are cut.

    Raises
    ------
    OutputError
        The folder of work cannot be written.
    """
    manifest, folder = subject.backend.manifest, errand.work / CELLS
    near = grid_of(subject.slide, manifest).tile_px
    chosen = [block for block in blocks(maps.size) if subject.tissue.touches(block.grown(near), maps.mpp)]
    find_sizes = lambda decoder: workers.find_sizes(chosen, decoder, errand)  # noqa: E731
    with ears.stopwatch("cells"):
        rules = rules_for(maps, options, decoder=manifest.decoder, find_sizes=find_sizes)
        cut = lambda missing: workers.cut(missing, rules, errand)  # noqa: E731
        with explained(folder):
            return keep_cells(folder, chosen, rules.thresholds, cut, tell=ears.on_progress)


def _corner(tile: Tile) -> tuple[int, int]:
    return tile.keep.row, tile.keep.col


def _shape(tile: Tile) -> tuple[int, int]:
    return tile.read.height, tile.read.width
