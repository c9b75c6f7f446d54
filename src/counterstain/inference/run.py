"""Run a backend over the tiles of a slide.

Where a tile reaches outside the slide it shows the slide mirrored, which a network reads as more tissue, not as a border.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice

import numpy as np
from numpy.typing import NDArray

from counterstain.errors import BackendError
from counterstain.geometry import Box
from counterstain.images import to_unit
from counterstain.inference.backend import Backend, Outputs, check_outputs
from counterstain.inference.bundle import Manifest
from counterstain.inference.stopwatch import Stopwatch
from counterstain.slides.base import Slide, size_at
from counterstain.tiling.grid import Tile, TileGrid

TileMaps = dict[str, NDArray[np.float32]]
"""Channel name -> (h, w, c) float32 in [0, 1] over the whole tile, margins included."""


def grid_of(slide: Slide, manifest: Manifest) -> TileGrid:
    """Return the tiles of a slide at the resolution, tile size and margin of a model."""
    return TileGrid(
        size=size_at(slide, manifest.mpp),
        tile_px=manifest.tile_px,
        margin_px=manifest.margin_px,
        stride_px=manifest.stride_px,
    )


def infer(
    slide: Slide,
    backend: Backend,
    grid: TileGrid,
    *,
    batch_size: int = 1,
    on_tile: Callable[[Tile], None] | None = None,
    stopwatch: Stopwatch | None = None,
) -> Iterator[tuple[Tile, TileMaps]]:
    """Yield the maps of every tile of the grid, in its order.

    Parameters
    ----------
    slide : read at ``backend.manifest.mpp``.
    backend : runs up to ``batch_size`` tiles of one size at a time.
    grid : of the size that the slide has at that resolution.
    batch_size : more is faster on a GPU and only takes memory on a CPU.
    on_tile : called with each tile when its maps are done, for progress.
    stopwatch : gets the seconds spent in ``read`` and ``network``.

    Raises
    ------
    BackendError
        When the model returns something that is not a full set of maps; a note names the tiles.
    """
    stopwatch = stopwatch or Stopwatch()
    for tiles in _groups(grid, batch_size):
        with stopwatch("read"):
            images = [read_mirrored(slide, tile.read, grid, backend.manifest.mpp) for tile in tiles]
            batch = np.ascontiguousarray(to_unit(np.stack(images)).transpose(0, 3, 1, 2))  # (n, 3, h, w)
        with stopwatch("network"):
            outputs = _run(backend, batch, tiles)
        for index, tile in enumerate(tiles):
            if on_tile:
                on_tile(tile)
            yield tile, {name: values[index].transpose(1, 2, 0) for name, values in outputs.items()}


def _groups(tiles: Iterable[Tile], count: int) -> Iterator[list[Tile]]:
    """Yield runs of at most ``count`` tiles of one size."""
    for _, alike in groupby(tiles, key=lambda tile: tile.read.size):
        while group := list(islice(alike, count)):
            yield group


def read_mirrored(slide: Slide, box: Box, grid: TileGrid, mpp: float) -> NDArray[np.uint8]:
    """Return the (h, w, 3) uint8 pixels of a box that meets the slide; what is outside mirrors what is inside."""
    inside = box.intersection(Box.whole(grid.size))
    above, left = inside.row - box.row, inside.col - box.col
    below, right = box.stop_row - inside.stop_row, box.stop_col - inside.stop_col
    return np.pad(slide.read(inside, mpp), ((above, below), (left, right), (0, 0)), mode="symmetric")


def _run(backend: Backend, batch: NDArray[np.float32], tiles: list[Tile]) -> Outputs:
    try:
        return check_outputs(backend.run(batch), backend.manifest.panel, batch.shape)
    except BackendError as error:
        error.add_note(f"while inferring the tiles {[tile.keep for tile in tiles]}")
        raise
