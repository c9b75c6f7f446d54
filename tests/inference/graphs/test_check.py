"""What a graph of a stranger may not hold is refused before a runtime sees it; what networks hold is not."""

import contextlib
import itertools
import random

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from counterstain.errors import BundleError
from counterstain.inference.bundle import default_bundle_path, graph_of, write_bundle
from counterstain.inference.graphs import check as module
from counterstain.inference.graphs.check import check_operators
from counterstain.inference.graphs.operators import ALLOWED
from counterstain.inference.graphs.wire import pieces_of, signed, varints_of

from ..conftest import MANIFEST, graph

IMAGE = helper.make_tensor_value_info("image", TensorProto.FLOAT, [None] * 4)
MAP = helper.make_tensor_value_info("map", TensorProto.FLOAT, None)


def model(*nodes, constants=None, opset=17, functions=(), domains=()):
    """Return the bytes of a graph from ``image`` to ``map`` with constants by name."""
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    return helper.make_model(
        helper.make_graph(list(nodes), "g", [IMAGE], [MAP], tensors),
        opset_imports=[helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)],
        functions=list(functions),
    ).SerializeToString()


def refused(content, message):
    with pytest.raises(BundleError, match=f"(?s)that graph is refused: .*{message}.*docs/bundles-safety.md"):
        check_operators(content, "that graph")


def node(operator, inputs, outputs=("map",), **attributes):
    return helper.make_node(operator, inputs, list(outputs), **attributes)


ENDLESS = helper.make_graph(
    [node("Identity", ["go"], ["again"])],
    "body",
    [helper.make_tensor_value_info("step", TensorProto.INT64, []), helper.make_tensor_value_info("go", TensorProto.BOOL, [])],
    [helper.make_tensor_value_info("again", TensorProto.BOOL, [])],
)


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("Loop", {"body": ENDLESS}),
        ("If", {"then_branch": ENDLESS, "else_branch": ENDLESS}),
        ("Scan", {"body": ENDLESS, "num_scan_inputs": 1}),
        ("SequenceMap", {"body": ENDLESS}),
        ("RandomNormalLike", {}),
        ("StringConcat", {}),
        ("ImageDecoder", {}),
        ("NoSuchOperator", {}),
    ],
)
def test_an_operator_that_repeats_draws_or_is_not_known_is_refused(operator, attributes):
    refused(model(node(operator, ["image"], **attributes)), f"operator '{operator}', which is not allowed")


def test_a_graph_in_an_operator_that_should_have_none_is_refused():
    refused(model(node("Relu", ["image"], body=ENDLESS)), "Relu holds a graph")


def test_an_operator_of_another_domain_is_refused():
    refused(model(node("Gelu", ["image"], domain="com.microsoft"), domains=["com.microsoft"]), r"com\.microsoft\.Gelu")


def test_naming_another_domain_without_using_it_is_allowed():
    check_operators(model(node("Relu", ["image"]), domains=["com.microsoft", "ai.onnx.ml"]), "it")


def test_functions_that_a_graph_brings_are_refused():
    bomb = helper.make_function("own", "f", ["x"], ["y"], [node("Add", ["x", "x"], ["y"])], [helper.make_opsetid("", 17)])
    refused(model(node("f", ["image"], domain="own"), functions=[bomb], domains=["own"]), "functions of its own")


@pytest.mark.parametrize("opset", [1, 8, 99])
def test_a_version_of_the_operators_that_is_not_read_is_refused(opset):
    refused(model(node("Relu", ["image"]), opset=opset), f"version {opset} of the ONNX operators; read are 9 to 28")


MANY = 2**29


@pytest.mark.parametrize(
    ("operator", "inputs", "constants"),
    [
        ("ConstantOfShape", ["n"], {"n": np.array([MANY])}),
        ("ConstantOfShape", ["n"], {"n": np.array([2**15, 2**15], np.int64)}),
        ("Expand", ["image", "n"], {"n": np.array([MANY])}),
        ("Tile", ["image", "n"], {"n": np.array([1, 1, 2**15, 2**15])}),
        ("Range", ["zero", "n", "one"], {"zero": np.int64(0), "n": np.int64(2**40), "one": np.int64(1)}),
        ("Range", ["zero", "n", "one"], {"zero": np.float32(0), "n": np.float32(1), "one": np.float32(1e-12)}),
        ("OneHot", ["image", "n", "two"], {"n": np.array(MANY), "two": np.array([0, 1])}),
        ("Resize", ["image", "", "n"], {"n": np.array([1, 1, 1000, 1000], np.float32)}),
        ("Resize", ["image", "", "", "n"], {"n": np.array([1, 3, 2**15, 2**15])}),
        ("Resize", ["image", "", "n"], {"n": np.array([1, 1, np.nan, 1], np.float32)}),
        ("Pad", ["image", "n"], {"n": np.array([0, 0, 0, 0, 0, 0, MANY, 0])}),
    ],
)
def test_constants_that_make_something_huge_are_refused(operator, inputs, constants):
    refused(model(node(operator, inputs), constants=constants), f"{operator} (makes|counts|enlarges|adds).*allowed")


@pytest.mark.parametrize("as_node", ["value", "value_ints"])
def test_a_size_in_a_constant_node_is_seen(as_node):
    value = helper.make_tensor("n", TensorProto.INT64, [1], [MANY]) if as_node == "value" else [MANY]
    refused(model(node("Constant", [], ["n"], **{as_node: value}), node("ConstantOfShape", ["n"])), "ConstantOfShape makes")


