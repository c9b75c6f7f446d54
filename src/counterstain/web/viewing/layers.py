"""Tiles of a result as pixels: the slide itself, what was inferred for it, and a composite like a fluorescence image."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from counterstain.analysis import Analysis
from counterstain.geometry import Box
from counterstain.panel import Channel
from counterstain.stitching.maps import Plane
from counterstain.web.viewing.map_levels import nearest_level

SLIDE_LAYER = "ihc"
COMPOSITE_LAYER = "composite"

COMPOSITE_COLOURS = ((0, 90, 255), (0, 255, 0), (255, 255, 0), (0, 255, 255))
"""Of the modalities in a composite, in the order of the panel; the marker is red, as positive nuclei are."""

MARKER_COLOUR = (255, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One kind of picture that a result has."""

    name: str
    title: str
    colour: tuple[int, int, int] | None
    """In which it is shown; None where it has its own colours."""


def layers_of(analysis: Analysis) -> tuple[Layer, ...]:
    """Return what can be shown of a result: the maps are among it only where they were kept."""
    kept = [channel for channel in analysis.manifest.panel.channels if channel.name in analysis.maps]
    shown = [Layer(name=SLIDE_LAYER, title="IHC", colour=None)]
    shown += [
        Layer(name=channel.name, title=channel.title or channel.name, colour=channel.colour if channel.planes == 1 else None)
        for channel in kept
    ]
    if list(_coloured(analysis)):
        shown.append(Layer(name=COMPOSITE_LAYER, title="Composite", colour=None))
    return tuple(shown)


def layer_tile(analysis: Analysis, layer: str, box: Box, mpp: float) -> NDArray[np.uint8]:
    """Return the (h, w, 3) uint8 pixels of a box in pixels of ``mpp``.

    Raises
    ------
    KeyError
        The result has no such layer.
    """
    if layer == SLIDE_LAYER:
        return analysis.slide.read(box, mpp)
    if layer == COMPOSITE_LAYER:
        return _composite(analysis, box, mpp)
    pixels = map_tile(analysis.maps[layer], analysis.maps.mpp, box, mpp)
    if pixels.shape[2] == 3:
        return pixels
    return _tinted(pixels, analysis.manifest.panel[layer].colour)


def map_tile(plane: Plane, plane_mpp: float, box: Box, mpp: float) -> NDArray[np.uint8]:
    """Return the (h, w, c) uint8 values of a map in a box of pixels of ``mpp``, smoothed as it is resampled."""
    stored, factor = nearest_level(plane, mpp / plane_mpp)
    height, width, _ = stored.shape
    top, left, low, right = (edge * factor for edge in (box.row, box.col, box.stop_row, box.stop_col))
    first = Box(int(top), int(left), 0, 0)
    margin = 2 + int(factor)
    rows = slice(max(first.row - margin, 0), min(int(low) + margin + 1, height))
    cols = slice(max(first.col - margin, 0), min(int(right) + margin + 1, width))
    part = np.asarray(stored[rows, cols])
    inside = (
        min(max(left - cols.start, 0.0), part.shape[1] - 1e-3),
        min(max(top - rows.start, 0.0), part.shape[0] - 1e-3),
        min(right - cols.start, float(part.shape[1])),
        min(low - rows.start, float(part.shape[0])),
    )
    images = [Image.fromarray(np.ascontiguousarray(part[:, :, plane])) for plane in range(part.shape[2])]
    resized = [image.resize((box.width, box.height), Image.Resampling.BILINEAR, inside) for image in images]
    return np.stack([np.asarray(image) for image in resized], axis=2)


def _tinted(pixels: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    return ((pixels.astype(np.uint16) * np.array(colour, np.uint16) + 127) // 255).astype(np.uint8)


def _composite(analysis: Analysis, box: Box, mpp: float) -> NDArray[np.uint8]:
    total = np.zeros((box.height, box.width, 3), np.uint16)
    channels = list(_coloured(analysis))
    if not channels:
        raise KeyError(COMPOSITE_LAYER)
    for channel, colour in channels:
        total += _tinted(map_tile(analysis.maps[channel.name], analysis.maps.mpp, box, mpp), colour)
    return total.clip(0, 255).astype(np.uint8)


def _coloured(analysis: Analysis) -> Iterator[tuple[Channel, tuple[int, int, int]]]:
    """Yield the intensity maps of a composite with their colours."""
    panel, colours = analysis.manifest.panel, iter(COMPOSITE_COLOURS)
    for channel in panel.modalities:
        if channel.planes == 1 and channel.name in analysis.maps:
            colour = MARKER_COLOUR if channel.name == panel.marker else next(colours, None)
            if colour:
                yield channel, colour
