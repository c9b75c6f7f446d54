"""Same weights, several runtimes: python benchmarks/deepliif.py [--width N] [--threads N]... [--repeats N] [--no-save].

Ours is a bundle in ONNX Runtime or OpenVINO. The other is what the published software does: every network run eagerly in
PyTorch, one tile at a time, normalising by the statistics of the batch. Each is measured in a process of its own on the same
random weights, and their answers are compared: largest difference of any value, and nuclei by the published rule.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import skimage.data
import torch
from one_tile import ENGINES, measure
from reporting import table, write_results
from scipy import ndimage
from torch import nn

from counterstain.cells.decoders.deepliif import PublishedRule
from counterstain.inference.bundle import Manifest
from counterstain.panel import DEFAULT_PANEL, SEGMENTATION, Channel, Panel
from counterstain.training.exporting.export import export_network
from counterstain.training.networks.deepliif import DeepLIIFNetwork, DeepLIIFOptions
from counterstain.training.networks.layers import GeneratorOptions, SampleNorm, initialise
from counterstain.training.tasks.base import Exported
from counterstain.training.tasks.deepliif import exported_deepliif
from counterstain.training.torch_backend import TorchBackend

EAGER, EXACT = "eager f32", "onnxruntime f32"
RUNTIMES = (EAGER, *ENGINES)

LEVEL, CONTRAST, SMOOTHING_PX = 0.2, 0.15, 1.0
"""Random networks draw grey grain, in which the published rule finds nothing: the mean and deviation it gets, and a blur."""

PANEL = Panel(
    channels=(*(Channel(name=channel.name, planes=3) for channel in DEFAULT_PANEL.modalities), SEGMENTATION), marker="marker"
)

TEXT = """\
One tile of 512 x 512 px (a real IHC image) through four ResNet-9 and five U-Net-512 generators (unless --segmenter says
otherwise) of random weights, batch 1. eager: the published networks in PyTorch; the others run our bundle. CPU s: processor
seconds of one tile; s: seconds; medians. memory: resident set of the process that runs the tiles, after them, in MB; peak: its
highest, while weights load. ratio: eager / this. difference: largest and mean absolute difference of any output from eager, on
a scale of 0 to 1. nuclei, positive: by the published rule, of segmentations that random networks draw as grey grain, blurred by
a pixel and stretched alike for all (both chosen so that there are nuclei at all: a weak test of counts); change: of the nuclei,
from onnxruntime f32."""


def main() -> None:
    """Make a bundle, measure every runtime in a fresh process, print a table and keep it."""
    options = _arguments()
    if options.folder:
        sys.stdout.write(json.dumps(measure_eager(Path(options.folder), options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        network = published_network(options)
        export_network(_exported(network), _manifest(network), Path(folder) / "bundle", files={})
        del network  # its memory is needed
        np.save(Path(folder) / "tile.npy", _tile().transpose(2, 0, 1)[np.newaxis].astype(np.float32) / 255)
        rows = [["", "threads", "CPU s", "ratio", "s", "ratio", "memory", "ratio", "peak", "ratio"]]
        for threads in options.threads:
            rows += _rows(threads, {name: _in_fresh_process(name, folder, threads, options) for name in RUNTIMES})
        shown = table(rows) + "\n\n" + table(_agreement(Path(folder)))
    print(f"{TEXT}\n\n{shown}")
    if options.save:
        print(f"\nkept in {write_results('deepliif', 'Speed of paper-architecture models', [(TEXT, shown)]).name}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure a paper-architecture model in ONNX Runtime and in eager PyTorch.")
    parser.add_argument("--width", type=int, default=64, help="channels of the first layer; the published networks have 64")
    parser.add_argument("--translator", default="resnet_9blocks", help="generator of the modalities")
    parser.add_argument("--segmenter", default="unet_512", help="generator of the segmentations")
    parser.add_argument("--threads", type=int, action="append", help="CPU threads; repeat for more; default: 1 and 2")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of which the median is taken")
    parser.add_argument("--no-save", dest="save", action="store_false", help="write no results file")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.threads = options.threads or [1, 2]
    return options


def published_network(options: argparse.Namespace) -> DeepLIIFNetwork:
    """Return the composed model with the same random weights each time."""
    architecture = DeepLIIFOptions(
        translator=options.translator,
        segmenter=options.segmenter,
        generator=GeneratorOptions(width=options.width),
    )
    torch.manual_seed(0)
    network = DeepLIIFNetwork(PANEL, architecture)
    initialise(network)
    return network.eval()


def _tile() -> np.ndarray:
    """Return (512, 512, 3) uint8."""
    return np.asarray(skimage.data.immunohistochemistry())


def _manifest(network: DeepLIIFNetwork) -> Manifest:
    return _exported(network).manifest(name="benchmark", version="1", licence="CC0-1.0")


def _exported(network: DeepLIIFNetwork) -> Exported:
    return exported_deepliif(network, PANEL, network.stride_px)


def as_published(network: DeepLIIFNetwork) -> nn.Module:
    """Let normalisations use the statistics of the batch, in place, as the published software runs them."""
    for module in network.modules():
        if isinstance(module, SampleNorm):
            module.train()
    return network


def _in_fresh_process(name: str, folder: str, threads: int, options: argparse.Namespace) -> dict[str, float]:
    if name in ENGINES:
        program = str(Path(__file__).with_name("one_tile.py"))
        command = [sys.executable, program, folder, name, str(threads), str(options.repeats)]
    else:
        given = ["--width", options.width, "--translator", options.translator, "--segmenter", options.segmenter]
        given += ["--threads", threads, "--repeats", options.repeats, "--folder", folder]
        command = [sys.executable, __file__, *map(str, given)]
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    done = subprocess.run(command, env={**os.environ, **limits}, stdout=subprocess.PIPE, check=True)  # noqa: S603
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure_eager(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Time the published way, and leave its answer in the folder."""
    torch.set_num_threads(options.threads[0])
    network = published_network(options)
    backend = TorchBackend(network, _manifest(network))
    as_published(network)
    return measure(backend.run, folder, EAGER, options.repeats)


