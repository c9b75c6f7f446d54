"""Turn a trained network into a bundle, and prove that ONNX Runtime gives the numbers of PyTorch."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor, nn

from counterstain.errors import TrainingError
from counterstain.geometry import DEFAULT_MPP
from counterstain.inference.bundle import Manifest, write_bundle
from counterstain.inference.names import load_backend
from counterstain.options import load_options
from counterstain.panel import DEFAULT_PANEL, Panel
from counterstain.training.checkpoint import load_checkpoint
from counterstain.training.networks.compact import STRIDE_PX, CompactNetwork
from counterstain.training.networks.deepliif import DeepLIIFNetwork
from counterstain.training.onnx_graph import MAX_GRAPH_BYTES, Shape, differences, with_half_weights, write_onnx
from counterstain.training.quantise import quantised
from counterstain.training.recipe import TrainOptions
from counterstain.training.subpixel import with_faster_convolutions
from counterstain.training.synthesis.render import Sample
from counterstain.training.tasks.compact import segment_with
from counterstain.training.tasks.deepliif import deepliif_network, deepliif_panel
from counterstain.training.tasks.distillation import student_panel

Precision = Literal["fp32", "fp16", "int8"]
"""``fp16`` stores large weights in half the space and computes in float32; ``int8`` computes convolutions in integers."""

PARITY_LIMIT = 1e-3
"""Largest allowed difference between PyTorch and ONNX Runtime, on a scale of 0 to 1."""

HALF_LIMIT = 1 / 255
"""Largest allowed mean difference that weights of float16 may make, on a scale of 0 to 1: one grey level."""

TILE_PX, MARGIN_PX = 1536, 192
"""Of the compact network, which sees 270 px: with this margin tiles of any size count the same nuclei but for 0.1 %."""

PAPER_TILE_PX, PAPER_MARGIN_PX = 512, 32
"""A margin of a sixteenth of the tile on each side, as the published software overlaps its tiles."""

TRAINING_DATA = (
    "images rendered from Data Science Bowl 2018 stage 1 tissue and fluorescence tiles (BBBC038), CC0",
    "images drawn from nothing",
    "two co-registered sets of the DeepLIIF data set (Zenodo 4751737), CC BY 4.0",
    "four glioma Ki-67 fields of two slides, MIT",
)
"""What a run without a manifest trains on, with licences."""

_LARGE_STRIDE_PX = 256


class _ExportedCompact(nn.Module):
    """The compact network as a bundle runs it: a normalised image in, the channels of the panel out, in order."""

    def __init__(self, network: CompactNetwork, panel: Panel) -> None:
        super().__init__()
        self.network = network
        self.names = [channel.name for channel in panel.channels]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = segment_with(self.network)(image * 0.5 + 0.5)
        return tuple(outputs[name] for name in self.names)


class _ExportedDeepLIIF(nn.Module):
    """The composed model as a bundle runs it; answers in [-1, 1] become [0, 1]."""

    def __init__(self, network: DeepLIIFNetwork, panel: Panel) -> None:
        super().__init__()
        self.network = network
        self.names = [channel.name for channel in panel.channels]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(image)
        return tuple((outputs[name] + 1) / 2 for name in self.names)


def export_run(
    checkpoint: Path,
    bundle: Path,
    *,
    name: str,
    version: str,
    files: Mapping[str, bytes],
    precision: Precision = "fp32",
    samples: Sequence[Sample] = (),
) -> float:
    """Write the averaged weights of a checkpoint as a bundle.

    The architecture is that of the options beside the checkpoint, and that of the default recipe where there are none.

    Parameters
    ----------
    files : more files for the bundle, by name, such as a model card.
    precision, samples : see ``export_network``.

    Returns
    -------
    The largest difference between ONNX Runtime and PyTorch on random images.

    Raises
    ------
    TrainingError
        See ``export_network``, or the run learned something that no bundle can be made of; no bundle is written then.
    """
    options, average = _options_of(checkpoint.parent), load_checkpoint(checkpoint).average
    if options.task == "cyclegan":
        raise TrainingError("a run of unpaired translation infers no nuclei, so no bundle is made of it")
    if options.task == "deepliif":
        network, panel = deepliif_network(options.deepliif), deepliif_panel(options.deepliif)
        network.load_state_dict(average)
        manifest = deepliif_manifest(network, panel, name=name, version=version, licence=_licence(options))
        manifest = manifest.model_copy(update={"training_data": _training_data(options)})
        return export_network(network, manifest, bundle, files=files, precision=precision, samples=samples)
    panel = DEFAULT_PANEL
    if options.task == "distillation":
        panel = student_panel(load_backend(options.distillation.teacher).manifest.panel)
    compact = CompactNetwork(panel)
    compact.load_state_dict(average)
    manifest = _compact_manifest(options, panel, name, version)
    return _export(_ExportedCompact(compact.eval(), panel), manifest, bundle, files, precision, samples)


def _options_of(run: Path) -> TrainOptions:
    path = run / "options.json"
    return load_options(TrainOptions, None, json.loads(path.read_text())) if path.is_file() else TrainOptions()


def _licence(options: TrainOptions) -> str:
    """Return the licence of the weights, which only their author can state where the images are someone's own."""
    return "not stated" if options.paired.manifest else "Apache-2.0"


