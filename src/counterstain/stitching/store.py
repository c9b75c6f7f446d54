"""Maps on disk: one Zarr array per plane, for slides that do not fit in memory. Needs zarr, so it is imported only when used.

A chunk is the core of a tile, so each tile writes whole chunks of its own. A chunk that is not there is background.
"""

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from counterstain.errors import OutputError
from counterstain.geometry import Size
from counterstain.panel import Channel, Panel
from counterstain.stitching.canvas import background
from counterstain.stitching.maps import Maps, Plane


def open_stored_maps(folder: Path, *, size: Size, mpp: float, panel: Panel, chunk_px: int) -> Maps:
    """Return the maps kept in a folder; planes that are not there yet are made, full of background.

    Parameters
    ----------
    folder : made when missing; holds one Zarr array, of the channel's name, per plane.
    size : of the slide at ``mpp``.
    mpp : micrometres per pixel of the maps.
    panel : the channels to keep.
    chunk_px : side of a chunk: that of the core of a tile.

    Raises
    ------
    OutputError
        What is in the folder is damaged or of another size.
    """
    folder.mkdir(parents=True, exist_ok=True)
    planes = {channel.name: Plane(_Stored(folder / channel.name, channel, size, chunk_px)) for channel in panel.channels}
    return Maps(size=size, mpp=mpp, panel=panel, planes=planes)


class _Stored:
    """A Zarr array that says where it lies when a part of it cannot be read."""

    def __init__(self, path: Path, channel: Channel, size: Size, chunk_px: int) -> None:
        self._path, self._chunk_px, self._background = path, chunk_px, background(channel)
        self._array = _array(path, channel, size, chunk_px)

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self._array.shape
        return shape

    def __getitem__(self, slices: Any) -> NDArray[np.uint8]:
        try:
            return np.asarray(self._array[slices])
        except (RuntimeError, ValueError) as error:  # what the codecs of zarr raise
            raise OutputError(f"the maps in {self._path} are damaged: {error}; remove the folder and run again") from error

    def __setitem__(self, slices: tuple[slice, slice], values: NDArray[np.uint8]) -> None:
        """Write what a tile shows of one chunk, with background around it.

        The chunk is written whole: what is there already, maybe half written by a process that was killed, is not read.
        """
        corner = [part.start // self._chunk_px * self._chunk_px for part in slices]
        whole = tuple(slice(first, first + self._chunk_px) for first in corner)
        chunk = np.full((self._chunk_px, self._chunk_px, values.shape[2]), self._background, np.uint8)
        chunk[tuple(slice(part.start - first, part.stop - first) for part, first in zip(slices, corner, strict=True))] = values
        height, width = (min(part.stop, side) - part.start for part, side in zip(whole, self.shape, strict=False))
        self._array[whole] = chunk[:height, :width]


def _array(path: Path, channel: Channel, size: Size, chunk_px: int) -> Any:
    shape, chunks = (size.height, size.width, channel.planes), (chunk_px, chunk_px, channel.planes)
    if not (path / "zarr.json").exists():
        return zarr.create_array(
            path, shape=shape, chunks=chunks, dtype="uint8", fill_value=background(channel), overwrite=True
        )
    try:
        array = zarr.open_array(path, mode="r+")
    except (ValueError, KeyError) as error:  # bad JSON and every fault that zarr finds in it
        raise OutputError(f"the maps in {path} are damaged: {error}; remove the folder and run again") from error
    if (array.shape, array.chunks) != (shape, chunks):
        raise OutputError(f"the maps in {path} have shape {array.shape}, expected {shape}; remove the folder and run again")
    return array
