"""Put the cores of tiles together to maps of the whole slide."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import Size
from counterstain.images import to_bytes
from counterstain.panel import Panel
from counterstain.stitching.maps import Maps, Plane
from counterstain.tiling.grid import Tile


def stitch(tiles: Iterable[tuple[Tile, Mapping[str, NDArray[np.float32]]]], *, size: Size, mpp: float, panel: Panel) -> Maps:
    """Return maps made of the kept cores.

    Parameters
    ----------
    tiles : tiles of a grid and, by channel, their (h, w, c) float32 values in [0, 1], margins included.
    size : of the slide at ``mpp``, as in the grid.
    mpp : micrometres per pixel of the maps.
    panel : the channels to keep; what else a tile brings is dropped.

    Returns
    -------
    Maps in memory; 0 where no tile was given.
    """
    stored = {channel.name: np.zeros((size.height, size.width, channel.planes), np.uint8) for channel in panel.channels}
    for tile, values in tiles:
        core = tile.keep.shifted(-tile.read.row, -tile.read.col)
        for name, plane in stored.items():
            plane[tile.keep.slices] = to_bytes(values[name][core.slices])
    return Maps(size=size, mpp=mpp, panel=panel, planes={name: Plane(plane) for name, plane in stored.items()})
