"""``modalities.ome.tiff``: every inferred plane as one 8-bit channel of a tiled, pyramidal OME-TIFF.

Deflate compression, which every reader has; nothing here needs more than tifffile and NumPy.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from counterstain.analysis import Analysis
from counterstain.geometry import Box, Size
from counterstain.outputs.atomic import replacing
from counterstain.panel import Channel, Colour, Panel
from counterstain.stitching.maps import Maps, Plane

TILE_PX = 256
SMALLEST_LEVEL_PX = 2048
"""An image with a longer side gets half-size levels until no side is longer."""

RGB: tuple[tuple[str, Colour], ...] = (("red", (255, 0, 0)), ("green", (0, 255, 0)), ("blue", (0, 0, 255)))
CLASSES: tuple[tuple[str, Colour], ...] = (("positive", (255, 0, 0)), ("boundary", (0, 255, 0)), ("negative", (0, 0, 255)))


def write_ome_tiff(analysis: Analysis, path: Path) -> None:
    """Write every map, in the order of the panel, with names, colours and pixel size.

    The segmentation here is what the model inferred, so that it can be read back as probabilities times 255;
    ``segmentation.png`` shows the final cells.
    """
    channels = list(analysis.manifest.panel.channels)
    size, planes = analysis.maps.size, sum(channel.planes for channel in channels)
    levels = number_of_smaller_levels((size.height, size.width))
    with replacing(path) as hidden, tifffile.TiffWriter(hidden, ome=True, bigtiff=planes * size.area > 2**31) as writer:
        for number in range(levels + 1):
            first = {"subifds": levels, "metadata": _metadata(analysis, channels)}
            height, width = (-(-side // 2**number) for side in (size.height, size.width))
            writer.write(
                _tiles(analysis.maps, channels, number),
                shape=(planes, height, width),
                dtype=np.uint8,
                compression="zlib",
                tile=(TILE_PX, TILE_PX),
                photometric="minisblack",
                **(first if number == 0 else {"subfiletype": 1, "metadata": None}),
                **_resolution(analysis, 2**number),
            )


def read_ome_tiff(path: Path, panel: Panel, mpp: float) -> Maps:
    """Return the maps in a file that ``write_ome_tiff`` wrote, in memory.

    Parameters
    ----------
    panel : the channels that the file was written of.
    mpp : micrometres per pixel of the maps.

    Raises
    ------
    ValueError
        It has another number of planes.
    OSError
        It is missing or damaged.
    """
    stack = np.moveaxis(tifffile.imread(path, series=0, level=0), 0, 2)  # (h, w, c)
    if stack.shape[2] != panel.planes:
        raise ValueError(f"{path} has {stack.shape[2]} planes, expected {panel.planes}")
    stops = np.cumsum([channel.planes for channel in panel.channels])
    parts = np.split(stack, stops[:-1], axis=2)
    planes = {channel.name: Plane(part) for channel, part in zip(panel.channels, parts, strict=True)}
    return Maps(size=Size(*stack.shape[:2]), mpp=mpp, panel=panel, planes=planes)


def halved(level: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (c, ceil(h / 2), ceil(w / 2)) uint8 means of 2 x 2 pixels; an odd last row or column counts twice."""
    _, height, width = level.shape
    even = np.pad(level, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    sums = even[:, ::2, ::2].astype(np.uint16)  # a quarter of the pixels, so that no wide copy of all is made
    for row, col in ((1, 0), (0, 1), (1, 1)):
        sums += even[:, row::2, col::2]
    return ((sums + 2) // 4).astype(np.uint8)


def _tiles(maps: Maps, channels: list[Channel], times_halved: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the (h, w) uint8 tiles of every plane in turn, so that one plane at a time is in memory."""
    for channel in channels:
        stored = maps[channel.name].as_bytes(Box.whole(maps.size))
        for component in range(channel.planes):
            level = stored[np.newaxis, :, :, component]  # (1, h, w)
            for _ in range(times_halved):
                level = halved(level)
            for box in Box.whole(Size(*level.shape[1:])).split(TILE_PX):
                yield np.ascontiguousarray(level[0][box.slices])


def number_of_smaller_levels(shape: tuple[int, ...]) -> int:
    """Return how often an image is halved until no side is longer than ``SMALLEST_LEVEL_PX``."""
    longest, levels = max(shape), 0
    while longest > SMALLEST_LEVEL_PX:
        longest, levels = (longest + 1) // 2, levels + 1
    return levels


def _resolution(analysis: Analysis, reduction: int) -> dict[str, Any]:
    pixels_per_cm = 1e4 / (analysis.maps.mpp * reduction)
    return {"resolution": (pixels_per_cm, pixels_per_cm), "resolutionunit": "CENTIMETER"}


def _metadata(analysis: Analysis, channels: list[Channel]) -> dict[str, Any]:
    names, colours = zip(*(plane for channel in channels for plane in named_planes(channel)), strict=True)
    return {
        "axes": "CYX",
        "Name": analysis.slide.name,
        "PhysicalSizeX": analysis.maps.mpp,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": analysis.maps.mpp,
        "PhysicalSizeYUnit": "µm",
        "Channel": {"Name": list(names), "Color": [_signed_rgba(colour) for colour in colours]},
    }


def named_planes(channel: Channel) -> list[tuple[str, Colour]]:
    """Return the title and colour of each plane of a channel."""
    title = channel.title or channel.name
    if channel.planes == 1:
        return [(title, channel.colour)]
    parts = CLASSES if channel.role == "segmentation" else RGB
    return [(f"{title} {part}", colour) for part, colour in parts]


def _signed_rgba(colour: Colour) -> int:
    """Return the colour as OME-XML writes it: red, green, blue and alpha as one signed 32-bit number."""
    return int.from_bytes(bytes((*colour, 255)), "big", signed=True)
