"""Same weights, two runtimes: python benchmarks/deepliif.py [--width N] [--threads N]... [--repeats N] [--no-save].

Ours is a bundle in ONNX Runtime. The other is what the published software does: every network run eagerly in PyTorch, one tile
at a time, normalising by the statistics of the batch. Each is measured in a process of its own on the same random weights, and
their answers are compared.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from one_tile import measure
from reporting import table, write_results
from torch import nn

from counterstain.inference.bundle import Manifest
from counterstain.panel import DEFAULT_PANEL, SEGMENTATION, Channel, Panel
from counterstain.training.export import deepliif_manifest, export_network
from counterstain.training.networks.deepliif import DeepLIIFNetwork, DeepLIIFOptions
from counterstain.training.networks.layers import GeneratorOptions, SampleNorm, initialise
from counterstain.training.torch_backend import TorchBackend

RUNTIMES = ("eager", "ours")

PANEL = Panel(
    channels=(*(Channel(name=channel.name, planes=3) for channel in DEFAULT_PANEL.modalities), SEGMENTATION), marker="marker"
)

TEXT = """\
One tile of 512 x 512 px through four ResNet-9 and five U-Net-512 generators (unless --segmenter says otherwise) of random
weights, batch 1. CPU s: processor seconds of one tile; s: seconds; medians. memory: resident set of the process that runs the
tiles, after them, in MB; peak: its highest, while weights load. ratio: eager / ours. difference: largest and mean absolute
difference of any output, on a scale of 0 to 1."""


def main() -> None:
    """Make a bundle, measure both runtimes in fresh processes, print a table and keep it."""
    options = _arguments()
    if options.folder:
        sys.stdout.write(json.dumps(measure_eager(Path(options.folder), options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        network = published_network(options)
        export_network(network, _manifest(network), Path(folder) / "bundle", files={})
        rows = [["", "threads", "CPU s", "ratio", "s", "ratio", "memory", "ratio", "peak", "ratio"]]
        differences = []
        for threads in options.threads:
            found = {name: _in_fresh_process(name, folder, threads, options) for name in RUNTIMES}
            rows += _rows(threads, found)
            differences.append(_difference(Path(folder)))
    shown = table(rows) + "\n\n" + "; ".join(f"difference {most:.1e}, mean {mean:.1e}" for most, mean in differences)
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


def _manifest(network: DeepLIIFNetwork) -> Manifest:
    return deepliif_manifest(network, PANEL, name="benchmark", version="1", licence="CC0-1.0")


def as_published(network: DeepLIIFNetwork) -> nn.Module:
    """Let normalisations use the statistics of the batch, in place, as the published software runs them."""
    for module in network.modules():
        if isinstance(module, SampleNorm):
            module.train()
    return network


def _in_fresh_process(name: str, folder: str, threads: int, options: argparse.Namespace) -> dict[str, float]:
    if name == "ours":
        command = [sys.executable, str(Path(__file__).with_name("one_tile.py")), folder, str(threads), str(options.repeats)]
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
    return measure(backend.run, folder / "eager.npz", options.repeats)


def _rows(threads: int, found: dict[str, dict[str, float]]) -> list[list[str]]:
    rows = []
    for name in RUNTIMES:
        cells = []
        for key, form in (("cpu_s", ".2f"), ("wall_s", ".2f"), ("memory_mb", ".0f"), ("peak_mb", ".0f")):
            value, other = found[name][key], found["eager"][key]
            cells += [format(value, form), f"{other / value:.2f}"]
        rows.append([name, str(threads), *cells])
    return rows


def _difference(folder: Path) -> tuple[float, float]:
    eager, ours = (np.load(folder / f"{name}.npz") for name in RUNTIMES)
    found = [np.abs(eager[name] - ours[name]) for name in eager.files]
    return max(float(one.max()) for one in found), float(np.mean([one.mean() for one in found]))


if __name__ == "__main__":
    main()
