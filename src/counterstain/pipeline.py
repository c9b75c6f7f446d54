"""From a slide to an ``Analysis``: tiles, network, maps, cells, scores. The whole path on one screen.

A slide that fits is analysed in memory and nothing is written. A larger one leaves its maps and finished blocks in a folder of
work, from which an interrupted run goes on; see ``passes.on_disk``.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterstain.analysis import Analysis
from counterstain.cells.area_limits import limit_warnings
from counterstain.cells.decoders.names import decoder_class
from counterstain.cells.segment import CellOptions, area_warning, segment
from counterstain.cells.table import CellTable
from counterstain.errors import CounterstainError, Remedy, SlideError, UnreadableSlideError, UsageError
from counterstain.geometry import Box, Size
from counterstain.inference.backend import Backend, available_threads
from counterstain.inference.bundle import Manifest
from counterstain.inference.run import grid_of, infer
from counterstain.inference.stopwatch import Stopwatch
from counterstain.passes.here import ThisProcess
from counterstain.passes.on_disk import Ears, Subject, begin_work, cut_missing, errand_for, infer_missing
from counterstain.passes.workers import Workers
from counterstain.progress import OnProgress, PartsDone, unheard
from counterstain.scoring.base import Population, Score
from counterstain.scoring.names import DEFAULT, scorers
from counterstain.scoring.regions import NO_REGIONS, Regions, region_warnings, score_regions
from counterstain.slides.base import Slide, size_at, size_um
from counterstain.slides.pixel_size import assumption
from counterstain.slides.thumbnail import digest, overview, overview_mpp
from counterstain.stitching.canvas import stitch
from counterstain.stitching.maps import Maps
from counterstain.tiling.damage import COPY_AGAIN, check_damage, damage_in_tiles
from counterstain.tiling.glass import everywhere, find_tissue, with_nuclei, without_damage
from counterstain.tiling.grid import Tile
from counterstain.tiling.quality import TileQualities, TileQuality, quality_warnings
from counterstain.tiling.stain_sample import stains_of
from counterstain.tiling.stains import Stains, stain_warning

MIN_SIDE_UM = 4.0
"""Images with a shorter side cannot hold a nucleus."""

MAX_MPP = 2.0
"""Coarser images (below 5x) show a nucleus in less than four pixels."""

CHECK_MPP = Remedy("check the pixel size", "mpp")

IN_MEMORY_PIXELS = 100_000_000
"""Slides with more pixels, at the model's resolution, keep their maps on disk; in memory they take 10 bytes a pixel."""

MOST_CUTTING_THREADS = 4
"""More threads than this take memory, 150 MB each, and wait for one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeOptions:
    """How a slide is analysed, whatever the model."""

    cells: CellOptions = field(default_factory=CellOptions)
    scores: tuple[str, ...] = DEFAULT
    """Names of the scores, in the order in which they are reported."""
    batch_size: int = 1
    """Tiles that the model sees at once; no result depends on it."""
    modalities: bool = True
    """Whether a slide whose maps are on disk keeps those of all modalities, or only those that cells are cut from and measured
    on. In memory all are kept."""
    threads: int | None = None
    """CPU threads that cut nuclei, of which no more than ``MOST_CUTTING_THREADS`` are used; None takes those that the process
    may use. Those of the model are the model's."""
    max_damaged_share: float = 0.05
    """The largest share, 0 to 1, of what is analysed that may be damaged in the file: what cannot be decoded is left out and
    warned of up to here, and the slide fails beyond, unless it is one tile of a small file."""
    restart: bool = False
    """Whether an interrupted run with other settings is thrown away; else it is refused."""
    any_stain: bool = False
    """Whether an image that does not show stained tissue in bright field is analysed, with a warning, instead of refused."""


