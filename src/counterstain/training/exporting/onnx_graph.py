"""Write a PyTorch network as an ONNX graph, compare the two, and store the weights of a graph in half the space.

What the channels mean, and where files go, is not known here.
"""

import logging
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

MAX_GRAPH_BYTES = 2_000_000_000
"""A graph with its weights in one file can hold hardly more (protobuf's limit is 2 GiB)."""

Shape = tuple[int, int, int, int]

_MAX_SIDE_PX = 131072
_SMALL = 1024
"""Tensors of fewer values keep their precision: biases, scales, sizes."""


def write_onnx(network: nn.Module, path: Path, *, names: tuple[str, ...], stride_px: int, planes_in: int = 3) -> None:
    """Write a graph whose input is called ``image``; the batch and the sides are free.

    Parameters
    ----------
    network : in eval mode, from (n, planes_in, h, w) float32 to a tuple of tensors.
    names : of the outputs.
    stride_px : sides of the input are multiples of it.
    """
    count = torch.export.Dim("n", min=1, max=4096)
    rows, cols = (torch.export.Dim(side, min=1, max=_MAX_SIDE_PX // stride_px) for side in ("h", "w"))
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)  # it misses torchvision
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the exporter calls what PyTorch deprecates
        torch.onnx.export(
            network,
            (torch.zeros(2, planes_in, 2 * stride_px, 3 * stride_px),),  # not 1, which the exporter would take for fixed
            path,
            input_names=["image"],
            output_names=list(names),
            dynamic_shapes=({0: count, 2: stride_px * rows, 3: stride_px * cols},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    _forget_origin(path)


def _forget_origin(path: Path) -> None:
    """Take out of a graph what the exporter notes of each node: the source files and lines on the machine that wrote it."""
    model = onnx.load(path)
    for noted in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        noted.ClearField("doc_string")
        noted.ClearField("metadata_props")
    for function in model.functions:
        for node in function.node:
            node.ClearField("metadata_props")
    onnx.save(model, path)


def largest_difference(network: nn.Module, graph: bytes, shapes: Iterable[Shape]) -> float:
    """Return the largest absolute difference of any output between PyTorch and ONNX Runtime, on random images in [-1, 1]."""
    return max(float(difference.max()) for difference in differences(network, graph, shapes))


def differences(network: nn.Module, graph: bytes, shapes: Iterable[Shape]) -> list[np.ndarray]:
    """Return the absolute difference of every output, for each shape of input in turn."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    found: list[np.ndarray] = []
    for shape in shapes:
        image = torch.rand(shape, generator=generator) * 2 - 1
        with torch.no_grad():
            expected = network(image)
        answers = session.run(None, {"image": image.numpy()})
        found += [np.abs(a.numpy() - b) for a, b in zip(expected, answers, strict=True)]
    return found


def with_half_weights(graph: bytes) -> bytes:
    """Return the graph with its large weights as float16; a runtime widens them on loading and computes in float32.

    Raises
    ------
    ValueError
        A weight is too large for float16.
    """
    model = onnx.load_from_string(graph)
    kept, halved, casts = [], [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _SMALL:
            kept.append(tensor)
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise ValueError(f"the weight {tensor.name} is too large for float16")
        name = f"{tensor.name}_half"
        halved.append(numpy_helper.from_array(values.astype(np.float16), name))
        casts.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:], model.graph.value_info[:]
    model.graph.initializer.extend([*kept, *halved])
    model.graph.node.extend(nodes)
    content: bytes = model.SerializeToString()
    return content
