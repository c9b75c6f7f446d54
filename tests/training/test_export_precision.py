"""Bundles in fewer bits, weights for other programs, and the model in memory as a backend."""

import json
from dataclasses import asdict, replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conformance.backend import BackendConformance
from onnx import TensorProto, helper, numpy_helper

from counterstain.errors import TrainingError
from counterstain.inference.bundle import load_bundle, write_bundle
from counterstain.inference.onnx import OnnxBackend
from counterstain.panel import DEFAULT_PANEL, SEGMENTATION, Channel, Panel
from counterstain.training.checkpoint import MODEL, Checkpoint, save_checkpoint
from counterstain.training.exporting.export import TRAINING_DATA, _halve, export_network, export_run
from counterstain.training.exporting.onnx_graph import with_half_weights
from counterstain.training.exporting.quantise import MAX_DICE_LOSS, _quantise, nuclear_dice, quantise
from counterstain.training.exporting.weights import FILE, read_network, weights_file
from counterstain.training.networks.compact import CompactNetwork
from counterstain.training.networks.deepliif import DeepLIIFNetwork, DeepLIIFOptions
from counterstain.training.networks.layers import GeneratorOptions, initialise
from counterstain.training.options import PairedOptions
from counterstain.training.recipe import TrainOptions, build_task
from counterstain.training.synthesis.render import synthetic_field
from counterstain.training.tasks.deepliif import DeepLIIFTaskOptions, deepliif_network, exported_deepliif
from counterstain.training.torch_backend import TorchBackend

PANEL = Panel(channels=(Channel(name="dapi"), SEGMENTATION))
OPTIONS = DeepLIIFOptions(
    translator="resnet_1blocks", segmenter="resnet_1blocks", generator=GeneratorOptions(width=4, dropout=False)
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = DeepLIIFNetwork(PANEL, OPTIONS)
    initialise(network, 0.2)
    return network.eval()


def manifest_of(network):
    return exported_of(network).manifest(name="tiny", version="1", licence="CC0-1.0")


def exported_of(network):
    return exported_deepliif(network, PANEL, network.stride_px)


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "fp32"
    export_network(exported_of(network), manifest_of(network), folder, files={FILE: weights_file(network, OPTIONS)})
    return folder


class TestTorchBackend(BackendConformance):
    @pytest.fixture
    def backend(self, network):
        return TorchBackend(network, manifest_of(network))


class TestBundle(BackendConformance):
    @pytest.fixture
    def backend(self, folder):
        return OnnxBackend(load_bundle(folder), threads=1)


def test_both_backends_give_the_same_numbers(network, folder):
    batch = np.random.default_rng(0).random((2, 3, 32, 40), dtype=np.float32)
    expected = TorchBackend(network, manifest_of(network)).run(batch)
    for name, values in OnnxBackend(load_bundle(folder), threads=1).run(batch).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-4)


def test_weights_are_read_back_with_their_options(network, folder):
    found = read_network(load_bundle(folder))
    assert all(torch.equal(weight, found.state_dict()[name]) for name, weight in network.state_dict().items())
    assert found.weights == network.weights


def test_a_bundle_without_weights_or_with_others_says_so(network, folder, tmp_path):
    manifest = load_bundle(folder).manifest
    with pytest.raises(TrainingError, match=r"has no weights\.safetensors; make it again \(weights\)"):
        read_network(write_bundle(tmp_path / "none", manifest, {"model.onnx": b""}))
    with pytest.raises(TrainingError, match="does not fit its manifest"):
        read_network(write_bundle(tmp_path / "damaged", manifest, {FILE: b"\0" * 20}))
    other = weights_file(network, replace(OPTIONS, generator=GeneratorOptions(width=8)))
    with pytest.raises(TrainingError, match="does not fit its manifest"):
        read_network(write_bundle(tmp_path / "other", manifest, {FILE: other}))


def test_half_precision_is_smaller_and_nearly_the_same(network, folder, tmp_path):
    export_network(exported_of(network), manifest_of(network), tmp_path / "half", files={}, precision="fp16")
    whole, half = load_bundle(folder), load_bundle(tmp_path / "half")
    model = onnx.load_from_string(half.weights["model.onnx"])
    kinds = {tensor.data_type for tensor in model.graph.initializer if numpy_helper.to_array(tensor).size >= 1024}
    assert kinds == {TensorProto.FLOAT16}
    batch = np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32)
    exact = OnnxBackend(whole, threads=1).run(batch)
    for name, values in OnnxBackend(half, threads=1).run(batch).items():
        assert 0 < np.abs(values - exact[name]).max() < 0.02


