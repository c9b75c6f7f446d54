"""Count the multiplications of a network by running it once and looking at the sizes inside."""

from math import prod

import numpy as np
import onnx
import onnxruntime

from counterstain.inference.bundle import Bundle
from counterstain.inference.onnx import INPUT

OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def gigaflops(bundle: Bundle, side_px: int) -> float:
    """Return 10^9 floating-point operations (a multiplication and an addition are two) of one run on a square of ``side_px``.

    Convolutions and matrix products are counted; what is element by element costs little beside them.
    """
    model = onnx.load_from_string(next(content for name, content in bundle.weights.items() if name.endswith(".onnx")))
    counted = [node for node in model.graph.node if node.op_type in OPERATORS]
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes |= _shapes(model, {name for node in counted for name in (*node.input[:2], node.output[0])} - set(shapes), side_px)
    return sum(_operations(node, shapes) for node in counted) / 1e9


def _shapes(model: onnx.ModelProto, names: set[str], side_px: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of values inside the network, which is changed to return them."""
    del model.graph.output[:]
    inside = sorted(names - {INPUT})
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in inside)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    image = np.zeros((1, 3, side_px, side_px), np.float32)
    values = session.run(inside, {INPUT: image})
    return {INPUT: image.shape, **{name: value.shape for name, value in zip(inside, values, strict=True)}}


def _operations(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    """Return twice the number of multiplications: values of the output (or input, when transposed) times kernel size."""
    output, first, second = shapes[node.output[0]], shapes[node.input[0]], shapes[node.input[1]]
    if node.op_type == "ConvTranspose":
        return 2 * prod(first) * prod(second[1:])
    return 2 * prod(output) * (prod(second[1:]) if node.op_type == "Conv" else first[-1])
