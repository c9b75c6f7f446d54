"""What a graph may hold, looked at before a runtime loads it: a bundle may come from a stranger.

A runtime computes what is constant while it loads a graph, so an endless loop or a constant of many gigabytes would act before
any tile is run. This looks at the operators, the sizes that are claimed and the constants that make something large, and skips
weights, so it takes milliseconds. Every limit is far above what a network for images needs.

It cannot see sizes that follow from the image while the graph runs. Those are limited by the time that a tile may take (see
``counterstain.inference.onnx``) and by the memory of the machine.
"""

import mmap
from collections.abc import Callable
from itertools import zip_longest
from math import isfinite, prod
from pathlib import Path

from counterstain.errors import BundleError
from counterstain.inference.graphs.operators import ALLOWED
from counterstain.inference.graphs.parts import Node, Numbers, Reader, node_of, opset_of, tensor_of

OPSETS = range(9, 29)
"""Versions of the ONNX operators that a graph may ask for."""

MAX_NODES = 50_000

MAX_VALUES = 2**28
"""Values of a tensor that constants make: a gigabyte in float32."""

MAX_SCALE = 64
"""How many times an operator may enlarge an image along each side."""

MAX_STEP = 4096
"""Largest stride, kernel, border and block, in pixels."""

_GRAPH, _OPSET, _FUNCTION = 7, 8, 25
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15
"""Numbers of fields in ``onnx.proto``: of the model, and of its graph."""

_SIDES = ("output_height", "output_padding", "output_shape", "output_width")
_STEPS = frozenset(["blocksize", "dilations", "kernel_shape", "pads", "strides", *_SIDES])
"""Attributes that are numbers of pixels."""


def check_operators(graph: bytes | Path, where: str) -> None:
    """Refuse a graph that holds what no graph of a bundle may.

    Parameters
    ----------
    graph : the content of an ONNX file, or its path when it is large.
    where : names the graph in messages.

    Raises
    ------
    BundleError
        It is not an ONNX graph, or it has an operator, an attribute or a size that is not allowed.
    """
    try:
        _check_model(_content_of(graph))
    except ValueError as error:
        raise BundleError(
            f"{where} is refused: {error}. Which graphs a bundle may hold is written in docs/bundles-safety.md"
        ) from error


def _content_of(graph: bytes | Path) -> memoryview:
    """Return what is in memory as it is, and a file as a map of it, which goes with its last view."""
    if isinstance(graph, bytes):
        return memoryview(graph)
    with graph.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _check_model(content: memoryview) -> None:
    read = Reader()
    graphs = []
    for piece in read(content):
        if piece.number == _FUNCTION:
            raise ValueError("it defines functions of its own; export it with functions inlined")
        if piece.number == _OPSET:
            _check_opset(*opset_of(piece.content, read))
        if piece.number == _GRAPH:
            graphs.append(piece.content)
    if len(graphs) != 1:
        raise ValueError(f"a file of ONNX holds one graph, this one {len(graphs)}")
    _check_graph(graphs[0], read)


def _check_opset(domain: str, version: int) -> None:
    if domain in ("", "ai.onnx") and version not in OPSETS:
        raise ValueError(f"it asks for version {version} of the ONNX operators; read are {OPSETS.start} to {OPSETS[-1]}")


def _check_graph(graph: memoryview, read: Reader) -> None:
    """Check a graph, its constants first, as nodes that use them may stand before them in the file."""
    known: dict[str, Numbers] = {}
    nodes = []
    for piece in read(graph):
        if piece.number == _SPARSE:
            raise ValueError("it has sparse weights, which may claim any size; store them in full")
        if piece.number == _INITIALIZER:
            tensor = tensor_of(piece.content, read)
            known[tensor.name] = tensor.numbers
        if piece.number == _NODE:
            nodes.append(piece.content)
            if len(nodes) > MAX_NODES:
                raise ValueError(f"it has more than {MAX_NODES:,} nodes")
    for content in nodes:
        node = node_of(content, read)
        _check_node(node, known)
        _follow(node, known)


