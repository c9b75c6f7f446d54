"""What the attributes of an OME-Zarr group (0.4 and 0.5) say of its image: axes, levels and the size of a pixel.

Whatever is written there may be wrong or meant to harm: every part is checked before it is used. Knows no file.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from counterstain.errors import UnreadableSlideError, UnsupportedSlideError
from counterstain.slides.pixel_size import UM_OF_UNIT, Stated, stated

MAX_LEVELS = 64

MAX_PATH = 200

AXES = ("t", "c", "z", "y", "x")

_SAMPLES = "s"
"""What some programs call the axis of the colours."""

_LEVEL_PATH = re.compile(r"(?!\.)[\w.-]+(/(?!\.)[\w.-]+)*", re.ASCII)
"""Paths within the group: none that leads out of it, to a hidden file or from the root of the disk."""

_UM_OF_NAMED_UNIT = {
    "picometer": 1e-6,
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "decimeter": 1e5,
    "meter": 1e6,
    **UM_OF_UNIT,
}

_RGB = ["FF0000", "00FF00", "0000FF"]

Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Multiscale:
    """One image of a group."""

    axes: tuple[str, ...]
    """Names of the axes of its arrays: some of t, c, z, y and x, the last three of these always."""
    paths: tuple[str, ...]
    """Of the arrays within the group, the largest first."""
    stated: Stated
    """Micrometres per pixel down and across."""


def image_in(attributes: Attributes) -> Attributes:
    """Return the attributes of OME: those under ``ome`` (0.5), else all (0.4)."""
    inner = attributes.get("ome")
    return inner if isinstance(inner, Mapping) else attributes


def multiscale_of(attributes: Attributes, place: str, number: int = 0) -> Multiscale:
    """Return an image that the attributes of a group describe.

    Parameters
    ----------
    place : names the group in messages.
    number : of the image in the group, which has more than one only in the files of few programs.

    Raises
    ------
    UnreadableSlideError
        They describe none, or wrongly.
    UnsupportedSlideError
        It is not an RGB image of a slide: maps that this package wrote, a plate, channels in other colours.
    """
    described = image_in(attributes)
    if "counterstain" in attributes:
        raise UnsupportedSlideError(f"{place} holds maps that were inferred by an earlier run; name the original image instead")
    if "plate" in described or "well" in described:
        raise UnsupportedSlideError(f"{place} is a plate of many images; name the folder of one of them")
    first = _listed(described.get("multiscales"), number, place)
    _check_colours(described.get("omero"), place)
    axes = _axes(first.get("axes"), place)
    datasets = first.get("datasets")
    if not isinstance(datasets, list) or not 0 < len(datasets) <= MAX_LEVELS:
        raise UnreadableSlideError(f"{place} lists no levels, or more than {MAX_LEVELS}, in the datasets of its multiscales")
    return Multiscale(
        axes=tuple(axis["name"] for axis in axes),
        paths=tuple(_level_path(dataset, place) for dataset in datasets),
        stated=_stated(axes, datasets[0].get("coordinateTransformations"), first.get("coordinateTransformations")),
    )


def name_in(attributes: Attributes, number: int = 0) -> str:
    """Return the name of an image in the attributes of its group; empty where it has none."""
    described = image_in(attributes)
    listed, omero = described.get("multiscales"), described.get("omero")
    image = listed[number] if isinstance(listed, list) and len(listed) > number else None
    names = [part.get("name") for part in (image, omero) if isinstance(part, Mapping)]
    return next((name for name in names if isinstance(name, str) and name not in ("", "/")), "")


def is_place(path: Any) -> bool:
    """Return whether a path is one of a group or an array within a store."""
    return isinstance(path, str) and len(path) <= MAX_PATH and _LEVEL_PATH.fullmatch(path) is not None


def _listed(multiscales: Any, number: int, place: str) -> Attributes:
    if not isinstance(multiscales, list) or len(multiscales) <= number or not isinstance(multiscales[number], Mapping):
        raise UnreadableSlideError(
            f"{place} is not an OME-Zarr image: its attributes have no multiscales; name the folder that has"
        )
    found: Attributes = multiscales[number]
    return found


def _axes(axes: Any, place: str) -> list[Attributes]:
    """Return the axes, with the names of 0.4; in 0.3 they are names alone."""
    if not isinstance(axes, list) or not all(isinstance(axis, Mapping | str) for axis in axes):
        raise UnsupportedSlideError(f"{place} does not describe its axes as OME-Zarr 0.4 and 0.5 do; convert it to 0.4 or 0.5")
    described = [{"name": axis} if isinstance(axis, str) else axis for axis in axes]
    names = [axis.get("name") for axis in described]
    if _SAMPLES in names and "c" not in names:
        described = [{**axis, "name": "c"} if axis.get("name") == _SAMPLES else axis for axis in described]
        names = [axis.get("name") for axis in described]
    if not {"c", "y", "x"} <= set(names) or len(set(names)) != len(names) or not set(names) <= set(AXES):
        raise UnsupportedSlideError(
            f"{place} has the axes {names}, expected y, x and the colours as c or s (and t and z of length 1)"
        )
    return described


def _level_path(dataset: Any, place: str) -> str:
    path = dataset.get("path") if isinstance(dataset, Mapping) else None
    if not is_place(path):
        raise UnreadableSlideError(f"{place} names a level {path!r}, which is not a place within it")
    return str(path)


def _check_colours(omero: Any, place: str) -> None:
    """Refuse three channels that are shown in other colours than red, green and blue: they are stains, not an RGB image."""
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, list) or not all(isinstance(channel, Mapping) for channel in channels):
        return
    colours = [str(channel.get("color", "")).lstrip("#").upper()[:6] for channel in channels]
    if len(set(colours)) > 1 and colours != _RGB:
        raise UnsupportedSlideError(
            f"{place} has channels shown in the colours {', '.join(colours)}, expected red, green and blue: "
            "an ordinary image of a stained slide, not separate fluorescence channels"
        )


def _stated(axes: Sequence[Attributes], *transformations: Any) -> Stated:
    """Return the product of all scales, in micrometres; nothing without scale, or without a unit of length."""
    names = [axis["name"] for axis in axes]
    found = []
    for name in ("y", "x"):
        number, unit = names.index(name), axes[names.index(name)].get("unit")
        scales = [scale[number] for scale in map(_scale, transformations) if scale and len(scale) == len(axes)]
        if not scales or not isinstance(unit, str) or unit not in _UM_OF_NAMED_UNIT:
            return Stated()
        found.append(math.prod(scales) * _UM_OF_NAMED_UNIT[unit])
    down, across = found
    return stated((down, across)) if 0 < down < math.inf and 0 < across < math.inf else Stated()


def _scale(transformations: Any) -> list[float] | None:
    steps = transformations if isinstance(transformations, list) else []
    scales = [step.get("scale") for step in steps if isinstance(step, Mapping) and step.get("type") == "scale"]
    if len(scales) != 1 or not isinstance(scales[0], list):
        return None
    return scales[0] if all(isinstance(value, int | float) for value in scales[0]) else None
