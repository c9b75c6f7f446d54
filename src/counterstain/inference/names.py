"""Backends by name."""

from collections.abc import Callable
from pathlib import Path

from counterstain.errors import UsageError
from counterstain.inference.backend import Backend
from counterstain.inference.bundle import default_bundle_path, load_bundle
from counterstain.inference.classical import ClassicalBackend
from counterstain.inference.onnx import OnnxBackend


def load_backend(name_or_path: str | Path = "default", *, threads: int | None = None) -> Backend:
    """Return the backend of a known name, or of the bundle at a path.

    Parameters
    ----------
    name_or_path : a key of ``BACKENDS``, or a bundle folder or zip.
    threads : CPU threads; None takes those that the process may use.

    Raises
    ------
    UsageError
        When it is neither.
    BundleError
        When the bundle cannot be used.
    """
    if str(name_or_path) in BACKENDS:
        return BACKENDS[str(name_or_path)](threads)
    if Path(name_or_path).exists():
        return _onnx(Path(name_or_path), threads)
    raise UsageError(f"no model {str(name_or_path)!r}; expected one of: {', '.join(sorted(BACKENDS))}, or the path of a bundle")


def _onnx(path: Path, threads: int | None) -> Backend:
    return OnnxBackend(load_bundle(path), threads=threads)


BACKENDS: dict[str, Callable[[int | None], Backend]] = {
    "default": lambda threads: _onnx(default_bundle_path(), threads),
    "classical": lambda threads: ClassicalBackend(),
}
"""Name -> function from a number of threads to a backend."""
