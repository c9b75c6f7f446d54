"""What is installed: packages, ONNX Runtime providers and threads. Imports none of them at the top, as any may be broken."""

import importlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version

from counterstain.extras import install_command, missing

NEEDED = {
    "numpy": "numpy",
    "scipy": "scipy",
    "scikit-image": "skimage",
    "pillow": "PIL",
    "tifffile": "tifffile",
    "pydantic": "pydantic",
    "onnxruntime": "onnxruntime",
    "openslide-python": "openslide",
    "rich": "rich",
}
"""Package -> module, without which some input cannot be analysed."""

OPTIONAL = {
    "pyarrow": ("pyarrow", "slides", "cells.parquet"),
    "zarr": ("zarr", "slides", "maps of slides that do not fit in memory"),
    "imagecodecs": ("imagecodecs", "slides", "TIFF files compressed by rare codecs (most need none)"),
    "slideio": ("slideio", "czi", "CZI slides compressed by JPEG XR; VSI and ZVI"),
    "openvino": ("openvino", "openvino", "another engine, and bf16"),
    "distributed": ("distributed", "cluster", "--cluster"),
    "torch": ("torch", "train", "training"),
}
"""Package -> module, extra that installs it, what it is for."""

WITHOUT_CUDA = 'without a GPU, install PyTorch first, by the line for "CPU" at https://pytorch.org/get-started/locally'
"""Keeps pip from bringing CUDA with PyTorch, some gigabytes: what is installed is kept."""

Check = dict[str, str]
"""``status`` (ok, missing, broken), ``name``, ``found``, and ``fix``: the command that repairs it, or nothing."""


def check_machine() -> list[Check]:
    """Return the versions of what runs the program, and its threads."""
    return [
        ok("python", f"{platform.python_version()} on {platform.platform()}"),
        ok("counterstain", version("counterstain")),
        ok("threads", f"{_usable_threads()} of {os.cpu_count()} may be used"),
    ]


def check_needed() -> list[Check]:
    """Import every package that the program cannot do without."""
    return [_needed(package, module) for package, module in NEEDED.items()]


def check_optional() -> list[Check]:
    """Look for every package that adds something."""
    return [_optional(package, *known) for package, known in OPTIONAL.items()]


def check_providers() -> Check:
    """Return what ONNX Runtime can compute on."""
    return ok("providers", ", ".join(importlib.import_module("onnxruntime").get_available_providers()))


def is_broken(found: list[Check]) -> bool:
    """Return whether anything that is needed does not work."""
    return any(check["status"] == "broken" for check in found)


def ok(name: str, found: str) -> Check:
    """Return the state of something that works."""
    return {"status": "ok", "name": name, "found": found, "fix": ""}


def broken(name: str, error: BaseException, fix: str) -> Check:
    """Return the state of something that is needed and does not work."""
    return {"status": "broken", "name": name, "found": " ".join(str(error).split()), "fix": fix}


def _usable_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _needed(package: str, module: str) -> Check:
    try:
        importlib.import_module(module)
        return ok(package, version(package))
    except (ImportError, OSError, PackageNotFoundError) as error:
        return broken(package, error, f"pip install --force-reinstall {package}")


def _optional(package: str, module: str, extra: str, purpose: str) -> Check:
    if not missing([module]):
        return ok(package, f"{version(package)}, for {purpose}")
    fix = f"{install_command(extra)}; {WITHOUT_CUDA}" if package == "torch" else install_command(extra)
    return {"status": "missing", "name": package, "found": f"optional, for {purpose}", "fix": fix}
