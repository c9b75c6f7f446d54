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
from counterstain.geometry import Box, Size
from counterstain.outputs.atomic import replacing_folder
from counterstain.outputs.ome_tiff import halved, named_planes, number_of_smaller_levels
from counterstain.outputs.version import FORMAT_VERSION
from counterstain.panel import Panel
from counterstain.stitching.maps import Maps, Plane

CHUNK_PX = 256
SHARD_PX = 1024
"""One file holds the chunks of a square of this side, all planes together."""

OME_ZARR_VERSION = "0.5"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlanes:
    """Some planes of a (c, h, w) array, sliced as (h, w, c)."""

    array: Any
    first: int
    count: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and number of components."""
        _, height, width = self.array.shape
        return height, width, self.count

    def __getitem__(self, slices: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Return (h, w, c) uint8."""
        part = self.array[(slice(self.first, self.first + self.count), *slices)]
        return np.moveaxis(np.asarray(part, dtype=np.uint8), 0, 2)


def write_ome_zarr(analysis: Analysis, path: Path) -> None:
    """Write every map that was kept, in the order of the panel, with names, colours and pixel size."""
    maps = analysis.maps
    levels = 1 + number_of_smaller_levels((maps.size.height, maps.size.width))
    with replacing_folder(path, lambda _: True) as hidden:
        group = zarr.open_group(hidden, mode="w", zarr_format=3, attributes=_attributes(analysis, levels))
        size, finer = maps.size, None
        for number in range(levels):
            level = _made(group, str(number), maps.panel.planes, size)
            for block in Box.whole(size).split(SHARD_PX):
                level[(slice(None), *block.slices)] = _stack(maps, block) if finer is None else _halved_part(finer, block)
            size, finer = Size((size.height + 1) // 2, (size.width + 1) // 2), level


def read_ome_zarr(path: Path, panel: Panel, mpp: float) -> Maps:
    """Return the maps in a folder that ``write_ome_zarr`` wrote; pixels are read when they are asked for.

    Parameters
    ----------
    panel : of the model; channels that were not kept are left out.
    mpp : micrometres per pixel of the maps.

    Raises
    ------
    ValueError
        It is no such folder.
    OSError
        It cannot be read.
    """
    group = zarr.open_group(path, mode="r")
    stated: Any = group.attrs.get("counterstain", {})
    names: list[str] = stated.get("channels", [])
    level: Any = group["0"]
    channels = tuple(channel for channel in panel.channels if channel.name in names)
    kept = Panel(channels=channels, marker=panel.marker if panel.marker in names else None)
    if len(channels) != len(names) or level.shape[0] != kept.planes:
        raise ValueError(f"{path} holds the maps {names} in {level.shape[0]} planes, which are not those of the model")
    planes, first = {}, 0
    for channel in channels:
        planes[channel.name] = Plane(StoredPlanes(array=level, first=first, count=channel.planes))
        first += channel.planes
    return Maps(size=Size(*level.shape[1:]), mpp=mpp, panel=kept, planes=planes)


def _made(group: Any, name: str, planes: int, size: Size) -> Any:
    return group.create_array(
        name=name,
        shape=(planes, size.height, size.width),
        dtype="uint8",
        chunks=(1, CHUNK_PX, CHUNK_PX),
        shards=(planes, SHARD_PX, SHARD_PX),
        fill_value=0,
        dimension_names=("c", "y", "x"),
    )


def _stack(maps: Maps, block: Box) -> NDArray[np.uint8]:
    planes = [maps[channel.name].as_bytes(block) for channel in maps.panel.channels]
    return np.moveaxis(np.concatenate(planes, axis=2), 2, 0)  # (c, h, w)


def _halved_part(finer: Any, block: Box) -> NDArray[np.uint8]:
    rows, cols = (slice(2 * part.start, 2 * part.stop) for part in block.slices)
    return halved(np.asarray(finer[:, rows, cols]))


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
            "multiscales": [{"name": analysis.slide.name, "axes": axes, "datasets": datasets}],
            "omero": {"channels": channels},
        },
        "counterstain": {"format_version": FORMAT_VERSION, "channels": [channel.name for channel in maps.panel.channels]},
    }
