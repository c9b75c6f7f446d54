"""OpenVINO gives the numbers of ONNX Runtime, reports nothing to anybody, and is used only when asked for."""

import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from conformance.backend import BackendConformance
from onnx import TensorProto, helper, numpy_helper

from counterstain.errors import BackendError, BundleError, UsageError
from counterstain.inference import openvino as module
from counterstain.inference.bundle import load_bundle, write_bundle
from counterstain.inference.names import load_backend
from counterstain.inference.onnx import OnnxBackend
from counterstain.inference.openvino import OpenVINOBackend
from counterstain.panel import SEGMENTATION, Panel
from counterstain.pipeline import analyze
from counterstain.slides.array import ArraySlide

from .conftest import MANIFEST, graph

BATCH = np.random.default_rng(0).random((2, 3, 8, 12), dtype=np.float32)


def has_bf16():
    return "BF16" in module._runtime().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


needs_bf16 = pytest.mark.skipif(not has_bf16(), reason="this processor does not compute in bf16")


class TestOpenVINOBackend(BackendConformance):
    @pytest.fixture
    def backend(self, bundle):
        return OpenVINOBackend(bundle, threads=1)


@needs_bf16
class TestOpenVINOBackendInBfloat16(BackendConformance):
    @pytest.fixture
    def backend(self, bundle):
        return OpenVINOBackend(bundle, threads=1, precision="bf16")


