"""``maps.ome.zarr``: every map as an OME-Zarr 0.5 image with smaller levels, written block by block, and read back lazily.

Memory does not grow with the slide. Needs zarr, so it is imported only when it is asked for.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from counterstain.analysis import Analysis
from counterstain.errors import OutputError
from counterstain.files import replacing_folder
from counterstain.geometry import Size
from counterstain.outputs.images.levels import BLOCK_PX, blocks_of_levels, level_sizes, stacked
from counterstain.outputs.images.ome_tiff import named_planes
from counterstain.panel import Panel
from counterstain.stitching.maps import Maps, Plane
from counterstain.versions import FORMAT_VERSION

CHUNK_PX = 256
SHARD_PX = BLOCK_PX
"""One file holds the chunks of a square of this side, all planes together."""

OME_ZARR_VERSION = "0.5"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlanes:
    """Some planes of a (c, h, w) array, sliced as (h, w, c)."""

    array: Any
    first: int
    count: int
    smaller: tuple[Any, ...] = ()
    """The arrays of the smaller levels, each half as large as the one before."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and number of components."""
        _, height, width = self.array.shape
        return height, width, self.count

    def __getitem__(self, slices: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Return (h, w, c) uint8.

        Raises
        ------
        OutputError
            The part is damaged.
        """
        try:
            part = self.array[(slice(self.first, self.first + self.count), *slices)]
        except (RuntimeError, ValueError) as error:  # what the codecs of zarr raise
            raise OutputError(f"the maps in {self.array.store_path} are damaged: {error}; analyse the slide again") from error
        return np.moveaxis(np.asarray(part, dtype=np.uint8), 0, 2)


def write_ome_zarr(analysis: Analysis, path: Path) -> None:
    """Write every map that was kept, in the order of the panel, with names, colours and pixel size."""
    maps = analysis.maps
    sizes = level_sizes(maps.size)
    with replacing_folder(path, lambda _: True) as hidden:
        group = zarr.open_group(hidden, mode="w", zarr_format=3, attributes=_attributes(analysis, len(sizes)))
        levels = [_make_array(group, str(number), maps.panel.planes, size) for number, size in enumerate(sizes)]
        for block in blocks_of_levels(stacked(maps), sizes):
            levels[block.level][(slice(None), *block.box.slices)] = block.pixels


def read_ome_zarr(path: Path, panel: Panel, mpp: float) -> Maps:
    """Return the maps in a folder that ``write_ome_zarr`` wrote; pixels are read when they are asked for.

    Parameters
    ----------
    panel : of the model; channels that were not kept are left out.
    mpp : micrometres per pixel of the maps.

    Raises
    ------
    ValueError
        It is no such folder, or it is damaged.
    OSError
        It cannot be read.
    """
    names, level, smaller = _open(path)
    kept = panel.only(names)
    if len(kept.channels) != len(names) or level.shape[0] != kept.planes:
        raise ValueError(f"{path} holds the maps {names} in {level.shape[0]} planes, which are not those of the model")
    planes, first = {}, 0
    for channel in kept.channels:
        planes[channel.name] = Plane(StoredPlanes(array=level, first=first, count=channel.planes, smaller=smaller))
        first += channel.planes
    return Maps(size=Size(*level.shape[1:]), mpp=mpp, panel=kept, planes=planes)


def _open(path: Path) -> tuple[list[str], Any, tuple[Any, ...]]:
    """Return the names of the channels, the (planes, h, w) array of full size, and those of the smaller levels."""
    try:
        group = zarr.open_group(path, mode="r")
        stated: Any = group.attrs.get("counterstain", {})
        names, level = stated.get("channels", []), group["0"]
        if not (isinstance(names, list) and isinstance(level, zarr.Array) and level.ndim == 3):
            raise ValueError(f"{path} is damaged: it holds no planes, or no names of them")
        smaller = tuple(group[str(number)] for number in range(1, len(level_sizes(Size(*level.shape[1:])))))
    except (KeyError, TypeError, AttributeError, ArithmeticError, RuntimeError) as error:  # of what zarr finds written
        raise ValueError(f"{path} is damaged: {error!r}") from error
    return names, level, smaller


def _make_array(group: Any, name: str, planes: int, size: Size) -> Any:
    return group.create_array(
        name=name,
        shape=(planes, size.height, size.width),
        dtype="uint8",
        chunks=(1, CHUNK_PX, CHUNK_PX),
        shards=(planes, SHARD_PX, SHARD_PX),
        fill_value=0,
        dimension_names=("c", "y", "x"),
    )


def _attributes(analysis: Analysis, levels: int) -> dict[str, Any]:
    maps = analysis.maps
    datasets = [
        {
            "path": str(number),
            "coordinateTransformations": [{"type": "scale", "scale": [1.0, maps.mpp * 2**number, maps.mpp * 2**number]}],
        }
        for number in range(levels)
    ]
    axes = [{"name": "c", "type": "channel"}, *({"name": name, "type": "space", "unit": "micrometer"} for name in "yx")]
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    planes = [plane for channel in maps.panel.channels for plane in named_planes(channel)]
    channels = [
        {"label": title, "color": bytes(colour).hex().upper(), "active": True, "window": window} for title, colour in planes
    ]
    return {
        "ome": {
            "version": OME_ZARR_VERSION,
            "multiscales": [{"name": analysis.slide.name, "type": "mean", "axes": axes, "datasets": datasets}],
            "omero": {"channels": channels},
        },
        "counterstain": {"format_version": FORMAT_VERSION, "channels": [channel.name for channel in maps.panel.channels]},
    }
