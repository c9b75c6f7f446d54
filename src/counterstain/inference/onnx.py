"""Run a bundle with ONNX Runtime."""

import os
from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from counterstain.errors import BackendError, BundleError
from counterstain.inference.backend import Outputs, check_outputs
from counterstain.inference.bundle import Bundle, Manifest

CPU_PROVIDERS = ("CPUExecutionProvider",)

INPUT = "image"
"""Name of the graph's only input, (n, 3, h, w) float32, normalised as the manifest says."""

_ORT_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,
    ValueError,
)


class OnnxBackend:
    """A ``Backend`` over a bundle whose graph has one output per channel of the panel, of the channel's name.

    Parameters
    ----------
    bundle : with one ``.onnx`` file.
    threads : CPU threads of one run; None takes those that the process may use.
    providers : ONNX Runtime execution providers, in order of preference.

    Raises
    ------
    BundleError
        When the bundle has no ONNX graph, or one that does not fit its panel or the runtime.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None, providers: Sequence[str] = CPU_PROVIDERS) -> None:
        self.manifest: Manifest = bundle.manifest
        self.fingerprint: str = bundle.fingerprint
        self._session = _session(bundle, threads or available_threads(), providers)
        self._mean = np.asarray(self.manifest.normalisation.mean, np.float32)[:, np.newaxis, np.newaxis]
        self._std = np.asarray(self.manifest.normalisation.std, np.float32)[:, np.newaxis, np.newaxis]
        self._names = [channel.name for channel in self.manifest.panel.channels]
        _check_graph(self._session, self._names, bundle)

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        """Infer all channels; see ``Backend.run``. Values are clipped to [0, 1].

        Raises
        ------
        BackendError
            When the runtime fails, or an output has the wrong shape, NaN or infinity.
        """
        normalised = (batch - self._mean) / self._std
        try:
            values = self._session.run(self._names, {INPUT: normalised})
        except _ORT_ERRORS as error:
            raise BackendError(f"ONNX Runtime failed on a batch of shape {batch.shape}: {error}") from error
        outputs = check_outputs(dict(zip(self._names, values, strict=True)), self.manifest.panel, batch.shape)
        return {name: np.clip(value, 0, 1, dtype=np.float32) for name, value in outputs.items()}


def available_threads() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _session(bundle: Bundle, threads: int, providers: Sequence[str]) -> onnxruntime.InferenceSession:
    graphs = [content for name, content in bundle.weights.items() if name.endswith(".onnx")]
    if len(graphs) != 1:
        raise BundleError(f"the bundle {bundle.source} lists {len(graphs)} .onnx files, expected 1")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graphs[0], options, providers=list(providers))
    except _ORT_ERRORS as error:
        raise BundleError(f"ONNX Runtime {onnxruntime.__version__} cannot load the bundle {bundle.source}: {error}") from error


def _check_graph(session: onnxruntime.InferenceSession, names: list[str], bundle: Bundle) -> None:
    inputs = [value.name for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]
    if inputs != [INPUT] or not set(names) <= set(outputs):
        raise BundleError(
            f"the graph of the bundle {bundle.source} has inputs {inputs} and outputs {outputs}, "
            f"expected [{INPUT!r}] and {names}"
        )
