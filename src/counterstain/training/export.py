"""Turn a trained run into a bundle, and prove that ONNX Runtime gives the numbers of PyTorch."""

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from counterstain.errors import TrainingError
from counterstain.geometry import DEFAULT_MPP
from counterstain.inference.bundle import Manifest, write_bundle
from counterstain.panel import DEFAULT_PANEL
from counterstain.training.checkpoint import load_checkpoint
from counterstain.training.loop import segment_with
from counterstain.training.networks.compact import STRIDE_PX, CompactNetwork

PARITY_LIMIT = 1e-3
"""Largest allowed difference between PyTorch and ONNX Runtime, on a scale of 0 to 1."""

TILE_PX, MARGIN_PX = 512, 64

TRAINING_DATA = (
    "images rendered from Data Science Bowl 2018 stage 1 tissue and fluorescence tiles (BBBC038), CC0",
    "images drawn from nothing",
    "two co-registered sets of the DeepLIIF data set (Zenodo 4751737), CC BY 4.0",
    "four glioma Ki-67 fields of two slides, MIT",
)
"""What the recipe trains on, with licences."""


class _Exported(nn.Module):
    """The network as a bundle runs it: a normalised image in, the channels of the panel out, in order."""

    def __init__(self, network: CompactNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = segment_with(self.network)(image * 0.5 + 0.5)
        return tuple(outputs[channel.name] for channel in DEFAULT_PANEL.channels)


def export_run(checkpoint: Path, bundle: Path, *, name: str, version: str, files: dict[str, bytes]) -> float:
    """Write the averaged weights of a checkpoint as a bundle.

    Parameters
    ----------
    files : more files for the bundle, by name, such as a model card.

    Returns
    -------
    The largest difference between ONNX Runtime and PyTorch over three sizes of random images.

    Raises
    ------
    TrainingError
        The difference is not below ``PARITY_LIMIT``; no bundle is written then.
    """
    network = CompactNetwork(DEFAULT_PANEL)
    network.load_state_dict(load_checkpoint(checkpoint).average)
    exported = _Exported(network.eval())
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "model.onnx"
        _write_onnx(exported, weights)
        difference = largest_difference(exported, weights)
        if not difference < PARITY_LIMIT:
            raise TrainingError(
                f"ONNX Runtime differs from PyTorch by {difference:.2g}, allowed is {PARITY_LIMIT}; nothing was exported"
            )
        write_bundle(bundle, _manifest(name, version), {"model.onnx": weights.read_bytes()} | files)
    return difference


def _write_onnx(exported: nn.Module, path: Path) -> None:
    names = [channel.name for channel in DEFAULT_PANEL.channels]
    count, rows, cols = (torch.export.Dim(dim, min=1, max=4096) for dim in ("n", "h", "w"))
    torch.onnx.export(
        exported,
        (torch.rand(2, 3, 2 * STRIDE_PX, 3 * STRIDE_PX),),
        path,
        input_names=["image"],
        output_names=names,
        dynamic_shapes=({0: count, 2: STRIDE_PX * rows, 3: STRIDE_PX * cols},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def largest_difference(exported: nn.Module, weights: Path) -> float:
    """Return the largest absolute difference of any output between PyTorch and ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for shape in ((1, 3, 64, 64), (2, 3, 96, 32), (1, 3, 256, 160)):
        image = torch.rand(shape, generator=generator) * 2 - 1
        with torch.no_grad():
            expected = exported(image)
        found = session.run(None, {"image": image.numpy()})
        worst = max(worst, *(float(np.abs(a.numpy() - b).max()) for a, b in zip(expected, found, strict=True)))
    return worst


def _manifest(name: str, version: str) -> Manifest:
    return Manifest(
        name=name,
        version=version,
        panel=DEFAULT_PANEL,
        mpp=DEFAULT_MPP,
        tile_px=TILE_PX,
        margin_px=MARGIN_PX,
        stride_px=STRIDE_PX,
        decoder="watershed",
        expected_nuclear_area_um2=(15.0, 90.0),
        licence="Apache-2.0",
        training_data=TRAINING_DATA,
    )
