"""Run a bundle with OpenVINO, which needs the [openvino] extra and is used only when it is asked for.

In float32 the numbers are those of ONNX Runtime but for rounding. In bfloat16 a processor with instructions for it computes
products of 8-bit mantissas, about twice as fast; maps then differ by about a hundredth. OpenVINO itself would choose bfloat16
where it is faster: here the arithmetic is always set.

OpenVINO reports to its makers that it was imported. This module hides the package that does so from it.
"""

import sys
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from counterstain.errors import BackendError, BundleError, UsageError
from counterstain.extras import needs
from counterstain.inference.backend import Outputs, available_threads, check_outputs
from counterstain.inference.bundle import Bundle, Manifest, graph_of
from counterstain.inference.onnx import INPUT, SECONDS_PER_TILE, check_graph, clipped, normalised, too_slow

Arithmetic = Literal["f32", "bf16"]
"""Arithmetic: float32, or bfloat16."""


class OpenVINOBackend:
    """A ``Backend`` over the graph that ``OnnxBackend`` runs.

    Its fingerprint is that of the bundle, followed by engine and precision, as both can change a number.

    Parameters
    ----------
    bundle : with one ``.onnx`` file.
    threads : CPU threads of one run; None takes those that the process may use.
    precision : arithmetic of the network.

    Raises
    ------
    UsageError
        When OpenVINO is not installed, or the processor has no instructions for the precision.
    BundleError
        When the bundle has no ONNX graph, or one that does not fit its panel or the runtime.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None, precision: Arithmetic = "f32") -> None:
        self.manifest: Manifest = bundle.manifest
        self.fingerprint: str = f"{bundle.fingerprint}-openvino-{precision}"
        self._names = [channel.name for channel in self.manifest.panel.channels]
        runtime = _runtime()
        core = runtime.Core()
        _check_precision(core, precision)
        model = _read(core, graph_of(bundle), bundle)
        check_graph(_port_names(model.inputs), _port_names(model.outputs), self._names, bundle)
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads or available_threads(),
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        """Infer all channels; see ``Backend.run``. Values are clipped to [0, 1].

        Raises
        ------
        BackendError
            When the runtime fails or takes too long, or an output has the wrong shape, NaN or infinity.
        """
        seconds = SECONDS_PER_TILE * len(batch)
        try:
            self._request.start_async({INPUT: normalised(batch, self.manifest.normalisation)})
            if not self._request.wait_for(int(1000 * seconds)):
                self._request.cancel()
                raise BackendError(too_slow(batch.shape, seconds))
            values = {name: self._request.get_tensor(name).data for name in self._names}
            return clipped(check_outputs(values, self.manifest.panel, batch.shape))
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"OpenVINO failed on a batch of shape {batch.shape}: {error}") from error


def _runtime() -> Any:
    """Import OpenVINO, without the part that reports over the network and writes an identity into the home folder."""
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # an import of it fails, and OpenVINO goes on
    try:
        import openvino
    except ImportError as error:
        raise UsageError(needs("the engine openvino", ["openvino"], "openvino")) from error
    return openvino


def _check_precision(core: Any, precision: str) -> None:
    if precision not in get_args(Arithmetic):
        raise UsageError(f"no precision {precision!r}; expected one of {list(get_args(Arithmetic))}")
    capable = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bf16" and "BF16" not in capable:
        raise UsageError(f"this processor does not compute in bf16, only in {', '.join(capable)}; use f32")


def _read(core: Any, graph: bytes | Path, bundle: Bundle) -> Any:
    try:
        return core.read_model(str(graph) if isinstance(graph, Path) else graph)
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"OpenVINO cannot load the bundle {bundle.source}: {error}") from error


def _port_names(ports: list[Any]) -> list[str]:
    return [str(port.get_any_name()) for port in ports]
