"""How fast is each stage: python benchmarks/speed.py [--bundle NAME_OR_PATH]... [--repeats N] [--no-save].

Each model and number of threads is measured in a process of its own, so that memory and thread pools start fresh. Times are
medians.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import skimage.data
from network_cost import gigaflops
from reporting import table, write_results

from counterstain.inference.bundle import Bundle, default_bundle_path, load_bundle
from counterstain.inference.names import load_backend
from counterstain.outputs.names import default_formats
from counterstain.pipeline import analyze
from counterstain.results.folder import write_folder
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution

STAGES = ("read", "network", "stitch", "cells", "scores", "total", "outputs")
TILE_PX, LARGE_PX, MATMUL_SIDE = 512, 2048, 2048
THREADS = (1, 2)

TEXT = f"""\
scikit-image's picture of a colon, 512 x 512, taken as 0.25 um per pixel. "image": seconds for it alone, from pixels in
memory; a model sees overlapping tiles, so it may see the image in several. "tile" and "Mpx/s": seconds per 512 x 512 px and
megapixels per second on a picture of {LARGE_PX} x {LARGE_PX} made of it. total: all stages but the outputs. outputs: every
file that analyze writes. memory: highest resident set of the process, in MB. forward: one run of the network on 512 x 512
px; matmul: measured rate of a float32 product of {MATMUL_SIDE} x {MATMUL_SIDE} matrices on the same threads; limit: share
of that rate the network reaches."""


def main() -> None:
    """Measure in fresh processes, print two tables and keep them."""
    options = _arguments()
    if options.child:
        sys.stdout.write(json.dumps(measure(options.bundle[0], options.child, options.repeats)))
        return
    measured = {
        (name, threads): _in_fresh_process(name, threads, options.repeats) for name in options.bundle for threads in THREADS
    }
    shown = "\n\n".join([_stage_table(measured), _network_table(measured)])
    print(f"{TEXT}\n\n{shown}")
    if options.save:
        print(f"\nkept in {write_results('speed', 'Speed', [(TEXT, shown)]).name}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the seconds of each stage.")
    parser.add_argument("--bundle", action="append", help="model to measure; repeat for more; default: classical and default")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of which the median is taken")
    parser.add_argument("--no-save", dest="save", action="store_false", help="write no results file")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.bundle = options.bundle or ["classical", "default"]
    return options


def _in_fresh_process(name: str, threads: int, repeats: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--bundle", name, "--repeats", str(repeats), "--child", str(threads)]
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    done = subprocess.run(command, env={**os.environ, **limits}, stdout=subprocess.PIPE, check=True, timeout=900)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(name: str, threads: int, repeats: int) -> dict[str, Any]:
    """Return the numbers of one model on as many CPUs as threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    backend = load_backend(name, threads=threads)
    pixels = skimage.data.immunohistochemistry()
    large = np.tile(pixels, (LARGE_PX // TILE_PX, LARGE_PX // TILE_PX, 1))
    batch = np.full((1, 3, TILE_PX, TILE_PX), 0.5, np.float32)
    image = [_stages(pixels, backend) for _ in range(repeats + 1)][1:]  # the first run warms up
    image_mb = peak_mb()
    field = [_stages(large, backend) for _ in range(max(1, repeats // 2))]
    bundle = _bundle(name)
    return {
        "image": {stage: median(run[stage] for run in image) for stage in STAGES},
        "large": {stage: median(run[stage] for run in field) for stage in STAGES},
        "image_mb": image_mb,
        "large_mb": peak_mb(),
        "forward_s": _seconds(lambda: backend.run(batch), repeats),
        "gigaflops": None if bundle is None else gigaflops(bundle, TILE_PX),
        "matmul_gigaflops_per_s": _matmul_rate(repeats),
    }


def _stages(pixels: np.ndarray, backend: Any) -> dict[str, float]:
    analysis = analyze(ArraySlide(pixels, name="speed", resolution=Resolution(0.25, "option")), backend)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write_folder(analysis, Path(folder) / "speed", default_formats())
        return {**analysis.timings_s, "outputs": time.perf_counter() - start}


def _bundle(name: str) -> Bundle | None:
    """Return the bundle behind a model's name; None for a model without a network."""
    if name == "default":
        return load_bundle(default_bundle_path())
    return load_bundle(name) if Path(name).exists() else None


def peak_mb() -> float:
    """Return the highest resident set so far."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource  # noqa: PLC0415 (not on Windows)

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _matmul_rate(repeats: int) -> float:
    """Return the best measured rate in 10^9 floating-point operations per second."""
    left = np.random.default_rng(0).random((MATMUL_SIDE, MATMUL_SIDE), dtype=np.float32)
    seconds = min(_seconds(lambda: left @ left, 1) for _ in range(repeats + 1))
    return 2 * MATMUL_SIDE**3 / seconds / 1e9


def _seconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def _stage_table(measured: dict[tuple[str, int], dict[str, Any]]) -> str:
    headings = ["model", "threads", "stage", "image s", "tile s", "Mpx/s"]
    rows = []
    for (name, threads), found in measured.items():
        for stage in STAGES:
            large = found["large"][stage]
            tile, rate = large * (TILE_PX / LARGE_PX) ** 2, LARGE_PX**2 / 1e6 / max(large, 1e-9)
            rows.append([_short(name), str(threads), stage, f"{found['image'][stage]:.3f}", f"{tile:.4f}", f"{rate:.1f}"])
    return table([headings, *rows])


def _network_table(measured: dict[tuple[str, int], dict[str, Any]]) -> str:
    headings = [
        "model",
        "threads",
        "memory image",
        "memory large",
        "forward s",
        "GFLOP",
        "GFLOP/s",
        "matmul GFLOP/s",
        "limit %",
    ]
    rows = []
    for (name, threads), found in measured.items():
        work, rate = found["gigaflops"], found["matmul_gigaflops_per_s"]
        speed = work / found["forward_s"] if work else None
        network = (
            [f"{work:.1f}", f"{speed:.0f}", f"{rate:.0f}", f"{100 * speed / rate:.0f}"]
            if speed
            else ["-", "-", f"{rate:.0f}", "-"]
        )
        memory = [f"{found['image_mb']:.0f}", f"{found['large_mb']:.0f}"]
        rows.append([_short(name), str(threads), *memory, f"{found['forward_s']:.3f}", *network])
    return table([headings, *rows])


def _short(name: str) -> str:
    return Path(name).name


if __name__ == "__main__":
    main()
