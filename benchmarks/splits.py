"""What cutting a field into pieces changes: python benchmarks/splits.py [--bundle NAME_OR_PATH] [--side PX] [--no-save].

One field is analysed at once, in tiles of three sizes, in blocks of three sizes, and by one worker process and by three. The
cells of each way are compared with those of the field at once.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from reporting import table, write_results
from scipy.spatial import KDTree

from counterstain import pipeline
from counterstain.cells.seams import joined
from counterstain.cells.segment import CellOptions, segment
from counterstain.cells.table import CellTable
from counterstain.cluster import cluster_at, model_at
from counterstain.geometry import Box
from counterstain.inference.backend import Backend
from counterstain.inference.names import load_backend
from counterstain.inference.run import grid_of, infer
from counterstain.outputs.images.drawing import painted_labels
from counterstain.slides.base import Slide, size_at
from counterstain.slides.opening import open_slide
from counterstain.stitching.canvas import stitch
from counterstain.stitching.maps import Maps
from counterstain.tiling.grid import TileGrid
from counterstain.training.synthesis.render import synthetic_field

MPP = 0.25
TILES_PX = (256, 512, 1024)
BLOCKS_PX = (512, 1024, 2048)
WORKERS = (1, 3)
BORDER_PX = 64
"""Cells nearer to the border of the field are not compared pixel by pixel."""

TEXT = f"""\
A drawn field, seed 0. cells: number of nuclei. difference: in per cent of those of the field at once. moved: nuclei whose
outline is not, to the last pixel, that of a nucleus of the field at once. closest: the two nearest centroids, in pixels.
labels: whether the label images are equal up to renaming, {BORDER_PX} px and more away from the border. Tiles are named by the
side that is kept; "own" are those of the model. Margins are those of the model, and for the last rows as wide as it sees."""

Ring = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to analyse the field."""

    name: str
    cells: Callable[[], CellTable]


def main() -> None:
    """Analyse the field in every way, print the table and keep it."""
    options = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        path = make_field(Path(folder) / "field.tif", options.side)
        with open_slide(path) as slide:
            shown = table(_rows(slide, [*ways(slide, path, options.bundle, options.reach)]))
    print(f"{TEXT}\n\n{shown}")
    if options.save:
        name = Path(options.bundle).stem
        print(f"\nkept in {write_results(f'splits-{name}', 'One field, cut in every way', [(TEXT, shown)]).name}")


def make_field(path: Path, side: int) -> Path:
    """Write a drawn field of ``side`` x ``side`` pixels, seed 0."""
    field = synthetic_field(0, side).image
    tifffile.imwrite(path, field, photometric="rgb", resolution=(1e4 / MPP,) * 2, resolutionunit="CENTIMETER")
    return path


def ways(slide: Slide, path: Path, bundle: str, reach_px: int) -> Iterator[Way]:
    """Yield every way to analyse the field; the first is the field at once."""
    backend = load_backend(bundle)
    manifest = backend.manifest
    size = size_at(slide, manifest.mpp)
    side = max(size.height, size.width)
    yield Way(name="at once", cells=partial(_in_tiles, slide, backend, side, manifest.margin_px))
    for tile_px in TILES_PX:
        yield Way(name=f"tiles of {tile_px}", cells=partial(_in_tiles, slide, backend, tile_px, manifest.margin_px))
    maps = _maps(slide, backend, grid_of(slide, manifest))
    for block_px in BLOCKS_PX:
        yield Way(name=f"own tiles, blocks of {block_px}", cells=partial(_in_blocks, slide, backend, maps, block_px))
    for count in WORKERS:
        yield Way(
            name=f"own tiles, {count} worker{'s' * (count > 1)}", cells=partial(_by_workers, path, backend, bundle, count)
        )
    for tile_px in TILES_PX if reach_px > manifest.margin_px else ():
        name = f"tiles of {tile_px}, margin {reach_px}"
        yield Way(name=name, cells=partial(_in_tiles, slide, backend, tile_px, reach_px))


def _in_tiles(slide: Slide, backend: Backend, kept_px: int, margin_px: int) -> CellTable:
    manifest = backend.manifest
    stride = manifest.stride_px or 1
    tile_px = -(-(kept_px + 2 * margin_px) // stride) * stride
    grid = replace(grid_of(slide, manifest), tile_px=tile_px, margin_px=margin_px)
    return segment(slide, _maps(slide, backend, grid), CellOptions(), decoder=manifest.decoder)


def _maps(slide: Slide, backend: Backend, grid: TileGrid) -> Maps:
    return stitch(infer(slide, backend, grid), size=grid.size, mpp=backend.manifest.mpp, panel=backend.manifest.panel)


def _in_blocks(slide: Slide, backend: Backend, maps: Maps, block_px: int) -> CellTable:
    return segment(slide, maps, CellOptions(), decoder=backend.manifest.decoder, block_px=block_px)


def _by_workers(path: Path, backend: Backend, bundle: str, count: int) -> CellTable:
    with (
        tempfile.TemporaryDirectory() as work,
        cluster_at(f"local:{count}", model_at(backend, bundle)) as cluster,
        open_slide(path) as slide,
    ):
        analysis = pipeline.analyze(slide, backend, work=Path(work), workers=cluster.workers_for(path, slide, None))
        return joined([*analysis.cells.parts()], analysis.cells.thresholds)


def _rows(slide: Slide, ways: list[Way]) -> list[list[str]]:
    rows = [["way", "cells", "difference", "moved", "closest px", "labels"]]
    whole, size = ways[0].cells(), Box.whole(slide.size)
    rings, labels = _rings(whole), painted_labels(whole, size, 1.0)
    for way in ways:
        cells = way.cells()
        moved = len(_rings(cells) ^ rings)
        difference = f"{100 * (len(cells) - len(whole)) / max(len(whole), 1):+.2f} %"
        same = "equal" if equal_but_for_names(painted_labels(cells, size, 1.0), labels, BORDER_PX) else "differ"
        rows.append([way.name, str(len(cells)), difference, str(moved), f"{closest(cells):.1f}", same])
    return rows


def _rings(cells: CellTable) -> set[Ring]:
    return {tuple(map(tuple, ring.tolist())) for part in cells.parts() for ring in part.outlines}


def closest(cells: CellTable) -> float:
    """Return the distance between the two nearest centroids in pixels; infinite for fewer than two cells."""
    places = np.column_stack([cells["row_px"], cells["col_px"]])
    if len(places) < 2:
        return float("inf")
    distances = np.asarray(KDTree(places).query(places, k=2)[0])  # the first neighbour is the cell itself
    return float(distances[:, 1].min())


def equal_but_for_names(one: NDArray[np.int32], other: NDArray[np.int32], border_px: int) -> bool:
    """Return whether two (h, w) int32 label images part the pixels inside the border alike."""
    inner = (slice(border_px, -border_px or None),) * 2
    pairs = np.unique(np.stack([one[inner].ravel(), other[inner].ravel()]), axis=1)
    return all(len(np.unique(side)) == pairs.shape[1] for side in pairs) and bool(((pairs[0] == 0) == (pairs[1] == 0)).all())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare the cells of one field, cut in every way.")
    parser.add_argument("--bundle", default="default", help="model")
    parser.add_argument("--side", type=int, default=2048, help="side of the field in pixels")
    parser.add_argument("--reach", type=int, default=288, help="pixels that the model sees around one; a multiple of 16")
    parser.add_argument("--no-save", dest="save", action="store_false", help="write no results file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
