"""Where the images of an OME-Zarr store are: in its root, or in the groups that the layout of bioformats2raw numbers.

Needs zarr, so it is imported only when it is asked for.
"""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr

from counterstain.errors import UnreadableSlideError, UnsupportedSlideError
from counterstain.geometry import Size
from counterstain.slides.choosing import Candidate
from counterstain.slides.tiffs.ome_xml import ome_images
from counterstain.slides.zarrs.metadata import image_in, is_place, multiscale_of, name_in
from counterstain.slides.zarrs.stores import open_store, read_text

ZARR_ERRORS = (
    *(
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        RuntimeError,
        ArithmeticError,
        AssertionError,
        EOFError,
        MemoryError,
    ),
    *(struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)


MAX_IMAGES = 1024

_LAYOUT = "bioformats2raw.layout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one image is."""

    group: str
    """Path of its group in the store; empty for the root."""
    number: int = 0
    """Of the image in the attributes of the group."""
    name: str = ""
    """As the metadata of the store name it; empty where they do not."""


def images_of_zarr(path: Path) -> list[Candidate]:
    """Return the images of a store, in their order.

    Raises
    ------
    UnreadableSlideError
        It cannot be read.
    UnsupportedSlideError
        It is of a kind that is refused.
    """
    with _root_of(path) as root:
        places = places_in(root, path)
        return [_candidate(root, place, number, path, alone=len(places) == 1) for number, place in enumerate(places)]


@contextmanager
def _root_of(path: Path) -> Iterator[Any]:
    """Yield the root of a store, which is closed then."""
    store = None
    try:
        store = open_store(path)
        yield zarr.open_group(store, mode="r", use_consolidated=False)
    except ZARR_ERRORS as error:
        raise UnreadableSlideError(f"cannot read the OME-Zarr {path}: {error}; it is damaged or no image") from error
    finally:
        close(store)


def places_in(root: Any, path: Path) -> list[Place]:
    """Return the place of every image of a store, in their order.

    A root that describes an image is that image, whatever else it says: some programs write both.

    Raises
    ------
    UnreadableSlideError
        It lists more images than a file has, or places that are none.
    """
    attributes = image_in(root.attrs.asdict())
    listed = attributes.get("multiscales")
    if _LAYOUT not in attributes or (isinstance(listed, list) and listed):
        count = len(listed) if isinstance(listed, list) and listed else 1
        return [Place(group="", number=number) for number in range(min(count, MAX_IMAGES))]
    groups = _groups(root, path)
    names = [image.name for image in ome_images(read_text(path, "OME/METADATA.ome.xml"))]
    names = names if len(names) == len(groups) else [""] * len(groups)
    return [Place(group=group, name=name) for group, name in zip(groups, names, strict=True)]


def _groups(root: Any, path: Path) -> list[str]:
    """Return the groups in the order that the store lists, else those that are numbered from 0."""
    about = root.get("OME")
    series = image_in(about.attrs.asdict()).get("series") if about is not None else None
    if isinstance(series, list) and series:
        if len(series) > MAX_IMAGES or not all(is_place(group) for group in series):
            raise UnreadableSlideError(f"{path} lists images that are not places within it, or more than {MAX_IMAGES}")
        return series
    numbered: list[str] = []
    while len(numbered) < MAX_IMAGES and _is_image(root.get(str(len(numbered)))):
        numbered.append(str(len(numbered)))
    return numbered or ["0"]  # which is then said to be missing


def _is_image(group: Any) -> bool:
    attributes = getattr(group, "attrs", None)
    return attributes is not None and isinstance(image_in(attributes.asdict()), Mapping)


def _candidate(root: Any, place: Place, number: int, path: Path, *, alone: bool) -> Candidate:
    """Return an image as its attributes describe it; of several, one of a kind that is refused is listed too."""
    group = root[place.group] if place.group else root
    attributes = group.attrs.asdict()
    name = place.name or name_in(attributes, place.number)
    try:
        image = multiscale_of(attributes, f"{path}/{place.group}".rstrip("/"), place.number)
    except UnsupportedSlideError:
        if alone:
            raise
        return Candidate(number=number, name=name, size=_last_two(group, attributes, place.number))
    return Candidate(number=number, name=name, size=size_of(group[image.paths[0]].shape, image.axes), sides=image.stated.sides)


def _last_two(group: Any, attributes: Any, number: int) -> Size:
    """Return the size of an image of unknown axes, of which the last two are rows and columns."""
    array = group[str(image_in(attributes)["multiscales"][number]["datasets"][0]["path"])]
    return Size(*(int(side) for side in array.shape[-2:]))


def close(store: Any) -> None:
    """Close a store, where there is one."""
    with suppress(AttributeError):  # a zip file that could not be opened cannot be closed
        if store is not None:
            store.close()


def size_of(shape: tuple[int, ...], axes: tuple[str, ...]) -> Size:
    """Return the rows and columns of an array."""
    return Size(int(shape[axes.index("y")]), int(shape[axes.index("x")]))
