"""What opening a large result takes: python benchmarks/open_results.py [--cells N] [--no-save].

A result is made on disk as ``analyze`` writes it. Each thing is done with it in a process of its own, so that memory starts
fresh, and in which what a core installation lacks cannot be imported.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from cell_tables import BLOCK_PX, CELLS_PER_BLOCK, analysis_of, make_parts
from reporting import table, write_results
from speed import peak_mb

from counterstain.analysis import Analysis
from counterstain.geometry import Box
from counterstain.results.folder import write_folder
from counterstain.results.opening import open_result
from counterstain.scoring.fraction import percent_positive

CELLS = 1_000_000
BOXES = 20
WORK = ("open", "open and score", "read a box", "open and read all outlines")
OPTIONAL = ("pyarrow", "zarr", "imagecodecs", "h5py")
"""What a core installation does not have."""

TEXT = f"""\
A made result on disk, {CELLS_PER_BLOCK:,} cells a block of {BLOCK_PX} px, in a core installation, which has none of
{", ".join(OPTIONAL)}. A box has the size of a block; {BOXES} are read all over the slide, each for the first time, and
the mean is shown. processor: seconds of the processor, whatever else the machine did. memory: highest resident set of a process
that does one thing with the result, in MB."""


def main() -> None:
    """Make a result, open it in processes of their own, print and keep what it took."""
    options = _arguments()
    if options.child:
        sys.modules |= dict.fromkeys(OPTIONAL)  # type: ignore[arg-type]  # an import of one fails
        sys.stdout.write(json.dumps(measure(Path(options.child), options.work)))
        return
    with tempfile.TemporaryDirectory() as folder:
        result, seconds = make_result(Path(folder), options.cells)
        megabytes = sum(path.stat().st_size for path in result.iterdir()) / 1e6
        rows = [["work", "s", "processor, s", "memory"], [f"write {megabytes:.0f} MB", f"{seconds:.2f}", "-", "-"]]
        for work in WORK:
            found = _in_fresh_process(result, work)
            rows.append([work, f"{found['seconds']:.3f}", f"{found['processor']:.3f}", f"{found['memory']:.0f}"])
    shown, title = table(rows), f"Opening a result of {options.cells:,} cells"
    print(f"{title}. {TEXT}\n\n{shown}")
    if options.save:
        print(f"\nkept in {write_results('opening', title, [(TEXT, shown)]).name}")


def make_result(folder: Path, count: int) -> tuple[Path, float]:
    """Make a result in a folder; return where it is and the seconds that writing it took."""
    make_parts(folder / "parts", count)
    start = time.perf_counter()
    write_folder(analysis_of(folder / "parts", count), folder / "made", ("json",))
    return folder / "made", time.perf_counter() - start


def measure(result: Path, work: str) -> dict[str, float]:
    """Do one thing with a result and return its seconds, in all or for one box, and the highest resident set."""
    start = _clocks()
    analysis = open_result(result)
    if work == "open and score":
        percent_positive(analysis.population)
    elif work == "open and read all outlines":
        for part in analysis.cells.parts():
            len(part.outlines)
    elif work == "read a box":
        start = _clocks()
        read_boxes(analysis)
    each = BOXES if work == "read a box" else 1
    seconds, processor = ((stop - begun) / each for begun, stop in zip(start, _clocks(), strict=True))
    return {"seconds": seconds, "processor": processor, "memory": peak_mb()}


def read_boxes(analysis: Analysis) -> None:
    """Read some boxes of a result along the diagonal of the slide, each for the first time."""
    side = BLOCK_PX * int(np.sqrt(len(analysis.cells) / CELLS_PER_BLOCK))
    for number in range(BOXES):
        place = number * side // BOXES
        analysis.cells.within(Box(place, place, BLOCK_PX, BLOCK_PX))


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _in_fresh_process(result: Path, work: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", str(result), "--work", work]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what opening a large result takes.")
    parser.add_argument("--cells", type=int, default=CELLS, help="number of cells")
    parser.add_argument("--no-save", dest="save", action="store_false", help="write no results file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--work", default="open", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
