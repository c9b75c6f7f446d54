"""Turn a trained network into a bundle, and prove that ONNX Runtime gives the numbers of PyTorch."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor, nn

from counterstain.errors import TrainingError
from counterstain.inference.bundle import Manifest, write_bundle
from counterstain.training.checkpoint import MODEL, load_checkpoint
from counterstain.training.exporting.card import model_card
from counterstain.training.exporting.onnx_graph import MAX_GRAPH_BYTES, Shape, differences, with_half_weights, write_onnx
from counterstain.training.exporting.quantise import quantise
from counterstain.training.exporting.subpixel import with_faster_convolutions
from counterstain.training.recipe import TrainOptions, build_task
from counterstain.training.run_folder import stored_options
from counterstain.training.synthesis.render import Sample
from counterstain.training.tasks.base import Exported

WeightPrecision = Literal["fp32", "fp16", "int8"]
"""``fp16`` stores large weights in half the space and computes in float32; ``int8`` computes convolutions in integers."""

PARITY_LIMIT = 1e-3
"""Largest allowed difference between PyTorch and ONNX Runtime, on a scale of 0 to 1."""

HALF_LIMIT = 1 / 255
"""Largest allowed mean difference that weights of float16 may make, on a scale of 0 to 1: one grey level."""

TRAINING_DATA = (
    "images rendered from Data Science Bowl 2018 stage 1 tissue and fluorescence tiles (BBBC038), CC0",
    "images rendered from NuInsSeg (Mahbod et al., Scientific Data 2024), CC BY 4.0",
    "images rendered from H&E of triple-negative breast cancer (Naylor et al., IEEE TMI 2019; Zenodo 2579118), CC BY 4.0",
    "images drawn from nothing",
    "two co-registered sets of the DeepLIIF data set (Zenodo 4751737), CC BY 4.0",
    "four glioma Ki-67 fields of two slides, MIT",
)
"""What a run without a set list trains on, with licences."""

CARD = "MODEL_CARD.md"

_LARGE_STRIDE_PX = 256


def export_run(
    checkpoint: Path,
    bundle: Path,
    *,
    name: str,
    version: str,
    files: Mapping[str, bytes],
    precision: WeightPrecision = "fp32",
    samples: Sequence[Sample] = (),
) -> float:
    """Write the averaged weights of a checkpoint as a bundle.

    The architecture is that of the options beside the checkpoint, and that of the default recipe where there are none.

    Parameters
    ----------
    files : more files for the bundle, by name; a ``CARD`` among them takes the place of the one that is written here.
    precision, samples : see ``export_network``.

    Returns
    -------
    The largest difference between ONNX Runtime and PyTorch on random images.

    Raises
    ------
    TrainingError
        See ``export_network``, or the run learned something that no bundle can be made of; no bundle is written then.
    """
    options = stored_options(checkpoint.parent)
    task = build_task(options, report=_silent)
    network = task.networks[MODEL]
    trained = load_checkpoint(checkpoint)
    _load(network, trained.average, checkpoint)
    exported = task.exported(network)
    manifest = exported.manifest(name=name, version=version, licence=_licence(options), training_data=_training_data(options))
    card = {CARD: model_card(manifest, task=options.task, step=trained.step).encode()}
    return export_network(exported, manifest, bundle, files={**card, **files}, precision=precision, samples=samples)


def _silent(line: str) -> None:
    """Report nothing."""


def _load(network: nn.Module, weights: Mapping[str, Tensor], checkpoint: Path) -> None:
    try:
        network.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise TrainingError(
            f"the weights in {checkpoint} do not fit the network of its options ({checkpoint.parent / 'options.json'}): {error}"
        ) from error


def _licence(options: TrainOptions) -> str:
    """Return the licence of the weights, which only their author can state where the images are someone's own."""
    return "not stated" if options.paired.manifest else "Apache-2.0"


def _training_data(options: TrainOptions) -> tuple[str, ...]:
    manifest = options.paired.manifest
    return (f"sets listed in {Path(manifest).name}",) if manifest else TRAINING_DATA


def export_network(
    exported: Exported,
    manifest: Manifest,
    bundle: Path,
    *,
    files: Mapping[str, bytes],
    precision: WeightPrecision = "fp32",
    samples: Sequence[Sample] = (),
) -> float:
    """Write a model as a bundle with one graph.

    Parameters
    ----------
    manifest : from ``exported.manifest``.
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
    network = exported.network
    _check_size(network, precision)
    shapes = _shapes(manifest.stride_px)
    graph = _graph(network, manifest)
    difference = max(float(found.max()) for found in differences(network, graph, shapes))
    if not difference < PARITY_LIMIT:
        raise TrainingError(
            f"ONNX Runtime differs from PyTorch by {difference:.2g}, allowed is {PARITY_LIMIT}; nothing was exported"
        )
    if precision == "fp16":
        graph = _halve(network, graph, shapes)
    elif precision == "int8":
        graph = quantise(graph, samples)
    write_bundle(bundle, manifest, {"model.onnx": graph, **files})
    return difference


def _check_size(network: nn.Module, precision: WeightPrecision) -> None:
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


def _halve(network: nn.Module, graph: bytes, shapes: Sequence[Shape]) -> bytes:
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
