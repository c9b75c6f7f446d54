"""What is optional: whether it is installed, and the command that installs it for the Python that is running.

An extra is a group of packages that ``pip`` installs with this one, such as ``counterstain[slides]``.
"""

import importlib.util
import sys
from collections.abc import Iterable

from counterstain.errors import CounterstainError, UsageError

TRAINING = ("torch", "lightning_fabric", "onnx", "onnxscript", "safetensors", "tensorboard")
"""Modules that the extra ``train`` brings."""


def missing(modules: Iterable[str]) -> tuple[str, ...]:
    """Return those of the modules that are not installed; none of them is imported."""
    return tuple(name for name in modules if importlib.util.find_spec(name) is None)


def install_command(extra: str) -> str:
    """Return the command that installs an extra for the Python that is running, whatever ``pip`` is on the path."""
    python = sys.executable or "python3"
    python = f'"{python}"' if " " in python else python
    return f'{python} -m pip install "counterstain[{extra}]"'


def needs(what: str, modules: Iterable[str], extra: str) -> str:
    """Return the message that something needs modules that are not installed."""
    return f"{what} needs {', '.join(modules)}; run: {install_command(extra)}"


def require(what: str, modules: Iterable[str], extra: str, error: type[CounterstainError] = UsageError) -> None:
    """Look for modules without importing them.

    Raises
    ------
    CounterstainError
        Some are not installed: an ``error`` that names them and the command that installs them.
    """
    absent = missing(modules)
    if absent:
        raise error(needs(what, absent, extra))