def test_a_size_that_is_put_together_of_small_constants_is_seen():
    nodes = [
        node("Mul", ["side", "side"], ["area"]),
        node("Cast", ["area"], ["whole"], to=TensorProto.INT64),
        node("Unsqueeze", ["whole", "axis"], ["row"]),
        node("Concat", ["row", "row"], ["shape"], axis=0),
        node("ConstantOfShape", ["shape"]),
    ]
    refused(model(*nodes, constants={"side": np.int64(1000), "axis": np.array([0])}), "ConstantOfShape makes")


@pytest.mark.parametrize("name", ["pads", "strides", "dilations", "kernel_shape"])
def test_steps_of_a_convolution_have_a_limit(name):
    refused(model(node("ConvTranspose", ["image", "w"], **{name: [1, 99_999]}), constants={"w": np.ones(3)}), f"{name} of Conv")


def tensor_with(**changes):
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "w")
    for name, value in changes.items():
        if name == "dims":
            del tensor.dims[:]
            tensor.dims.extend(value)
        else:
            setattr(tensor, name, value)
    return tensor


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (tensor_with(dims=[2**30]), "claims 1,073,741,824 values and holds"),
        (tensor_with(dims=[-1]), "claims -1"),
        (tensor_with(dims=[1] * 700), "more than 64 sides"),
        (tensor_with(data_location=TensorProto.EXTERNAL), "in another file"),
        (helper.make_tensor("w", TensorProto.STRING, [1], [b"x"]), "holds texts"),
    ],
)
@pytest.mark.parametrize("place", ["initializer", "attribute"])
def test_a_tensor_that_is_not_what_it_claims_is_refused(tensor, message, place):
    content = onnx.load_from_string(model(node("Relu", ["image"])))
    if place == "initializer":
        content.graph.initializer.append(tensor)
    else:
        content.graph.node.append(node("Constant", [], ["c"], value=tensor))
    refused(content.SerializeToString(), message)


def test_weights_that_are_kept_in_another_file_are_refused():
    content = onnx.load_from_string(model(node("Relu", ["image"]), constants={"w": np.ones(4)}))
    entry = content.graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "../../secret"
    refused(content.SerializeToString(), "in another file")


def test_sparse_weights_are_refused():
    content = onnx.load_from_string(model(node("Relu", ["image"])))
    content.graph.sparse_initializer.add().dims.append(2**40)
    refused(content.SerializeToString(), "sparse weights")


@pytest.mark.parametrize("content", [b"", b"no graph at all", b"\x0f", b"\x3a\xff\xff\xff\xff\x0f", b"\xff" * 20])
def test_what_is_no_graph_is_refused(content):
    refused(content, "")


def test_two_graphs_in_one_file_are_refused():
    content = model(node("Relu", ["image"]))
    refused(content + content, "holds one graph, this one 2")


def test_a_graph_of_endless_parts_is_refused(monkeypatch):
    monkeypatch.setattr("counterstain.inference.graphs.parts.MAX_PIECES", 100)
    refused(model(*(node("Relu", ["image"], [f"a{number}"]) for number in range(40))), "more than 100 parts")
    monkeypatch.setattr(module, "MAX_NODES", 3)
    refused(model(*(node("Relu", ["image"], [f"a{number}"]) for number in range(5))), "more than 3 nodes")


def test_damaged_graphs_are_refused_or_read_and_end_nothing():
    content, rng = graph(), random.Random(0)
    for _ in range(500):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with contextlib.suppress(BundleError):
            check_operators(bytes(damaged[: rng.randint(1, len(damaged))]), "it")


def test_the_default_model_and_a_small_graph_are_allowed(tmp_path):
    check_operators(graph(), "it")
    path = default_bundle_path() / "model.onnx"
    if path.is_file():
        check_operators(path, "it")
        check_operators(path.read_bytes(), "it")


def test_a_file_is_read_as_its_content_is(tmp_path):
    (tmp_path / "model").write_bytes(model(node("Loop", ["image"], body=ENDLESS)))
    refused(tmp_path / "model", "Loop")
    (tmp_path / "empty").write_bytes(b"")
    refused(tmp_path / "empty", "")


def test_every_allowed_operator_is_one_of_the_standard_and_none_holds_a_graph_or_draws():
    standard = {schema.name: schema for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    assert set(standard) >= ALLOWED
    graphs = onnx.defs.OpSchema.AttrType.GRAPH
    assert [name for name in ALLOWED if any(a.type == graphs for a in standard[name].attributes.values())] == []
    assert [name for name in ALLOWED if name.startswith(("Random", "Sequence", "String", "Optional"))] == []


def test_no_runtime_loads_a_graph_that_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnxruntime, "InferenceSession", None)
    bundle = write_bundle(tmp_path / "b", MANIFEST, {"model.onnx": model(node("Loop", ["image"], body=ENDLESS))})
    with pytest.raises(BundleError, match=r"model\.onnx of the bundle .* is refused: .*'Loop'"):
        graph_of(bundle)


def test_the_wire_format_is_read_as_protobuf_writes_it():
    tensor = helper.make_tensor("n", TensorProto.INT64, [3], [-1, 0, 2**62])
    pieces = list(pieces_of(memoryview(tensor.SerializeToString())))
    packed = next(piece.content for piece in pieces if piece.number == 7)
    assert [signed(value) for value in varints_of(packed)] == [-1, 0, 2**62]
    for length in itertools.islice(range(len(packed)), 1, None):
        if packed[length - 1] & 0x80:
            with pytest.raises(ValueError, match="cut off"):
                list(varints_of(packed[:length]))
