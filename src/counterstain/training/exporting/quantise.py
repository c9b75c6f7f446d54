"""Turn the convolutions of a graph into 8-bit integers, and refuse where that changes what is segmented.

The ranges of the numbers are measured on every other image; the others judge the result by the Dice of positive and negative
nuclei against the annotation.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from counterstain.errors import TrainingError
from counterstain.metrics.pixels import confusion_matrix, pixel_scores
from counterstain.training.synthesis.render import Sample
from counterstain.training.validate import known_classes

MAX_DICE_LOSS = 0.5
"""Percentage points of Dice that 8-bit integers may cost."""

_MIN_SAMPLES = 2


def quantise(graph: bytes, samples: Sequence[Sample]) -> bytes:
    """Return the graph with 8-bit convolutions.

    Parameters
    ----------
    graph : reads ``image``, normalised to [-1, 1], and gives ``segmentation`` among its outputs.
    samples : annotated images whose sides the graph takes; at least 2.

    Raises
    ------
    TrainingError
        Too few images, no annotated nucleus in those that judge, or a Dice that falls by more than ``MAX_DICE_LOSS``.
    """
    if len(samples) < _MIN_SAMPLES:
        raise TrainingError(f"int8 needs at least {_MIN_SAMPLES} annotated images to measure on, got {len(samples)}")
    smaller = _quantise(graph, samples[::2])
    before, after = (nuclear_dice(content, samples[1::2]) for content in (graph, smaller))
    if not before - after <= MAX_DICE_LOSS:
        raise TrainingError(
            f"int8 changes the Dice of nuclei from {before:.2f} to {after:.2f}; at most {MAX_DICE_LOSS} points may be lost. "
            "Export fp32 or fp16"
        )
    return smaller


def nuclear_dice(graph: bytes, samples: Sequence[Sample]) -> float:
    """Return the mean Dice of negative and positive nuclei over all known pixels, in per cent; NaN without a nucleus.

    A pixel is nuclear when positive and negative together exceed one half; the boundary counts as background.
    """
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    confusion = np.zeros((3, 3), np.int64)
    for sample in samples:
        (segmentation,) = session.run(["segmentation"], {"image": _normalised(sample)})
        confusion += confusion_matrix(*known_classes(sample, segmentation[0].transpose(1, 2, 0)))
    return 100 * pixel_scores(confusion).mean("dice")


class _Images(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, samples: Sequence[Sample]) -> None:
        self._left = list(samples)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return {"image": _normalised(self._left.pop())} if self._left else None


def _quantise(graph: bytes, samples: Sequence[Sample]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        given, prepared, done = (Path(folder) / name for name in ("given.onnx", "prepared.onnx", "done.onnx"))
        given.write_bytes(graph)
        quant_pre_process(given, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            done,
            _Images(samples),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return done.read_bytes()


def _normalised(sample: Sample) -> NDArray[np.float32]:
    planes = sample.image.astype(np.float32).transpose(2, 0, 1)[np.newaxis]
    return np.ascontiguousarray(planes / np.float32(127.5) - 1)