def _training_data(options: TrainOptions) -> tuple[str, ...]:
    manifest = options.paired.manifest
    return (f"sets listed in {Path(manifest).name}",) if manifest else TRAINING_DATA


def _compact_manifest(options: TrainOptions, panel: Panel, name: str, version: str) -> Manifest:
    return Manifest(
        name=name,
        version=version,
        panel=panel,
        mpp=DEFAULT_MPP,
        tile_px=TILE_PX,
        margin_px=MARGIN_PX,
        stride_px=STRIDE_PX,
        decoder="watershed",
        expected_nuclear_area_um2=(15.0, 90.0),
        licence=_licence(options),
        training_data=_training_data(options),
    )


def deepliif_manifest(network: DeepLIIFNetwork, panel: Panel, *, name: str, version: str, licence: str) -> Manifest:
    """Return the manifest of a composed model: tiles and margins as published, and the published rule as decoder."""
    return Manifest(
        name=name,
        version=version,
        panel=panel,
        mpp=DEFAULT_MPP,
        tile_px=max(PAPER_TILE_PX, network.stride_px),
        margin_px=PAPER_MARGIN_PX,
        stride_px=network.stride_px,
        decoder="deepliif",
        expected_nuclear_area_um2=(15.0, 90.0),
        licence=licence,
    )


def export_network(
    network: DeepLIIFNetwork,
    manifest: Manifest,
    bundle: Path,
    *,
    files: Mapping[str, bytes],
    precision: Precision = "fp32",
    samples: Sequence[Sample] = (),
) -> float:
    """Write a composed model of one input image as a bundle with one graph for all of its generators.

    Parameters
    ----------
    manifest : from ``deepliif_manifest``.
    files : more files for the bundle, by name.
    precision : ``int8`` needs annotated ``samples`` of sides that the network takes; see ``quantise``.

    Returns
    -------
    The largest difference between PyTorch and ONNX Runtime in fp32.

    Raises
    ------
    TrainingError
        ONNX Runtime in fp32 differs by ``PARITY_LIMIT`` or more, fp16 by more than ``HALF_LIMIT`` on average, int8 loses too
        much Dice, or the graph is too large for one file; no bundle is written then.
    """
    return _export(_ExportedDeepLIIF(network.eval(), manifest.panel), manifest, bundle, files, precision, samples)


def _export(
    network: nn.Module,
    manifest: Manifest,
    bundle: Path,
    files: Mapping[str, bytes],
    precision: Precision,
    samples: Sequence[Sample],
) -> float:
    _check_size(network, precision)
    shapes = _shapes(manifest.stride_px)
    graph = _graph(network.eval(), manifest)
    difference = max(float(found.max()) for found in differences(network, graph, shapes))
    if not difference < PARITY_LIMIT:
        raise TrainingError(
            f"ONNX Runtime differs from PyTorch by {difference:.2g}, allowed is {PARITY_LIMIT}; nothing was exported"
        )
    if precision == "fp16":
        graph = _halved(network, graph, shapes)
    elif precision == "int8":
        graph = quantised(graph, samples)
    write_bundle(bundle, manifest, {"model.onnx": graph, **files})
    return difference


def _check_size(network: nn.Module, precision: Precision) -> None:
    size = sum(weight.numel() * weight.element_size() for weight in network.parameters())
    if size > MAX_GRAPH_BYTES:
        raise TrainingError(
            f"the weights take {size:,} bytes, and one graph holds at most {MAX_GRAPH_BYTES:,}; leave out generators by a "
            f"segmentation weight of 0 (precision {precision} does not change the graph that is checked first)"
        )


def _graph(network: nn.Module, manifest: Manifest) -> bytes:
    names = tuple(channel.name for channel in manifest.panel.channels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write_onnx(with_faster_convolutions(network), path, names=names, stride_px=manifest.stride_px)
        return path.read_bytes()


def _halved(network: nn.Module, graph: bytes, shapes: Sequence[Shape]) -> bytes:
    try:
        smaller = with_half_weights(graph)
    except ValueError as error:
        raise TrainingError(f"fp16 cannot hold these weights: {error}; export fp32") from error
    change = max(float(np.mean(found)) for found in differences(network, smaller, shapes))
    if not change <= HALF_LIMIT:
        raise TrainingError(f"fp16 changes an output by {change:.2g} on average, allowed is {HALF_LIMIT:.2g}; export fp32")
    return smaller


def _shapes(stride_px: int) -> list[Shape]:
    """Return sizes of inputs to compare on: few where the smallest is already large."""
    if stride_px >= _LARGE_STRIDE_PX:
        return [(1, 3, stride_px, stride_px)]
    side = max(2 * stride_px, 32)
    return [(1, 3, side, side), (2, 3, side + stride_px, side), (1, 3, 4 * side, 2 * side + stride_px)]
