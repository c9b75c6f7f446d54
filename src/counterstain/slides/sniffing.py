"""Which reader a path is for: the content says it, and the suffix only where contents look alike."""

import zipfile
from pathlib import Path
from typing import Literal

from counterstain.errors import UnreadableSlideError
from counterstain.slides.raster import is_raster

Kind = Literal["tiff", "raster", "zarr", "slideio", "other"]

SLIDEIO_SUFFIXES = frozenset({".czi", ".vsi", ".zvi"})
"""Suffixes of slides that only slideio reads. A VSI file is a TIFF too, but as such holds its overview only."""

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_CZI_MAGIC = b"ZISRAWFILE"
_ZIP_MAGIC = b"PK\3\4"

_ZARR_GROUP = ("zarr.json", ".zgroup", ".zattrs")
_IMAGE_ATTRIBUTES = (b'"multiscales"', b'"bioformats2raw.layout"')
_ATTRIBUTE_BYTES = 2**23


def kind_of(path: Path) -> Kind:
    """Return which reader to try.

    Raises
    ------
    UnreadableSlideError
        When the path is missing, empty, or a folder that is not a slide.
    """
    if path.is_dir() and is_zarr(path):
        return "zarr"
    if path.exists() and not path.is_file():
        raise UnreadableSlideError(f"{path} is a directory or a device, not a file")
    head, suffix = _head(path), path.suffix.lower()
    if head.startswith(_CZI_MAGIC) or suffix in SLIDEIO_SUFFIXES:
        return "slideio"
    if head.startswith(_TIFF_MAGIC):
        return "tiff"
    if head.startswith(_ZIP_MAGIC) and _is_zipped_zarr(path):
        return "zarr"
    return "raster" if is_raster(head) and suffix != ".mrxs" else "other"


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr group."""
    return any((path / name).is_file() for name in _ZARR_GROUP)


def is_ome_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr group whose attributes speak of images."""
    for name in _ZARR_GROUP:
        try:
            with (path / name).open("rb") as file:
                content = file.read(_ATTRIBUTE_BYTES)
        except OSError:
            continue
        if any(attribute in content for attribute in _IMAGE_ATTRIBUTES):
            return True
    return False


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError as error:
        raise UnreadableSlideError(f"{path} does not exist") from error
    except OSError as error:
        raise UnreadableSlideError(f"cannot read {path}: {error.strerror or error}") from error
    if not head:
        raise UnreadableSlideError(f"{path} is empty (0 bytes)")
    return head


def _is_zipped_zarr(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            return not set(_ZARR_GROUP).isdisjoint(file.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
