"""Run a backend over the tiles of a slide.

Where a tile reaches outside the slide it shows the slide mirrored, which a network reads as more tissue, not as a border.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import groupby, islice

import numpy as np
from numpy.typing import NDArray

from counterstain.errors import BackendError, SlideError
from counterstain.geometry import Box
from counterstain.images import to_unit
from counterstain.inference.ahead import ahead
from counterstain.inference.backend import Backend, Outputs, check_outputs
from counterstain.inference.bundle import Manifest
from counterstain.inference.stopwatch import Stopwatch
from counterstain.panel import Panel
from counterstain.slides.base import Slide, size_at
from counterstain.tiling.grid import Tile, TileGrid
from counterstain.tiling.quality import TileQuality, tile_quality

TileMaps = dict[str, NDArray[np.float32]]
"""Channel name -> (h, w, c) float32 in [0, 1] over the whole tile, margins included."""


Holes = list[tuple[Box, ...]]
"""For each tile the parts of it that cannot be decoded, in its own pixels."""

Batch = tuple[list[Tile], NDArray[np.float32], Holes, list[TileQuality]]


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
    tiles: Iterable[Tile] | None = None,
    batch_size: int = 1,
    on_tile: Callable[[Tile, TileQuality], object] | None = None,
    stopwatch: Stopwatch | None = None,
) -> Generator[tuple[Tile, TileMaps], None, None]:
    """Yield the maps of tiles, in their order. A thread reads the next batches while the network runs.

    Parameters
    ----------
    slide : read at ``backend.manifest.mpp``, by one thread at a time.
    backend : runs up to ``batch_size`` tiles of one size at a time.
    grid : of the size that the slide has at that resolution.
    tiles : of the grid; None takes all. Batches are full where tiles of one size follow one another.
    batch_size : more is faster on a GPU and only takes memory on a CPU.
    on_tile : called with each tile, and the quality of the part of it that is kept, when its maps are done. With None the
        quality of tiles is not judged.
    stopwatch : gets the seconds spent waiting for ``read`` and ``network``.

    Raises
    ------
    SlideError
        When a part of the slide cannot be read; a note names the tiles.
    BackendError
        When the model returns something that is not a full set of maps; a note names the tiles.
    """
    stopwatch = stopwatch or Stopwatch()
    groups = _groups(grid if tiles is None else tiles, batch_size)
    mpp = backend.manifest.mpp
    with closing(ahead(_batch(slide, group, grid, mpp, judge=on_tile is not None) for group in groups)) as batches:
        while True:
            with stopwatch("read"):
                following = next(batches, None)
            if following is None:
                return
            group, batch, holes, qualities = following
            with stopwatch("network"):
                outputs = _without_nuclei(_run(backend, batch, group), backend.manifest.panel, holes)
            for index, tile in enumerate(group):
                if on_tile:
                    on_tile(tile, qualities[index])
                yield tile, {name: values[index].transpose(1, 2, 0) for name, values in outputs.items()}


def _batch(slide: Slide, tiles: list[Tile], grid: TileGrid, mpp: float, *, judge: bool) -> Batch:
    """Return tiles of one size, their (n, 3, h, w) float32 pixels in [0, 1], their holes and the quality of their cores."""
    try:
        images = [read_mirrored(slide, tile.read, grid, mpp) for tile in tiles]
        holes = [_damage(slide, tile, grid, mpp) for tile in tiles]
    except SlideError as error:
        error.add_note(f"while reading the tiles {[tile.keep for tile in tiles]}")
        raise
    triples = zip(tiles, images, holes, strict=True) if judge else ()
    qualities = [tile_quality(image, mpp, _core(tile), damaged) for tile, image, damaged in triples]
    return tiles, np.ascontiguousarray(to_unit(np.stack(images)).transpose(0, 3, 1, 2)), holes, qualities


def _damage(slide: Slide, tile: Tile, grid: TileGrid, mpp: float) -> tuple[Box, ...]:
    """Return what cannot be decoded of a tile that was read; its mirrored parts lie outside the slide and are never kept."""
    inside = tile.read.intersection(Box.whole(grid.size))
    return tuple(damage.box.shifted(-tile.read.row, -tile.read.col) for damage in slide.damage(inside, mpp))


def _without_nuclei(outputs: Outputs, panel: Panel, holes: Holes) -> Outputs:
    """Return the outputs with no nuclei in holes, which the network saw as white: what it infers there means nothing."""
    if not any(holes):
        return outputs
    emptied = {channel.name for channel in panel.channels if channel.role != "modality"}
    changed = {name: values.copy() if name in emptied else values for name, values in outputs.items()}
    for name in emptied & changed.keys():
        for values, boxes in zip(changed[name], holes, strict=True):  # values: (c, h, w)
            for box in boxes:
                values[:, *box.slices] = 0
    return changed


def _core(tile: Tile) -> Box:
    return tile.keep.shifted(-tile.read.row, -tile.read.col)


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
