"""Run a bundle with ONNX Runtime.

A large graph is loaded from a file and runs without ONNX Runtime's memory arena, which never gives back what it once took: the
process then needs about twice the weights while it loads them, and no third copy. A small graph is loaded from memory.

A run ends when it takes longer than any network for images does: a graph may come from a stranger, and how much it computes
can follow from the image.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from counterstain.errors import BackendError, BundleError
from counterstain.inference.backend import Outputs, available_threads, check_outputs
from counterstain.inference.bundle import Bundle, Manifest, Normalisation, graph_of

CPU_PROVIDERS = ("CPUExecutionProvider",)

INPUT = "image"
"""Name of the graph's only input, (n, 3, h, w) float32, normalised as the manifest says."""

SECONDS_PER_TILE = 900.0
"""A run that takes longer, for each image of its batch, is stopped. The largest model that can be imported takes some tens of
seconds on one core."""

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
        self._names = [channel.name for channel in self.manifest.panel.channels]
        inputs = [value.name for value in self._session.get_inputs()]
        outputs = [value.name for value in self._session.get_outputs()]
        check_graph(inputs, outputs, self._names, bundle)

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        """Infer all channels; see ``Backend.run``. Values are clipped to [0, 1].

        Raises
        ------
        BackendError
            When the runtime fails or takes too long, or an output has the wrong shape, NaN or infinity.
        """
        image = normalised(batch, self.manifest.normalisation)
        try:
            with _stopped_after(SECONDS_PER_TILE * len(batch)) as options:
                values = self._session.run(self._names, {INPUT: image}, options)
        except _ORT_ERRORS as error:
            if options.terminate:
                raise BackendError(too_slow(batch.shape, SECONDS_PER_TILE * len(batch))) from error
            raise BackendError(f"ONNX Runtime failed on a batch of shape {batch.shape}: {error}") from error
        outputs = check_outputs(dict(zip(self._names, values, strict=True)), self.manifest.panel, batch.shape)
        return clipped(outputs)


@contextmanager
def _stopped_after(seconds: float) -> Iterator[onnxruntime.RunOptions]:
    """Yield options of a run; it is told to stop, before its next operator, when the time is over."""
    options = onnxruntime.RunOptions()
    alarm = threading.Timer(seconds, setattr, (options, "terminate", True))
    alarm.daemon = True
    alarm.start()
    try:
        yield options
    finally:
        alarm.cancel()


def too_slow(shape: tuple[int, ...], seconds: float) -> str:
    """Return the message about a run that was stopped."""
    return (
        f"the model was stopped: on a batch of shape {shape} it took longer than {seconds:g} seconds; "
        "choose another model, give it more threads, or take a bundle with smaller tiles"
    )


def normalised(batch: NDArray[np.float32], normalisation: Normalisation) -> NDArray[np.float32]:
    """Return (n, 3, h, w) float32 as the network reads it, from RGB in [0, 1]."""
    mean, std = (
        np.asarray(values, np.float32)[:, np.newaxis, np.newaxis] for values in (normalisation.mean, normalisation.std)
    )
    return (batch - mean) / std


def clipped(outputs: Outputs) -> Outputs:
    """Return copies of the maps, float32, limited to [0, 1]."""
    return {name: np.clip(value, 0, 1, dtype=np.float32) for name, value in outputs.items()}


def _session(bundle: Bundle, threads: int, providers: Sequence[str]) -> onnxruntime.InferenceSession:
    graph = graph_of(bundle)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # who waits leaves the processor to others
    options.enable_cpu_mem_arena = not isinstance(graph, Path)
    options.enable_mem_pattern = False  # one block for all of a run is a third more memory, and no faster
    try:
        return onnxruntime.InferenceSession(graph, options, providers=list(providers))
    except _ORT_ERRORS as error:
        raise BundleError(f"ONNX Runtime {onnxruntime.__version__} cannot load the bundle {bundle.source}: {error}") from error


def check_graph(inputs: list[str], outputs: list[str], names: list[str], bundle: Bundle) -> None:
    """Refuse a graph that does not read ``INPUT`` alone and write every channel.

    Raises
    ------
    BundleError
        Says which inputs and outputs the graph has.
    """
    if inputs != [INPUT] or not set(names) <= set(outputs):
        raise BundleError(
            f"the graph of the bundle {bundle.source} has inputs {inputs} and outputs {outputs}, "
            f"expected [{INPUT!r}] and {names}"
        )
