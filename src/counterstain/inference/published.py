"""Infer an image as the published DeepLIIF software does, to compare numbers with it.

The published tiles differ from this package's lattice: they start at the image's border without a margin, the last ones are
shifted back to end there, empty ones are not inferred, and a tile of another size is resampled to that of the networks. Every
network normalises by the statistics of its tile, so another tiling gives slightly other numbers. ``counterstain analyze`` uses
the lattice, whose answer does not depend on the region that was asked for; this module shows how far the two are apart.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from counterstain.images import check_rgb, to_unit
from counterstain.inference.backend import Backend
from counterstain.panel import Colour

OVERLAP_SHARE = 16
"""A tile overlaps its neighbour by this part of itself on each side."""

MIN_VARIANCE = 9.0
"""Of the grey levels that are neither black nor white; below it, a tile counts as empty."""

BLACK: Colour = (0, 0, 0)

Picture = NDArray[np.uint8]
Span = tuple[int, int]


def infer_published(
    image: Picture, backend: Backend, *, tile_px: int = 512, backgrounds: Mapping[str, Colour] | None = None
) -> dict[str, Picture]:
    """Return every channel as the published software writes it.

    Parameters
    ----------
    image : (h, w, 3) uint8.
    backend : a model imported from the published software.
    tile_px : side of the tiles; they are resampled to ``backend.manifest.tile_px``.
    backgrounds : channel -> colour of an empty tile; black where it is not given.

    Returns
    -------
    Channel name -> (h, w, c) uint8.
    """
    height, width = check_rgb(image).shape[:2]
    extended = _extended(image, tile_px)
    colours = backgrounds or {}
    channels = backend.manifest.panel.channels
    results = {channel.name: np.zeros((*extended.shape[:2], channel.planes), np.uint8) for channel in channels}
    for row, row_span in _spans(extended.shape[0], height, tile_px):
        for col, col_span in _spans(extended.shape[1], width, tile_px):
            tile = extended[row : row + tile_px, col : col + tile_px]
            kept = slice(*row_span), slice(*col_span)
            for name, answer in _infer_tile(tile, backend, colours).items():
                results[name][row:, col:][kept] = answer[kept]
    return {name: result[:height, :width] for name, result in results.items()}


def is_empty(tile: Picture) -> bool:
    """Return whether the grey levels of a tile, black and white left out, hardly vary; black and white alone are empty."""
    grey = np.asarray(Image.fromarray(tile).convert("L"))
    counted = grey[(grey != 0) & (grey != 255)]
    return not counted.size or float(np.var(counted)) < MIN_VARIANCE


def _extended(image: Picture, tile_px: int) -> Picture:
    """Mirror an image downwards and to the right until it holds a tile."""
    missing = [max(0, tile_px - side) for side in image.shape[:2]]
    return np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")


def _spans(side: int, shown: int, tile_px: int) -> list[tuple[int, Span]]:
    """Return the start of each tile along an axis and which of its pixels are kept; later tiles overwrite earlier ones.

    Parameters
    ----------
    side : of the extended image.
    shown : side of the image; without overlap when it is at most a tile.
    """
    overlap = 0 if shown <= tile_px else tile_px // OVERLAP_SHARE
    last = side - tile_px
    starts = [*range(0, last, tile_px - 2 * overlap), last]
    return [(start, (0 if start == 0 else overlap, tile_px if start == last else tile_px - overlap)) for start in starts]


def _infer_tile(tile: Picture, backend: Backend, colours: Mapping[str, Colour]) -> dict[str, Picture]:
    tile_px, network_px = tile.shape[0], backend.manifest.tile_px
    if is_empty(tile):
        channels = backend.manifest.panel.channels
        return {
            channel.name: np.broadcast_to(
                np.asarray(colours.get(channel.name, BLACK)[: channel.planes], np.uint8), (tile_px, tile_px, channel.planes)
            )
            for channel in channels
        }
    unit = to_unit(_resized(tile, network_px)).transpose(2, 0, 1)[np.newaxis]
    outputs = backend.run(np.ascontiguousarray(unit))
    return {name: _resized(_truncated(values[0]), tile_px) for name, values in outputs.items()}


def _truncated(values: NDArray[np.float32]) -> Picture:
    """Return (c, h, w) values in [0, 1] as (h, w, c) grey levels, cut off as published, not rounded."""
    return (values.transpose(1, 2, 0) * np.float32(255)).astype(np.uint8)


def _resized(picture: Picture, side: int) -> Picture:
    if picture.shape[0] == side:
        return picture
    planes = picture[..., 0] if picture.shape[2] == 1 else picture
    resized = np.asarray(Image.fromarray(planes).resize((side, side), Image.Resampling.BICUBIC))
    return resized.reshape(side, side, picture.shape[2])