def _check_node(node: Node, known: dict[str, Numbers]) -> None:
    if node.domain not in ("", "ai.onnx") or node.operator not in ALLOWED:
        name = f"{node.domain}.{node.operator}" if node.domain else node.operator
        raise ValueError(f"it has the operator {name[:100]!r}, which is not allowed")
    if node.has_graph:
        raise ValueError(f"its operator {node.operator} holds a graph, which could repeat without end")
    for name in _STEPS & node.numbers.keys():
        if any(abs(value) > MAX_STEP for value in node.numbers[name]):
            raise ValueError(f"{name} of {node.operator} is {_shown(node.numbers[name])}, allowed is up to {MAX_STEP}")
    if node.operator in _SIZES:
        _SIZES[node.operator](node, [known.get(name, ()) for name in node.inputs])


def _check_values(node: Node, sizes: Numbers) -> None:
    if prod(max(1, abs(size)) for size in sizes) > MAX_VALUES:
        raise ValueError(f"{node.operator} makes a tensor of {_shown(sizes)}; allowed are {MAX_VALUES:,} values")


def _check_scales(node: Node, scales: Numbers) -> None:
    if any(not scale <= MAX_SCALE for scale in scales):
        raise ValueError(f"{node.operator} enlarges by {_shown(scales)}; allowed is {MAX_SCALE} along each side")


def _check_range(node: Node, inputs: list[Numbers]) -> None:
    ends = [numbers[0] for numbers in inputs if numbers]
    if len(ends) < len(inputs):  # start, end or step follow from the image
        ends = [0, max((abs(end) for end in ends), default=0), 1]
    start, end, step = ends
    if not step or not (end - start) / step <= MAX_VALUES:
        raise ValueError(f"Range counts {_shown(tuple(ends))}; allowed are {MAX_VALUES:,} values")


def _check_borders(node: Node, borders: Numbers) -> None:
    if any(abs(border) > MAX_STEP for border in borders):
        raise ValueError(f"{node.operator} adds borders of {_shown(borders)}, allowed is up to {MAX_STEP}")


def _shown(numbers: Numbers) -> str:
    return " x ".join(f"{number:g}" for number in numbers[:8])


def _nth(check: Callable[[Node, Numbers], None], place: int) -> Callable[[Node, list[Numbers]], None]:
    """Return a check of the input at a place, which may be missing."""
    return lambda node, inputs: check(node, inputs[place] if place < len(inputs) else ())


def _check_resize(node: Node, inputs: list[Numbers]) -> None:
    _nth(_check_scales, 2 if node.operator == "Resize" and len(inputs) > 2 else 1)(node, inputs)
    _nth(_check_values, 3)(node, inputs)


_SIZES: dict[str, Callable[[Node, list[Numbers]], None]] = {
    "AffineGrid": _nth(_check_values, 1),
    "CenterCropPad": _nth(_check_values, 1),
    "ConstantOfShape": _nth(_check_values, 0),
    "Expand": _nth(_check_values, 1),
    "MaxUnpool": _nth(_check_values, 2),
    "OneHot": _nth(_check_values, 1),
    "Pad": _nth(_check_borders, 1),
    "Range": _check_range,
    "Resize": _check_resize,
    "Tile": _nth(_check_values, 1),
    "Upsample": _check_resize,
}
"""Operators whose output is as large as the numbers in an input say."""


def _follow(node: Node, known: dict[str, Numbers]) -> None:
    """Note what a node makes of small constants, where that is simple: sizes are often built from them."""
    inputs = [known.get(name, ()) for name in node.inputs]
    if node.operator == "Constant":
        result: Numbers = node.constant
    elif not inputs or not all(inputs):
        return
    elif node.operator == "Concat":
        result = tuple(number for numbers in inputs for number in numbers)
    elif node.operator in ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"):
        result = inputs[0]
    elif node.operator in _ARITHMETIC:
        result = _paired(_ARITHMETIC[node.operator], inputs[0], inputs[-1])
    else:
        return
    for name in node.outputs[:1]:
        known[name] = result if len(result) <= MAX_FOLLOWED and all(map(isfinite, result)) else ()


MAX_FOLLOWED = 64
"""Largest number of values of a constant that is followed: no tensor has more dimensions."""

_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "Add": lambda a, b: a + b,
    "Mul": lambda a, b: a * b,
    "Sub": lambda a, b: a - b,
}


def _paired(operation: Callable[[float, float], float], first: Numbers, second: Numbers) -> Numbers:
    """Return the results for numbers in pairs; one number alone goes with each of the others, as in ONNX."""
    length = max(len(first), len(second))
    if {len(first), len(second)} - {1, length}:
        return ()
    pairs = zip_longest(*(numbers * length if len(numbers) == 1 else numbers for numbers in (first, second)))
    return tuple(operation(a, b) for a, b in pairs)
