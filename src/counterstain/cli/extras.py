"""Say which extra is missing, before an import fails with a traceback."""

from importlib.util import find_spec

from counterstain.errors import UsageError

_TRAINING_MODULES = ("torch", "lightning_fabric", "onnx", "onnxscript", "safetensors", "tensorboard")
_CLUSTER_MODULES = ("dask", "distributed", "zarr")


def require_cluster() -> None:
    """Refuse to go on where the [cluster] extra is not installed; see ``_require``."""
    _require(_CLUSTER_MODULES, purpose="--cluster", extra="cluster")


def require_training() -> None:
    """Refuse to go on where the [train] extra is not installed; see ``_require``."""
    _require(_TRAINING_MODULES, purpose="training", extra="train")


def _require(modules: tuple[str, ...], *, purpose: str, extra: str) -> None:
    """Look for modules without importing them.

    Raises
    ------
    UsageError
        Names the missing modules and the command that installs them.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UsageError(f'{purpose} needs {", ".join(missing)}; install them with: pip install "counterstain[{extra}]"')