def brown_and_blue():
    """Return a bundle's panel and graph: a blur, then brown as positive, blue as negative, in the classes of the decoder."""
    blur = np.zeros((3, 3, 3, 3), np.float32)
    blur[range(3), range(3)] = 1 / 9
    colours = np.array([[20, 0, -20], [0, 0, 0], [-20, 0, 20]], np.float32)[:, :, np.newaxis, np.newaxis]
    limits = np.array([-5, -20, -5], np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "blur"], ["blurred"], pads=[1] * 4),
        helper.make_node("Conv", ["blurred", "colours", "limits"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["segmentation"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in ("image", "segmentation")]
    constants = {"blur": blur, "colours": colours, "limits": limits}
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    network = helper.make_graph(nodes, "colours", values[:1], values[1:], tensors)
    model = helper.make_model(network, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return Panel(channels=(SEGMENTATION,)), model.SerializeToString()


def field(side=512, spacing=32):
    """Return a noisy drawing of brown and blue disks in rows, every third one brown."""
    random = np.random.default_rng(0)
    rows, cols = np.mgrid[:side, :side]
    image = np.full((side, side, 3), (225, 222, 225), float)
    centres = [(row, col) for row in range(16, side, spacing) for col in range(16, side, spacing)]
    for number, (row, col) in enumerate(centres):
        near = np.hypot(rows - row, cols - col) <= random.uniform(7, 12)
        image[near] = (110, 75, 40) if number % 3 == 0 else (95, 110, 165)
    return np.clip(image + random.normal(0, 12, image.shape), 0, 255).astype(np.uint8), len(centres)


@pytest.fixture
def coloured(tmp_path):
    panel, content = brown_and_blue()
    manifest = MANIFEST.model_copy(update={"panel": panel, "tile_px": 256, "margin_px": 32, "decoder": "deepliif"})
    return write_bundle(tmp_path / "coloured", manifest, {"model.onnx": content})


def test_in_float32_the_numbers_are_those_of_onnx_runtime(coloured):
    batch = field()[0].transpose(2, 0, 1)[np.newaxis].astype(np.float32) / 255
    expected = OnnxBackend(coloured, threads=1).run(batch)["segmentation"]
    found = OpenVINOBackend(coloured, threads=1).run(batch)["segmentation"]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert expected.max() - expected.min() > 0.9


@needs_bf16
def test_in_bfloat16_the_counts_differ_by_at_most_one_percent(coloured):
    pixels, disks = field()
    exact = analyze(ArraySlide(pixels), OnnxBackend(coloured, threads=1))
    rounded = analyze(ArraySlide(pixels), OpenVINOBackend(coloured, threads=1, precision="bf16"))
    assert len(exact.cells) == pytest.approx(disks, rel=0.02)
    assert len(rounded.cells) == pytest.approx(len(exact.cells), rel=0.01)
    assert rounded.cells["is_positive"].sum() == pytest.approx(exact.cells["is_positive"].sum(), rel=0.01)
    assert not np.array_equal(exact.maps["segmentation"].stored, rounded.maps["segmentation"].stored)


@needs_bf16
def test_the_arithmetic_is_the_one_that_was_asked_for(coloured):
    batch = np.tile(np.array([0.6, 0.4, 0.4567], np.float32)[np.newaxis, :, np.newaxis, np.newaxis], (1, 1, 32, 32))
    maps = {
        precision: OpenVINOBackend(coloured, threads=1, precision=precision).run(batch)["segmentation"]
        for precision in ("f32", "bf16")
    }
    expected = OnnxBackend(coloured, threads=1).run(batch)["segmentation"]
    assert np.abs(maps["f32"] - expected).max() < 1e-5 < np.abs(maps["bf16"] - expected).max() < 0.05


def test_results_of_another_engine_or_precision_are_not_taken_for_those_of_onnx_runtime(bundle):
    assert OpenVINOBackend(bundle, threads=1).fingerprint == f"{bundle.fingerprint}-openvino-f32"


def test_a_large_bundle_is_loaded_from_its_copy_which_goes(bundle, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr("counterstain.inference.weights.LARGE_BYTES", 100)
    backend = OpenVINOBackend(load_bundle(bundle.source), threads=1)
    assert not list((tmp_path / "temporary").iterdir())
    np.testing.assert_allclose(backend.run(BATCH)["copy"], BATCH, atol=1e-6)


def _backend(tmp_path, **options):
    return OpenVINOBackend(write_bundle(tmp_path / "b", MANIFEST, {"model.onnx": graph(**options)}), threads=1)


def test_values_are_clipped_to_the_unit_range(tmp_path):
    np.testing.assert_allclose(_backend(tmp_path, scale=3).run(BATCH)["copy"], np.minimum(3 * BATCH, 1), atol=1e-6)


def test_nan_names_the_channel(tmp_path):
    with pytest.raises(BackendError, match=r"'copy' has .* NaN or infinite"):
        _backend(tmp_path, scale=np.nan).run(BATCH)


def test_a_map_of_another_size_is_refused(tmp_path):
    with pytest.raises(BackendError, match=r"'copy' has shape \(2, 3, 9, 12\), expected \(2, 3, 8, 12\)"):
        _backend(tmp_path, pad=1).run(BATCH)


def test_a_batch_that_the_graph_cannot_take_is_a_backend_error(bundle):
    with pytest.raises(BackendError, match="failed on a batch"):
        OpenVINOBackend(bundle, threads=1).run(np.zeros((3, 8, 8), np.float32))


@pytest.mark.parametrize("names", [("pixels", "copy", "red"), ("image", "dapi", "red")])
def test_a_graph_with_other_names_is_refused(tmp_path, names):
    with pytest.raises(BundleError, match=names[0] if names[0] != "image" else "dapi"):
        _backend(tmp_path, names=names)


def test_what_is_not_a_graph_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"model\.onnx of the bundle .* is refused"):
        OpenVINOBackend(write_bundle(tmp_path / "b", MANIFEST, {"model.onnx": b"not a graph"}))


def test_a_missing_package_is_named_with_the_command_that_installs_it(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UsageError, match=r'pip install "counterstain\[openvino\]"'):
        OpenVINOBackend(bundle, threads=1)


def test_a_processor_without_bf16_is_told_so(bundle, monkeypatch):
    class Old:
        def get_property(self, device, name):
            return ["FP32", "INT8"]

    runtime = type("Runtime", (), {"Core": Old})
    monkeypatch.setattr(module, "_runtime", lambda: runtime)
    with pytest.raises(UsageError, match=r"does not compute in bf16, only in FP32, INT8"):
        OpenVINOBackend(bundle, precision="bf16")


def test_an_unknown_precision_lists_the_known_ones(bundle):
    with pytest.raises(UsageError, match=r"no precision 'f16'; expected one of \['f32', 'bf16'\]"):
        OpenVINOBackend(bundle, precision="f16")


def test_the_engine_is_chosen_by_name_and_never_without_it(bundle):
    assert isinstance(load_backend(bundle.source, threads=1), OnnxBackend)
    assert isinstance(load_backend(bundle.source, threads=1, engine="openvino"), OpenVINOBackend)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("classical", {"engine": "openvino"}, "has no graph"),
        ("classical", {"precision": "bf16"}, "choose the engine openvino"),
        ("classical", {"engine": "tensorrt"}, r"no engine 'tensorrt'; expected one of \['onnxruntime', 'openvino'\]"),
        ("deepliff", {"engine": "openvino"}, "no model 'deepliff'"),
    ],
)
def test_what_does_not_fit_together_is_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        load_backend(name, **options)


def test_nothing_is_reported_or_left_in_the_home_folder(bundle, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    program = (
        "import sys\n"
        "from counterstain.inference.names import load_backend\n"
        "assert 'openvino' not in sys.modules\n"
        "load_backend(sys.argv[1], threads=1, engine='openvino')\n"
        "assert 'openvino' in sys.modules\n"
        "assert not [name for name, module in sys.modules.items() if name.startswith('openvino_telemetry') and module]\n"
    )
    environment = {**os.environ, "HOME": str(home), "USERPROFILE": str(home)}
    environment.pop("CI", None)
    subprocess.run([sys.executable, "-c", program, str(bundle.source)], env=environment, check=True, timeout=120)
    assert "intel" not in {path.name.lower().split()[0] for path in home.rglob("*")}
