"""How a whole slide is analysed: python benchmarks/slides.py [--side PX] [--bundle NAME_OR_PATH] [--folder DIR] [--no-save].

A slide is made for it, and one of a quarter of its area. Each is analysed in a process of its own, so that memory and thread
pools start fresh, with its maps on disk whatever its size.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import Image
from reporting import table, write_results
from speed import peak_mb

from counterstain import pipeline
from counterstain.geometry import Box
from counterstain.inference.names import load_backend
from counterstain.results.folder import write_folder
from counterstain.slides.opening import open_slide
from counterstain.training.synthesis.render import synthetic_field

MPP = 0.25
TILE_PX, FIELD_PX, FIELDS = 512, 512, 12
STEPS = (1, 4, 16)
TISSUE_SHARE = 1 / 3
QUALITY = 85
GLASS = 245
READS = 100
STAGES = ("read", "network", "stitch", "cells", "scores", "total", "outputs")
FORMATS = ("csv", "geojson", "parquet")

TEXT = f"""\
A made slide: a JPEG pyramid with steps {STEPS}, tissue (drawn fields of {FIELD_PX} px) on a disk of a third of it, clear
glass around it, {MPP} um per pixel; and one of a quarter of its area. Seconds of each stage of one run from file to files
({", ".join(FORMATS)}); "read" is the time the network waited for the reader. Mpx: millions of tissue pixels, by the tissue
area that the run reports. memory: highest resident set of the process, in MB; before: what it was before the slide was
opened. Megapixels per second of {READS} random reads of 512 x 512 px of tissue: by this package, by the Zarr interface of
tifffile, and by OpenSlide, each with its own cache and empty at the start."""


def main() -> None:
    """Make the slides, analyse them, print the tables and keep them."""
    options = _arguments()
    if options.child:
        sys.stdout.write(json.dumps(measure(Path(options.child), options.bundle)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = {}
        for side in (options.side // 2, options.side):
            path = make_slide(Path(folder) / f"side{side}.tif", side)
            found[side] = _in_fresh_process(path, options.bundle)
            path.unlink()
    shown = f"{_stage_table(found)}\n\n{_size_table(found)}"
    print(f"{TEXT}\n\n{shown}")
    if options.save:
        print(f"\nkept in {write_results('slides', 'Whole slides', [(TEXT, shown)]).name}")


def make_slide(path: Path, side: int) -> Path:
    """Write a pyramid of ``side`` x ``side`` pixels, seed 0, without ever holding more than its fields."""
    fields = np.stack([synthetic_field(seed, FIELD_PX).image for seed in range(FIELDS)])
    cells = -(-side // FIELD_PX)
    chosen = np.random.default_rng(0).integers(0, FIELDS, (cells, cells))
    chosen[~_is_tissue(cells)] = -1
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for step in STEPS:
            length = -(-side // step)
            writer.write(
                _tiles([_shrunk(field, step) for field in fields], chosen, length),
                shape=(length, length, 3),
                dtype=np.uint8,
                tile=(TILE_PX, TILE_PX),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": QUALITY},
                subfiletype=int(step > 1),
                resolution=(1e4 / MPP / step,) * 2,
                resolutionunit="CENTIMETER",
                metadata=None,
            )
    return path


def _is_tissue(cells: int) -> NDArray[np.bool_]:
    """Return (cells, cells) bool: a disk of a third of the square."""
    rows, cols = np.mgrid[:cells, :cells]
    distance = np.hypot(rows - (cells - 1) / 2, cols - (cells - 1) / 2)
    return np.asarray(distance <= np.sqrt(TISSUE_SHARE / np.pi) * cells)


def _shrunk(field: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(field).resize((FIELD_PX // step,) * 2, Image.Resampling.BOX))


def _tiles(fields: list[NDArray[np.uint8]], chosen: NDArray[np.int64], length: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the tiles of one level, row by row; a field is laid where ``chosen`` is its number, glass where it is -1."""
    glass = np.full_like(fields[0], GLASS)
    side = len(fields[0])
    for row in range(0, length, TILE_PX):
        for col in range(0, length, TILE_PX):
            tile = np.full((TILE_PX, TILE_PX, 3), GLASS, np.uint8)
            for part in Box(row, col, TILE_PX, TILE_PX).intersection(Box(0, 0, length, length)).split(side):
                number = chosen[part.row // side, part.col // side]
                source = glass if number < 0 else fields[number]
                tile[part.shifted(-row, -col).slices] = source[
                    Box(part.row % side, part.col % side, part.height, part.width).slices
                ]
            yield tile


def _in_fresh_process(path: Path, bundle: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--bundle", bundle, "--child", str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(path: Path, bundle: str) -> dict[str, Any]:
    """Analyse a slide from file to files and return its numbers."""
    pipeline.IN_MEMORY_PIXELS = 0
    backend = load_backend(bundle)
    before = peak_mb()
    out = path.with_suffix("")
    with open_slide(path) as slide:
        options = pipeline.AnalyzeOptions(modalities=False)
        analysis = pipeline.analyze(slide, backend, options, work=out.with_name(f".{out.name}.work"))
        start = time.perf_counter()
        write_folder(analysis, out, FORMATS)
        seconds = {**analysis.timings_s, "outputs": time.perf_counter() - start}
    return {
        "seconds": seconds,
        "tissue_mpx": (analysis.tissue_mm2 or 0) / MPP**2,
        "cells": len(analysis.cells),
        "before_mb": before,
        "peak_mb": peak_mb(),
        **read_rates(path),
    }


def read_rates(path: Path) -> dict[str, float]:
    """Return megapixels per second of the same random reads by this package and by the libraries themselves."""
    with open_slide(path) as slide, tifffile.TiffFile(path) as tiff, openslide.OpenSlide(path) as other:
        middle, reach = slide.size.height // 2, max(1, slide.size.height // 5)
        corners = np.random.default_rng(1).integers(middle - reach, middle + reach, (READS, 2)).tolist()
        array = zarr.open_array(tiff.aszarr(level=0), mode="r")
        ours = _rate(lambda row, col: slide.read(Box(row, col, 512, 512), slide.resolution.mpp), corners)
        tifffiles = _rate(lambda row, col: array[row : row + 512, col : col + 512], corners)
        openslides = _rate(lambda row, col: np.asarray(other.read_region((col, row), 0, (512, 512))), corners)
    return {"ours_mpx_per_s": ours, "tifffile_mpx_per_s": tifffiles, "openslide_mpx_per_s": openslides}


def _rate(read: Callable[[int, int], Any], corners: list[list[int]]) -> float:
    start = time.perf_counter()
    for row, col in corners:
        read(row, col)
    return len(corners) * 512 * 512 / 1e6 / (time.perf_counter() - start)


def _stage_table(found: dict[int, dict[str, Any]]) -> str:
    rows = [["side px", "stage", "seconds", "share %", "s per tissue Mpx"]]
    for side, numbers in found.items():
        total = numbers["seconds"]["total"] + numbers["seconds"]["outputs"]
        for stage in STAGES:
            seconds = numbers["seconds"][stage]
            each = seconds / max(numbers["tissue_mpx"], 1e-9)
            rows.append([str(side), stage, f"{seconds:.2f}", f"{100 * seconds / total:.1f}", f"{each:.4f}"])
    return table(rows)


def _size_table(found: dict[int, dict[str, Any]]) -> str:
    rows = [["side px", "tissue Mpx", "cells", "Mpx/s", "memory", "before", "ours", "tifffile", "openslide"]]
    for side, numbers in found.items():
        total = numbers["seconds"]["total"] + numbers["seconds"]["outputs"]
        values = [numbers["tissue_mpx"] / total, numbers["peak_mb"], numbers["before_mb"]]
        rates = [numbers[f"{reader}_mpx_per_s"] for reader in ("ours", "tifffile", "openslide")]
        shown = [f"{values[0]:.2f}", *(f"{value:.0f}" for value in (*values[1:], *rates))]
        rows.append([str(side), f"{numbers['tissue_mpx']:.1f}", str(numbers["cells"]), *shown])
    return table(rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the analysis of whole slides.")
    parser.add_argument("--side", type=int, default=32768, help="side of the larger slide in pixels")
    parser.add_argument("--bundle", default="default", help="model")
    parser.add_argument("--folder", help="where the slides are made; default: the system's folder for temporary files")
    parser.add_argument("--no-save", dest="save", action="store_false", help="write no results file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