def one_weight(value):
    """Return a graph that adds up a constant of 2048 equal values and multiplies the image by it."""
    weight = numpy_helper.from_array(np.full((2048,), value, np.float32), "weight")
    nodes = [
        helper.make_node("ReduceSum", ["weight"], ["total"], keepdims=0),
        helper.make_node("Mul", ["image", "total"], ["out"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in ("image", "out")]
    graph = helper.make_graph(nodes, "one", values[:1], values[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_a_weight_beyond_half_precision_is_refused():
    with pytest.raises(ValueError, match="too large for float16"):
        with_half_weights(one_weight(1e5))


def test_half_precision_that_changes_an_output_is_refused():
    class Times(torch.nn.Module):
        def forward(self, image):
            return (image * 2048 * 1e-8,)

    with pytest.raises(TrainingError, match=r"fp16 changes an output by .* allowed is 0\.0039; export fp32"):
        _halve(Times(), one_weight(3e-2), [(1, 3, 8, 8)])


def colour_graph(gain, noise):
    """Return a graph whose segmentation follows the colour of the image: brown positive, blue negative.

    A first convolution adds ``noise`` times the image to many planes, which 8-bit integers cannot hold beside small values.
    """
    rules = np.zeros((3, 3, 1, 1), np.float32)
    rules[0, :, 0, 0], rules[2, :, 0, 0] = (gain, 0, -gain), (-gain, 0, gain)
    first = np.concatenate([np.eye(3, dtype=np.float32), noise * np.eye(3, dtype=np.float32)]).reshape(6, 3, 1, 1)
    second = np.concatenate([rules, np.zeros_like(rules)], axis=1)
    tensors = [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")]
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["planes"]),
        helper.make_node("Conv", ["planes", "second"], ["rules"]),
        helper.make_node("Sigmoid", ["rules"], ["segmentation"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in ("image", "segmentation")]
    graph = helper.make_graph(nodes, "colour", values[:1], values[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.fixture(scope="module")
def samples():
    return [synthetic_field(seed, 96) for seed in range(4)]


def test_integers_that_keep_the_dice_are_accepted(samples):
    graph = colour_graph(8.0, 0.0)
    smaller = quantise(graph, samples)
    operations = {node.op_type for node in onnx.load_from_string(smaller).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operations
    assert abs(nuclear_dice(graph, samples[1::2]) - nuclear_dice(smaller, samples[1::2])) <= MAX_DICE_LOSS


def test_integers_that_lose_dice_are_refused_with_the_number(samples):
    with pytest.raises(TrainingError, match=r"int8 changes the Dice of nuclei from \d+\.\d\d to \d+\.\d\d; at most 0\.5"):
        quantise(colour_graph(8.0, 3000.0), samples)


def test_integers_need_annotated_images(network, tmp_path, samples):
    with pytest.raises(TrainingError, match="at least 2 annotated images"):
        export_network(exported_of(network), manifest_of(network), tmp_path / "b", files={}, precision="int8")
    assert not (tmp_path / "b").exists()
    empty = [replace(sample, classes=np.full_like(sample.classes, 255)) for sample in samples]
    with pytest.raises(TrainingError, match="from nan"):
        quantise(colour_graph(8.0, 0.0), empty)


def test_a_network_in_integers_runs_and_stays_near(folder, samples):
    graph = load_bundle(folder).weights["model.onnx"]
    smaller = _quantise(graph, samples[:2])
    assert len(smaller) < len(graph) * 1.5  # so few weights that what describes their ranges weighs more
    image = samples[2].image.astype(np.float32).transpose(2, 0, 1)[np.newaxis] / 127.5 - 1
    exact, near = (
        onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"image": image})
        for content in (graph, smaller)
    )
    for one, other in zip(exact, near, strict=True):
        assert 0 < np.abs(one - other).mean() < 0.1  # random weights are more sensitive than trained ones


def saved_run(folder, options, network):
    """Write what a finished run leaves behind."""
    folder.mkdir()
    (folder / "options.json").write_text(json.dumps(asdict(options)))
    state = network.state_dict()
    save_checkpoint(
        Checkpoint(step=1, model=state, average=state, others={}, optimizers={}, best_score=0.0, stale=0), folder / "best.pt"
    )
    return folder / "best.pt"


def test_a_run_of_the_paper_architecture_becomes_a_bundle(tmp_path):
    given = DeepLIIFTaskOptions(modalities=("dapi",), network=OPTIONS)
    options = TrainOptions(task="deepliif", deepliif=given, paired=PairedOptions(manifest="sets/kidney.toml"))
    trained = deepliif_network(given)
    checkpoint = saved_run(tmp_path / "run", options, trained)
    assert export_run(checkpoint, tmp_path / "bundle", name="kidney", version="2", files={}) < 1e-4
    bundle = load_bundle(tmp_path / "bundle")
    assert (bundle.manifest.decoder, bundle.manifest.training_data) == ("deepliif", ("sets listed in kidney.toml",))
    assert [channel.name for channel in bundle.manifest.panel.channels] == ["dapi", "segmentation"]
    batch = np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32)
    expected = TorchBackend(trained, bundle.manifest).run(batch)
    for name, values in OnnxBackend(bundle, threads=1).run(batch).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-4)


@pytest.mark.parametrize(
    ("manifest", "licence", "training_data"),
    [("sets/kidney.toml", "not stated", ("sets listed in kidney.toml",)), ("", "Apache-2.0", TRAINING_DATA)],
)
def test_a_bundle_states_what_its_compact_network_learned_from(tmp_path, manifest, licence, training_data):
    options = TrainOptions(paired=PairedOptions(manifest=manifest))
    checkpoint = saved_run(tmp_path / "run", options, CompactNetwork(DEFAULT_PANEL))
    export_run(checkpoint, tmp_path / "bundle", name="kidney", version="2", files={})
    bundle = load_bundle(tmp_path / "bundle")
    assert (bundle.manifest.licence, bundle.manifest.training_data) == (licence, training_data)


def test_a_run_of_unpaired_translation_becomes_no_bundle(tmp_path):
    options = TrainOptions(task="cyclegan", paired=PairedOptions(manifest="sets.toml"))
    checkpoint = saved_run(tmp_path / "run", options, build_task(options, report=print).networks[MODEL])
    with pytest.raises(TrainingError, match="infers no nuclei"):
        export_run(checkpoint, tmp_path / "bundle", name="x", version="1", files={})