def _rows(threads: int, found: dict[str, dict[str, float]]) -> list[list[str]]:
    rows = []
    for name in RUNTIMES:
        cells = []
        for key, form in (("cpu_s", ".2f"), ("wall_s", ".2f"), ("memory_mb", ".0f"), ("peak_mb", ".0f")):
            value, other = found[name][key], found[EAGER][key]
            cells += [format(value, form), f"{other / value:.2f}"]
        rows.append([name, str(threads), *cells])
    return rows


def _agreement(folder: Path) -> list[list[str]]:
    """Return, for each runtime, how its last answer differs from the eager one, and its nuclei."""
    rows = [["", "difference", "mean", "nuclei", "positive", "change"]]
    with np.load(folder / f"{EAGER}.npz") as answer:
        eager = dict(answer)
    with np.load(folder / f"{EXACT}.npz") as answer:
        exact = answer[SEGMENTATION.name]
    counted = _count(exact, exact)[0]
    for name in RUNTIMES:
        with np.load(folder / f"{name}.npz") as answer:
            maps = dict(answer)
        found = [np.abs(eager[channel] - maps[channel]) for channel in eager]
        most, mean = max(float(one.max()) for one in found), float(np.mean([one.mean() for one in found]))
        nuclei, positive = _count(maps[SEGMENTATION.name], exact)
        change = f"{100 * (nuclei - counted) / counted:+.2f} %" if counted else "none found"
        rows.append([name, f"{most:.1e}", f"{mean:.1e}", str(nuclei), str(positive), change])
    return rows


def _count(segmentation: np.ndarray, exact: np.ndarray) -> tuple[int, int]:
    """Return nuclei and positive nuclei of (1, 3, h, w) maps by the published rule; ``exact`` says how they are stretched."""
    means = exact.mean((2, 3), keepdims=True)
    blurred, reference = (
        ndimage.gaussian_filter((values - means)[0], (0, SMOOTHING_PX, SMOOTHING_PX)) for values in (segmentation, exact)
    )
    stretched = LEVEL + CONTRAST * blurred / reference.std((1, 2), keepdims=True)
    planes = np.clip(stretched, 0, 1).astype(np.float32)
    planes[1] = 0  # no boundary
    nuclei = PublishedRule(mpp=0.25)(planes.transpose(1, 2, 0), None)
    return len(nuclei.p_positive), int((nuclei.p_positive >= 0.5).sum())


if __name__ == "__main__":
    main()
