"""The models that are known by name: what each reads and writes, and whether its files are as they were made."""

from typing import Any

from counterstain.cli.inventory import Check, broken, ok
from counterstain.errors import BundleError
from counterstain.inference.backend import Backend
from counterstain.inference.bundle import default_bundle_path
from counterstain.inference.names import BACKENDS, load_backend

HEADINGS = ("Name", "Version", "um/px", "Infers", "MB", "Licence", "Fingerprint")


def describe_models() -> list[dict[str, Any]]:
    """Return one row per named model, its keys in the order of ``HEADINGS``; one that cannot be used has only ``error``."""
    return [_described(name) for name in BACKENDS]


def check_models() -> list[Check]:
    """Load every named model, which compares its checksums."""
    return [_checked(name) for name in BACKENDS]


def _described(name: str) -> dict[str, Any]:
    try:
        backend = load_backend(name, threads=1)
    except BundleError as error:
        return {"name": name, "error": str(error)}
    manifest = backend.manifest
    return {
        "name": name,
        "version": manifest.version,
        "mpp": manifest.mpp,
        "infers": ", ".join(channel.name for channel in manifest.panel.channels),
        "size_mb": _size_mb(backend),
        "licence": manifest.licence,
        "fingerprint": backend.fingerprint,
    }


def _size_mb(backend: Backend) -> float:
    files = [default_bundle_path() / weight.file for weight in backend.manifest.weights]
    return round(sum(file.stat().st_size for file in files) / 1e6, 1)


def _checked(name: str) -> Check:
    try:
        backend = load_backend(name, threads=1)
    except BundleError as error:
        return broken(f"model {name}", error, "in a clone of the repository: pip install --force-reinstall .")
    return ok(f"model {name}", f"{backend.manifest.version}, loads, checksums match, {backend.fingerprint}")
