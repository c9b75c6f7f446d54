"""What writing many cells takes: python benchmarks/cell_tables.py [--cells N]... [--no-save].

Tables are made on disk, block by block as those of a large slide are kept. Each is written in each format, and scored, in a
process of its own, so that memory starts fresh.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from reporting import table, write_results
from speed import peak_mb

from counterstain.analysis import Analysis
from counterstain.cells.parts import KeptCells, part_path, write_part
from counterstain.cells.segment import CellOptions, thresholds_of
from counterstain.cells.table import COLUMNS, Cells
from counterstain.geometry import Box, Size
from counterstain.inference.classical import ClassicalBackend
from counterstain.outputs.names import writers_for
from counterstain.scoring.fraction import percent_positive
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.stitching.maps import Maps

CELLS = (10_000, 1_000_000)
WORK = ("nothing", "score", "csv", "parquet", "geojson", "geojson.gz", "h5ad", "spatialdata")
BLOCK_PX, CELLS_PER_BLOCK, POINTS = 1024, 1000, 20
MPP = 0.25

TEXT = f"""\
Made tables on disk, {CELLS_PER_BLOCK:,} cells a block of {BLOCK_PX} px, {POINTS} points an outline. memory: highest resident
set of a process that does one thing with the table, in MB; "nothing" is a process that opens it."""


def main() -> None:
    """Make the tables, write them in every format, print and keep what it took."""
    options = _arguments()
    if options.child:
        sys.stdout.write(json.dumps(measure(Path(options.child), options.work, options.cells[0])))
        return
    rows = [["work", *(f"{text} {count:,}" for count in options.cells for text in ("s,", "memory,"))]]
    with tempfile.TemporaryDirectory() as folder:
        for count in options.cells:
            make_parts(Path(folder) / str(count), count)
        for work in WORK:
            found = [_in_fresh_process(Path(folder) / str(count), work, count) for count in options.cells]
            rows.append([work, *(text for one in found for text in (f"{one['seconds']:.1f}", f"{one['peak_mb']:.0f}"))])
    shown = table(rows)
    print(f"{TEXT}\n\n{shown}")
    if options.save:
        print(f"\nkept in {write_results('tables', 'Tables of cells', [(TEXT, shown)]).name}")


def blocks_of(count: int) -> tuple[Box, ...]:
    """Return as many blocks of a square lattice, row by row, as hold the cells."""
    number = -(-count // CELLS_PER_BLOCK)
    across = int(np.ceil(np.sqrt(number)))
    return tuple(Box(index // across * BLOCK_PX, index % across * BLOCK_PX, BLOCK_PX, BLOCK_PX) for index in range(number))


def make_parts(folder: Path, count: int) -> None:
    """Write the tables of all blocks: round cells at random places, seed 0."""
    folder.mkdir()
    generator, angle = np.random.default_rng(0), np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    for block in blocks_of(count):
        columns: dict[str, Any] = {name: generator.random(CELLS_PER_BLOCK).astype(kind) for name, kind in COLUMNS.items()}
        rows, cols = (start + BLOCK_PX * generator.random(CELLS_PER_BLOCK) for start in (block.row, block.col))
        order = np.argsort(rows.astype(np.int64) * 2**24 + cols.astype(np.int64), kind="stable")
        rows, cols = rows[order], cols[order]
        columns |= {"row_px": rows, "col_px": cols, "row_um": rows * MPP, "col_um": cols * MPP}
        columns["cell_id"] = rows.astype(np.int64) * 2**24 + cols.astype(np.int64)
        columns["is_positive"] = columns["p_positive"] >= np.float32(0.5)
        rings = [
            np.round(8 * np.column_stack([row + 12 * np.sin(angle), col + 12 * np.cos(angle)])) / 8  # as those that are cut
            for row, col in zip(rows, cols, strict=True)
        ]
        write_part(part_path(folder, block), Cells(columns=columns, outlines=rings))


def measure(folder: Path, work: str, count: int) -> dict[str, float]:
    """Do one thing with a table and return its seconds and the highest resident set."""
    analysis, start = analysis_of(folder, count), time.perf_counter()
    if work == "score":
        percent_positive(analysis.population)
    elif work != "nothing":
        with tempfile.TemporaryDirectory(dir=folder.parent) as out:
            for name, write in writers_for([work], analysis.manifest.panel).items():
                write(analysis, Path(out) / name)
    return {"seconds": time.perf_counter() - start, "peak_mb": peak_mb()}


def analysis_of(folder: Path, count: int) -> Analysis:
    """Return an analysis of a small slide with the table in a folder."""
    backend, blocks = ClassicalBackend(), blocks_of(count)
    slide = ArraySlide(np.full((64, 64, 3), 240, np.uint8), name="made", resolution=Resolution(MPP, "option"))
    thresholds = thresholds_of(CellOptions(), decoder=backend.manifest.decoder)
    return Analysis(
        slide=slide,
        manifest=backend.manifest,
        fingerprint=backend.fingerprint,
        maps=Maps(size=Size(64, 64), mpp=MPP, panel=backend.manifest.panel, planes={}),
        cells=KeptCells(folder=folder, blocks=blocks, thresholds=thresholds, count=len(blocks) * CELLS_PER_BLOCK),
        scores=(),
    )


def _in_fresh_process(folder: Path, work: str, count: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", str(folder), "--work", work, "--cells", str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what writing many cells takes.")
    parser.add_argument("--cells", type=int, action="append", help=f"number of cells; default: {CELLS}")
    parser.add_argument("--no-save", dest="save", action="store_false", help="write no results file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--work", default="nothing", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.cells = options.cells or list(CELLS)
    return options


if __name__ == "__main__":
    main()
