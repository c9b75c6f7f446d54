"""Maps in a ``modalities.ome.tiff``, read back tile by tile when they are asked for."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from counterstain.errors import OutputError
from counterstain.geometry import Box, Size
from counterstain.outputs.images.ome_tiff import named_planes
from counterstain.panel import Panel
from counterstain.slides.tiffs.flat import TIFF_ERRORS
from counterstain.stitching.maps import Maps, Plane

CHANNEL = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}Channel"


@dataclass(frozen=True, slots=True, kw_only=True)
class TiledPlanes:
    """Some pages of a tiled TIFF file, sliced as (h, w, c). The file is open only while a part is read."""

    path: Path
    keyframe: Any
    """The page of tifffile that says how all are stored."""
    pages: list[tuple[Any, Any]]
    """Per plane where each tile begins and how long it is."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and number of components."""
        return self.keyframe.imagelength, self.keyframe.imagewidth, len(self.pages)

    def __getitem__(self, slices: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Return (h, w, c) uint8.

        Raises
        ------
        OutputError
            The part is damaged.
        """
        height, width, planes = self.shape
        (top, bottom, _), (left, right, _) = slices[0].indices(height), slices[1].indices(width)
        part = Box(top, left, max(bottom - top, 0), max(right - left, 0))
        pixels = np.zeros((part.height, part.width, planes), np.uint8)
        try:
            with self.path.open("rb") as file:
                for number in range(planes):
                    self._fill(pixels[..., number], part, file, *self.pages[number])
        except TIFF_ERRORS as error:
            raise OutputError(f"the maps in {self.path} are damaged: {error}; analyse the slide again") from error
        return pixels

    def _fill(self, pixels: NDArray[np.uint8], part: Box, file: Any, starts: Any, lengths: Any) -> None:
        side = self.keyframe.tilelength  # tiles are square
        across = -(-self.keyframe.imagewidth // side)
        for row in range(part.row // side, -(-part.stop_row // side)):
            for col in range(part.col // side, -(-part.stop_col // side)):
                index = row * across + col
                file.seek(starts[index])
                decoded, _, _ = self.keyframe.decode(file.read(lengths[index]), index)
                tile = Box(row * side, col * side, *decoded.shape[1:3])
                common = tile.intersection(part)
                content = decoded[0, ..., 0][common.shifted(-tile.row, -tile.col).slices]
                pixels[common.shifted(-part.row, -part.col).slices] = content


def read_ome_tiff(path: Path, panel: Panel, mpp: float) -> Maps:
    """Return the maps in a file that ``write_ome_tiff`` wrote; pixels are read when they are asked for.

    Parameters
    ----------
    panel : of the model; channels that were not kept are left out.
    mpp : micrometres per pixel of the maps.

    Raises
    ------
    ValueError
        Its planes are not those of the model, or it is cut off or damaged.
    OSError
        It cannot be read.
    """
    keyframe, described, pages = _opened(path)
    if not described:  # it is the last thing that is written
        raise ValueError(f"{path} is cut off, or no OME-TIFF")
    names = _names_in(described, path)
    kept = _kept(panel, names)
    if kept.planes != len(names) or len(names) != len(pages) or keyframe.tilelength != keyframe.tilewidth:
        raise ValueError(f"{path} has the planes {', '.join(names)}, which are not those of the model")
    planes, first = {}, 0
    for channel in kept.channels:
        planes[channel.name] = Plane(TiledPlanes(path=path, keyframe=keyframe, pages=pages[first : first + channel.planes]))
        first += channel.planes
    return Maps(size=Size(keyframe.imagelength, keyframe.imagewidth), mpp=mpp, panel=kept, planes=planes)


def _opened(path: Path) -> tuple[Any, str | None, list[tuple[Any, Any]]]:
    """Return the page that says how all are stored, the description, and where the tiles of each plane lie."""
    try:
        with tifffile.TiffFile(path) as file:
            series, described = file.series[0], file.ome_metadata
            pages = [(page.dataoffsets, page.databytecounts) for page in series.pages if page is not None]
            return series.keyframe, described, pages
    except OSError:
        raise
    except TIFF_ERRORS as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _names_in(described: str, path: Path) -> list[str]:
    """Return the names of the channels in OME-XML."""
    try:
        return [channel.get("Name", "") for channel in ET.fromstring(described).iter(CHANNEL)]  # noqa: S314 (tifffile read it)
    except ET.ParseError as error:
        raise ValueError(f"the description of {path} is damaged: {error}") from error


def _kept(panel: Panel, names: list[str]) -> Panel:
    """Return the channels of a panel whose planes have these names."""
    return panel.only([channel.name for channel in panel.channels if all(name in names for name, _ in named_planes(channel))])
