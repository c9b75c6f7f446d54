"""The versions that decide what can be read and what is computed: of the files written here, and of installed packages."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

FORMAT_VERSION = 2
"""Of the files that this package writes; ``docs/format.md`` says what it covers."""

PACKAGES = ("counterstain", "numpy", "scipy", "scikit-image", "onnxruntime", "openvino", "pillow", "tifffile")


def package_versions() -> dict[str, str]:
    """Return the version of every package that can change a number; "missing" where there is none."""
    return {package: _version(package) for package in PACKAGES}


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
