"""From a slide to an ``Analysis``: tiles, network, maps, cells, scores. The whole path on one screen; writes nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field

from counterstain.analysis import Analysis
from counterstain.cells.segment import CellOptions, area_warning, segment
from counterstain.cells.table import Cells
from counterstain.errors import SlideError
from counterstain.geometry import MPP_AT_1X, Box
from counterstain.inference.backend import Backend
from counterstain.inference.bundle import Manifest
from counterstain.inference.run import grid_of, infer
from counterstain.inference.stopwatch import Stopwatch
from counterstain.scoring.base import Score
from counterstain.scoring.names import scorer
from counterstain.slides.base import Slide, size_at
from counterstain.stitching.canvas import stitch
from counterstain.tiling.grid import Tile

MIN_SIDE_UM = 4.0
"""Images with a shorter side cannot hold a nucleus."""

MAX_MPP = 2.0
"""Coarser images (below 5x) show a nucleus in less than four pixels."""

MAX_PIXELS = 250_000_000
"""Maps are kept in memory, about 25 bytes a pixel at the most, so larger slides are refused."""

THUMBNAIL_PX = 1024

OnProgress = Callable[[int, int], None]
"""Takes the number of tiles done and of all tiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeOptions:
    """How a slide is analysed, whatever the model."""

    cells: CellOptions = field(default_factory=CellOptions)
    scores: tuple[str, ...] = ("percent_positive",)
    """Names of the scores, in the order in which they are reported."""
    batch_size: int = 1
    """Tiles that the model sees at once; no result depends on it."""


def analyze(
    slide: Slide, backend: Backend, options: AnalyzeOptions = AnalyzeOptions(), *, on_progress: OnProgress | None = None
) -> Analysis:
    """Infer the modalities of a slide, segment and classify its nuclei, and score them.

    Parameters
    ----------
    slide : open; the result keeps it for the outputs that show its pixels.
    backend : the model.
    on_progress : called after every tile.

    Raises
    ------
    SlideError
        Nothing can be counted in the slide: one colour, smaller than a nucleus, or far too coarse.
    BackendError
        The model returned something that is not a set of maps, such as NaN.
    UsageError
        A score is unknown, or the model infers no segmentation.
    """
    check_countable(slide)
    scorers = [scorer(name) for name in options.scores]
    manifest, stopwatch = backend.manifest, Stopwatch()
    check_fits_memory(slide, manifest.mpp)
    with stopwatch("total"):
        grid = grid_of(slide, manifest)
        count = _counter(len(grid), on_progress)
        tiles = infer(slide, backend, grid, batch_size=options.batch_size, on_tile=count, stopwatch=stopwatch)
        maps = stitch(tiles, size=grid.size, mpp=manifest.mpp, panel=manifest.panel)
        with stopwatch("cells"):
            cells = segment(slide, maps, options.cells, decoder=manifest.decoder)
        with stopwatch("scores"):
            scores = tuple(score(cells) for score in scorers)
    return Analysis(
        slide=slide,
        manifest=manifest,
        fingerprint=backend.fingerprint,
        maps=maps,
        cells=cells,
        scores=scores,
        warnings=warnings_of(slide, manifest, cells, scores),
        timings_s=_with_stitching(stopwatch),
    )


def check_countable(slide: Slide) -> None:
    """Check that a slide can show nuclei at all.

    Raises
    ------
    SlideError
        Every pixel has the same colour, a side is shorter than a nucleus, or the pixels are coarser than nuclei.
    """
    size, mpp = slide.size, slide.resolution.mpp
    measures = f"{slide.name} is {size.width} x {size.height} px at {mpp:g} um per pixel"
    if min(size.height, size.width) * mpp < MIN_SIDE_UM:
        raise SlideError(f"{measures}, smaller than a nucleus ({MIN_SIDE_UM:g} um); give a larger image, or check --mpp")
    if mpp > MAX_MPP:
        raise SlideError(
            f"{measures}, too coarse to tell nuclei apart (at most {MAX_MPP:g}); give a sharper scan, or check --mpp"
        )
    thumbnail_mpp = mpp * max(1.0, max(size.height, size.width) / THUMBNAIL_PX)
    thumbnail = slide.read(Box.whole(size_at(slide, thumbnail_mpp)), thumbnail_mpp)
    if (thumbnail == thumbnail[0, 0]).all():
        colour = tuple(thumbnail[0, 0].tolist())
        raise SlideError(f"{slide.name} is all one colour, RGB {colour}: there is no tissue to analyse")


def check_fits_memory(slide: Slide, mpp: float) -> None:
    """Check that the maps of a slide at ``mpp`` can be held in memory.

    Raises
    ------
    SlideError
        They have more than ``MAX_PIXELS``.
    """
    size = size_at(slide, mpp)
    if size.area > MAX_PIXELS:
        raise SlideError(
            f"{slide.name} has {size.width} x {size.height} px at {mpp:g} um per pixel, more than the {MAX_PIXELS:,} that "
            "can be analysed at once; cut out the region to be counted"
        )


def warnings_of(slide: Slide, manifest: Manifest, cells: Cells, scores: tuple[Score, ...]) -> tuple[str, ...]:
    """Return what makes the numbers less sure: a guessed pixel size, nuclei of an odd size, and what the scores warn about."""
    found = []
    if slide.resolution.source == "assumed":
        found.append(
            f"the pixel size is not stated in the file; {slide.resolution.mpp:g} um per pixel is assumed "
            f"({MPP_AT_1X / slide.resolution.mpp:.0f}x); give --mpp or --magnification if that is wrong"
        )
    odd_area = area_warning(cells, manifest.expected_nuclear_area_um2)
    if odd_area:
        found.append(odd_area)
    return tuple(dict.fromkeys([*found, *(warning for score in scores for warning in score.warnings)]))


def _counter(total: int, on_progress: OnProgress | None) -> Callable[[Tile], None] | None:
    if on_progress is None:
        return None
    done = iter(range(1, total + 1))
    return lambda _: on_progress(next(done), total)


def _with_stitching(stopwatch: Stopwatch) -> dict[str, float]:
    """Return the seconds by stage; tiles stream through the stitching, so it is what the other stages leave of the total."""
    seconds = dict(stopwatch.seconds)
    total = seconds.pop("total")
    read, network, cells, scores = (seconds.get(stage, 0.0) for stage in ("read", "network", "cells", "scores"))
    stitching = max(0.0, total - read - network - cells - scores)
    return {"read": read, "network": network, "stitch": stitching, "cells": cells, "scores": scores, "total": total}
