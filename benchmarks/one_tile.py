"""Measure one tile through a bundle, without PyTorch: python benchmarks/one_tile.py FOLDER NAME THREADS REPEATS.

FOLDER holds the folder ``bundle``; NAME is a key of ``ENGINES``. The answer is left in the folder as ``NAME.npz``, and the
numbers go to standard output. The tile is ``tile.npy`` of the folder.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from counterstain.inference.backend import Outputs
from counterstain.inference.names import Engine, load_backend
from counterstain.inference.openvino import Arithmetic

ENGINES: dict[str, tuple[Engine, Arithmetic]] = {
    "onnxruntime f32": ("onnxruntime", "f32"),
    "openvino f32": ("openvino", "f32"),
    "openvino bf16": ("openvino", "bf16"),
}


def main() -> None:
    """Measure and write the numbers."""
    folder, name, threads, repeats = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    engine, precision = ENGINES[name]
    backend = load_backend(folder / "bundle", threads=threads, engine=engine, precision=precision)
    sys.stdout.write(json.dumps(measure(backend.run, folder, name, repeats)))


def measure(run: Callable[[np.ndarray], Outputs], folder: Path, name: str, repeats: int) -> dict[str, float]:
    """Return medians of seconds and the memory of this process, and keep the answer in a file."""
    tile = np.load(folder / "tile.npy")
    np.savez(folder / f"{name}.npz", **run(tile))  # type: ignore[arg-type]  # the first run plans memory
    seconds = [_time(lambda: run(tile)) for _ in range(repeats)]
    return {
        "cpu_s": median(cpu for cpu, _ in seconds),
        "wall_s": median(wall for _, wall in seconds),
        "memory_mb": psutil.Process().memory_info().rss / 2**20,
        "peak_mb": highest_memory_mb(),
    }


def _time(call: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


def highest_memory_mb() -> float:
    """Return the highest resident set of this process so far; that of now where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    highest = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]
    return highest[0] if highest else psutil.Process().memory_info().rss / 2**20


if __name__ == "__main__":
    main()
