"""Put the cores of tiles together to maps of the whole slide."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import Size
from counterstain.images import to_bytes
from counterstain.panel import Channel, Panel
from counterstain.stitching.maps import Maps, Plane
from counterstain.tiling.grid import Tile

TileValues = Mapping[str, NDArray[np.float32]]
"""Channel name -> (h, w, c) float32 in [0, 1] of a tile, margins included."""


def stitch(tiles: Iterable[tuple[Tile, TileValues]], *, size: Size, mpp: float, panel: Panel) -> Maps:
    """Return maps in memory, made of the kept cores.

    Parameters
    ----------
    tiles : tiles of a grid with their values.
    size : of the slide at ``mpp``, as in the grid.
    mpp : micrometres per pixel of the maps.
    panel : the channels to keep; what else a tile brings is dropped.

    Returns
    -------
    Maps with the background of each channel (``background``) where no tile was given.
    """
    planes = {
        channel.name: Plane(np.full((size.height, size.width, channel.planes), background(channel), np.uint8))
        for channel in panel.channels
    }
    maps = Maps(size=size, mpp=mpp, panel=panel, planes=planes)
    for tile, values in tiles:
        put(maps, tile, values)
    return maps


def put(maps: Maps, tile: Tile, values: TileValues) -> None:
    """Write the core of a tile to every plane of the maps, wherever they are kept."""
    core = tile.keep.shifted(-tile.read.row, -tile.read.col)
    for name, plane in maps.planes.items():
        plane.stored[tile.keep.slices] = to_bytes(values[name][core.slices])


def background(channel: Channel) -> int:
    """Return the grey level of a channel on empty glass: white for an RGB image, else 0."""
    return 255 if channel.role == "modality" and channel.planes == 3 else 0
