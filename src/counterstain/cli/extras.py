"""Say which extra is missing, before an import fails with a traceback."""

from importlib.util import find_spec

from counterstain.errors import UsageError

_TRAINING_MODULES = ("torch", "lightning_fabric", "onnx", "onnxscript", "safetensors", "tensorboard")


_CLUSTER_MODULES = ("dask", "distributed", "zarr")


def require_cluster() -> None:
    """Refuse to go on where the [cluster] extra is not installed.

    Raises
    ------
    UsageError
        Names the missing modules and the command that installs them.
    """
    missing = [name for name in _CLUSTER_MODULES if find_spec(name) is None]
    if missing:
        raise UsageError(f'--cluster needs {", ".join(missing)}; install them with: pip install "counterstain[cluster]"')


def require_training() -> None:
    """Refuse to go on where the [train] extra is not installed.

    Raises
    ------
    UsageError
        Names the missing modules and the command that installs them.
    """
    missing = [name for name in _TRAINING_MODULES if find_spec(name) is None]
    if missing:
        raise UsageError(f'training needs {", ".join(missing)}; install them with: pip install "counterstain[train]"')
