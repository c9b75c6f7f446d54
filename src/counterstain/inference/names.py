"""Backends by name, and the engines that run bundles."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from counterstain.errors import UsageError
from counterstain.inference.backend import Backend
from counterstain.inference.bundle import Bundle, default_bundle_path, load_bundle
from counterstain.inference.classical import ClassicalBackend
from counterstain.inference.onnx import OnnxBackend
from counterstain.inference.openvino import Arithmetic, OpenVINOBackend

Engine = Literal["onnxruntime", "openvino"]
"""What runs the graph of a bundle."""


def load_backend(
    name_or_path: str | Path = "default",
    *,
    threads: int | None = None,
    engine: Engine = "onnxruntime",
    precision: Arithmetic = "f32",
) -> Backend:
    """Return the backend of a known name, or of the bundle at a path.

    Parameters
    ----------
    name_or_path : a key of ``BACKENDS``, or a bundle folder or zip.
    threads : CPU threads; None takes those that the process may use.
    engine : what runs the graph of a bundle; ``openvino`` needs the [openvino] extra.
    precision : arithmetic of the engine; ``onnxruntime`` computes in float32 alone.

    Raises
    ------
    UsageError
        When there is no such backend or bundle, or engine and precision do not fit it, each other or this machine.
    BundleError
        When the bundle cannot be used.
    """
    _check_engine(str(name_or_path), engine, precision)
    if engine == "openvino":
        return OpenVINOBackend(_bundle(name_or_path), threads=threads, precision=precision)
    if str(name_or_path) in BACKENDS:
        return BACKENDS[str(name_or_path)](threads)
    return OnnxBackend(_bundle(name_or_path), threads=threads)


def _check_engine(name: str, engine: str, precision: str) -> None:
    if engine not in get_args(Engine):
        raise UsageError(f"no engine {engine!r}; expected one of {list(get_args(Engine))}")
    if engine == "onnxruntime" and precision != "f32":
        raise UsageError(f"the engine onnxruntime computes in f32, not in {precision}; for bf16 choose the engine openvino")
    if engine == "openvino" and name == "classical":
        raise UsageError("the classical model has no graph that the engine openvino could run; choose a bundle, or no engine")


def _bundle(name_or_path: str | Path) -> Bundle:
    path = default_bundle_path() if str(name_or_path) == "default" else Path(name_or_path)
    if str(name_or_path) != "default" and not path.exists():
        raise UsageError(
            f"no model {str(name_or_path)!r}; expected one of: {', '.join(sorted(BACKENDS))}, or the path of a bundle"
        )
    return load_bundle(path)


BACKENDS: dict[str, Callable[[int | None], Backend]] = {
    "default": lambda threads: OnnxBackend(_bundle("default"), threads=threads),
    "classical": lambda threads: ClassicalBackend(),
}
"""Name -> function from a number of threads to a backend."""