def analyze(
    slide: Slide,
    backend: Backend,
    options: AnalyzeOptions = AnalyzeOptions(),
    *,
    regions: Regions = NO_REGIONS,
    work: Path | None = None,
    on_progress: OnProgress = unheard,
    workers: Workers | None = None,
) -> Analysis:
    """Infer the modalities of a slide, segment and classify its nuclei, and score them.

    Parameters
    ----------
    slide : open; the result keeps it for the outputs that show its pixels.
    backend : the model.
    regions : parts of the slide that are scored on their own, beside the whole.
    work : folder for the maps of a slide with more than ``IN_MEMORY_PIXELS``. The same call goes on with what it finds there;
        the caller removes the folder when the result, whose maps lie in it, is no longer needed.
    on_progress : called after every tile, and after every block of a slide with maps on disk that is cut into nuclei.
    workers : who does the work; None is this process. Others have ``work`` between them and this one whatever the size of the
        slide; the result is the same.

    Raises
    ------
    SlideError
        Nothing can be counted in the slide: one colour, smaller than a nucleus, far too coarse, or no bright-field image of
        stained tissue; or it does not fit in memory and no ``work`` folder is given.
    BackendError
        The model returned something that is not a set of maps, such as NaN.
    UsageError
        A score or the decoder is unknown, the model infers no segmentation, or ``work`` holds a run with other settings.
    OutputError
        The folder of work cannot be written.
    """
    shown = overview(slide)
    check_countable(slide, shown)
    decoder_class(options.cells.decoder or backend.manifest.decoder)  # an unknown one is refused before the model runs
    rules = scorers(options.scores)
    manifest, stopwatch = backend.manifest, Stopwatch()
    with stopwatch("total"):
        with stopwatch("read"):
            subject = Subject(slide=slide, backend=backend, tissue=find_tissue(slide))
            stains = stains_of(slide, subject.tissue, manifest.stains)
        check_bright_field(slide, stains, any_stain=options.any_stain)
        workers = workers or this_process(subject, options)
        maps, cells, tiles = _passes(subject, options, workers, work, Ears(on_progress=on_progress, stopwatch=stopwatch))
        tissue = without_damage(subject.tissue, damage_in_tiles(slide, tiles, manifest.mpp), manifest.mpp)
        with stopwatch("scores"):
            tissue_mm2 = with_nuclei(tissue, cells["row_um"], cells["col_um"]).area_mm2
            whole = Population(cells=cells, area_mm2=tissue_mm2, resolution=slide.resolution)
            scores = score_regions(whole, regions.parts, rules)
    return Analysis(
        slide=slide,
        manifest=manifest,
        fingerprint=backend.fingerprint,
        maps=maps,
        cells=cells,
        scores=scores,
        overview_sha256=digest(shown),
        tissue_mm2=tissue_mm2,
        stains=stains,
        tiles=tiles,
        regions=regions.parts,
        warnings=(*warnings_of(slide, manifest, cells, scores, tiles, stains), *region_warnings(regions, slide.size)),
        timings_s=_with_stitching(stopwatch),
    )


def this_process(subject: Subject, options: AnalyzeOptions) -> ThisProcess:
    """Return this process as the one that works on a slide."""
    threads = cutting_threads(options.threads)
    return ThisProcess(slide=subject.slide, backend=subject.backend, batch_size=options.batch_size, cutting_threads=threads)


Found = tuple[Maps, CellTable, TileQualities]


def _passes(subject: Subject, options: AnalyzeOptions, workers: Workers, work: Path | None, ears: Ears) -> Found:
    """Work in memory, or in a folder where slide or workers need one; what fits in memory keeps its glass either way."""
    size = grid_of(subject.slide, subject.backend.manifest).size
    fits = size.area <= IN_MEMORY_PIXELS
    if fits and not workers.needs_folder:
        return passes_in_memory(subject, options, ears)
    if work is None:
        raise _without_work(subject.slide, size, fits=fits)
    chosen = replace(subject, tissue=everywhere(subject.tissue)) if fits else subject
    errand = errand_for(chosen, options.cells, work, modalities=options.modalities)
    maps = begin_work(chosen, errand, restart=options.restart)
    tiles = infer_missing(chosen, errand, workers, ears)
    check_damage(subject.slide, tiles, maps.mpp, most=options.max_damaged_share)
    return maps, cut_missing(chosen, maps, options.cells, errand, workers, ears), tiles


def passes_in_memory(subject: Subject, options: AnalyzeOptions, ears: Ears) -> Found:
    """Infer every tile, glass or not, and cut the nuclei."""
    slide, backend, manifest = subject.slide, subject.backend, subject.backend.manifest
    grid = grid_of(slide, manifest)
    count, qualities = PartsDone("tiles", [tile.keep for tile in grid], ears.on_progress), []

    def done(tile: Tile, quality: TileQuality) -> None:
        qualities.append((tile.keep, quality))
        count.add(tile.keep)

    tiles = infer(slide, backend, grid, batch_size=options.batch_size, on_tile=done, stopwatch=ears.stopwatch)
    maps = stitch(tiles, size=grid.size, mpp=manifest.mpp, panel=manifest.panel)
    check_damage(slide, tuple(qualities), manifest.mpp, most=options.max_damaged_share)
    with ears.stopwatch("cells"):
        cells = segment(slide, maps, options.cells, decoder=manifest.decoder, threads=cutting_threads(options.threads))
    return maps, cells, tuple(qualities)


