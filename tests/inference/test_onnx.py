import os
import subprocess
import sys

import numpy as np
import pytest
from conformance.backend import BackendConformance

from counterstain.errors import BackendError, BundleError
from counterstain.inference.backend import available_threads
from counterstain.inference.bundle import write_bundle
from counterstain.inference.onnx import OnnxBackend

from .conftest import MANIFEST, graph

BATCH = np.random.default_rng(0).random((2, 3, 8, 12), dtype=np.float32)


class TestOnnxBackend(BackendConformance):
    @pytest.fixture
    def backend(self, bundle):
        return OnnxBackend(bundle, threads=1)


def _backend(tmp_path, **options):
    return OnnxBackend(write_bundle(tmp_path / "b", MANIFEST, {"model.onnx": graph(**options)}), threads=1)


def test_the_network_reads_what_the_manifest_normalises(bundle):
    outputs = OnnxBackend(bundle, threads=1).run(BATCH)
    np.testing.assert_allclose(outputs["copy"], BATCH, atol=1e-6)
    np.testing.assert_allclose(outputs["red"], BATCH[:, :1], atol=1e-6)


def test_values_are_clipped_to_the_unit_range(tmp_path):
    np.testing.assert_allclose(_backend(tmp_path, scale=3).run(BATCH)["copy"], np.minimum(3 * BATCH, 1), atol=1e-6)


@pytest.mark.parametrize("scale", [np.nan, np.inf])
def test_nan_and_infinity_name_the_channel(tmp_path, scale):
    with pytest.raises(BackendError, match=r"'copy' has .* NaN or infinite"):
        _backend(tmp_path, scale=scale).run(BATCH)


def test_a_map_of_another_size_is_refused(tmp_path):
    with pytest.raises(BackendError, match=r"'copy' has shape \(2, 3, 9, 12\), expected \(2, 3, 8, 12\)"):
        _backend(tmp_path, pad=1).run(BATCH)


def test_a_batch_that_the_graph_cannot_take_is_a_backend_error(bundle):
    with pytest.raises(BackendError, match="failed on a batch"):
        OnnxBackend(bundle, threads=1).run(np.zeros((3, 8, 8), np.float32))


@pytest.mark.parametrize("names", [("pixels", "copy", "red"), ("image", "dapi", "red")])
def test_a_graph_with_other_names_is_refused(tmp_path, names):
    with pytest.raises(BundleError, match=names[0] if names[0] != "image" else "dapi"):
        _backend(tmp_path, names=names)


def test_what_is_not_a_graph_is_refused(tmp_path):
    bundle = write_bundle(tmp_path / "b", MANIFEST, {"model.onnx": b"not a graph"})
    with pytest.raises(BundleError, match=r"model\.onnx of the bundle .* is refused"):
        OnnxBackend(bundle)


def test_a_bundle_without_a_graph_is_refused(tmp_path):
    bundle = write_bundle(tmp_path / "b", MANIFEST, {"weights.safetensors": b""})
    with pytest.raises(BundleError, match=r"0 \.onnx files, expected 1"):
        OnnxBackend(bundle)


def test_the_fingerprint_is_that_of_the_bundle(bundle):
    assert OnnxBackend(bundle, threads=1).fingerprint == bundle.fingerprint


def test_there_is_a_thread_to_run_on():
    assert available_threads() >= 1


def test_onnx_runtime_keeps_no_record_of_its_use():
    program = "import os, counterstain.inference.onnx; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert outcome.stdout.strip() == "1"


def test_a_run_that_takes_too_long_is_stopped(bundle, monkeypatch):
    backend = OnnxBackend(bundle, threads=1)
    monkeypatch.setattr("counterstain.inference.onnx.threading.Timer", _Now)
    with pytest.raises(BackendError, match=r"stopped: on a batch of shape \(2, 3, 8, 12\) it took longer than 1800 seconds"):
        backend.run(BATCH)


class _Now:
    """A timer whose time is over when it starts."""

    def __init__(self, seconds, function, arguments):
        self.start = lambda: function(*arguments)

    def cancel(self):
        """Do nothing."""