def cutting_threads(threads: int | None) -> int:
    """Return how many blocks are cut at the same time, where so many threads are asked for; None asks for all."""
    return min(threads or available_threads(), MOST_CUTTING_THREADS)


def check_countable(slide: Slide, shown: NDArray[np.uint8]) -> None:
    """Check by its overview that a slide can show nuclei at all.

    Raises
    ------
    SlideError
        Every pixel has the same colour, a side is shorter than a nucleus, or the pixels are coarser than nuclei.
    """
    size, mpp = slide.size, slide.resolution.mpp
    measures = f"{slide.name} is {size.width} x {size.height} px at {mpp:g} um per pixel"
    if min(size_um(slide)) < MIN_SIDE_UM:
        raise SlideError(f"{measures}, smaller than a nucleus ({MIN_SIDE_UM:g} um)", Remedy("give a larger image"), CHECK_MPP)
    if mpp > MAX_MPP:
        raise SlideError(
            f"{measures}, too coarse to tell nuclei apart (at most {MAX_MPP:g})", Remedy("give a sharper scan"), CHECK_MPP
        )
    if (shown == shown[0, 0]).all():
        mpp = overview_mpp(slide)
        damage = slide.damage(Box.whole(size_at(slide, mpp)), mpp)
        if damage:
            raise UnreadableSlideError(f"{slide.name} shows nothing but damage; the first: {damage[0].reason}", COPY_AGAIN)
        colour = tuple(shown[0, 0].tolist())
        raise SlideError(f"{slide.name} is all one colour, RGB {colour}: there is no tissue to analyse")


def _without_work(slide: Slide, size: Size, *, fits: bool) -> CounterstainError:
    """Return the error of a slide, of a size at the resolution of the model, that needs a folder of work and has none."""
    if fits:
        return UsageError("other processes can work on a slide only in a folder that they share; give one (work=...)")
    return SlideError(
        f"{slide.name} has {size.area:,} px at the resolution of the model, more than the "
        f"{IN_MEMORY_PIXELS:,} that are analysed in memory; give a folder for its maps (work=...)"
    )


def check_bright_field(slide: Slide, stains: Stains, *, any_stain: bool) -> None:
    """Check that a slide is a bright-field image of stained tissue, unless any image will do.

    Raises
    ------
    SlideError
        It is bright on a dark ground, or grey.
    """
    if stains.verdict == "not_bright_field" and not any_stain:
        raise SlideError(
            f"{slide.name} is not a bright-field image of stained tissue: {stains.reason}",
            Remedy("give the image in colour, as the microscope shows it"),
            Remedy("analyse it all the same, with a warning", "any_stain"),
        )


def warnings_of(
    slide: Slide,
    manifest: Manifest,
    cells: CellTable,
    scores: tuple[Score, ...],
    tiles: TileQualities = (),
    stains: Stains | None = None,
) -> tuple[str, ...]:
    """Return what makes the numbers less sure: other stains, a guessed pixel size, odd nuclear sizes, artifacts, few nuclei.

    Only the scores of the whole slide count here; those of a region carry their own warnings.
    """
    odd_stain = stain_warning(stains, manifest.stains) if stains else None
    found = [odd_stain] if odd_stain else []
    if slide.resolution.warning:
        found.append(slide.resolution.warning)
    elif slide.resolution.source == "assumed":
        found.append(assumption(slide.resolution.mpp))
    found.extend(slide.origin.warnings)
    odd_area = area_warning(cells, manifest.expected_nuclear_area_um2)
    if odd_area:
        found.append(odd_area)
    found.extend(limit_warnings(cells, cells.thresholds))
    found.extend(quality_warnings(tiles))
    return tuple(dict.fromkeys([*found, *(warning for score in scores if score.region == "all" for warning in score.warnings)]))


def _with_stitching(stopwatch: Stopwatch) -> dict[str, float]:
    """Return the seconds by stage; tiles stream through the stitching, so it is what the other stages leave of the total."""
    seconds = dict(stopwatch.seconds)
    total = seconds.pop("total")
    read, network, cells, scores = (seconds.get(stage, 0.0) for stage in ("read", "network", "cells", "scores"))
    stitching = max(0.0, total - read - network - cells - scores)
    return {"read": read, "network": network, "stitch": stitching, "cells": cells, "scores": scores, "total": total}
