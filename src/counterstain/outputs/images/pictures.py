"""The PNG files: each inferred image, the segmentation as drawn from the final cells, and the slide with outlines on it.

All have the size of the maps, that is of the slide at the model's resolution.
"""

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from counterstain.analysis import Analysis
from counterstain.files import replacing
from counterstain.geometry import Box
from counterstain.outputs.images.drawing import casing_pixels, coloured, outline_pixels, painted_labels, wide_outline
from counterstain.tiling.stains import stain_warning

POSITIVE = (255, 0, 0)
NEGATIVE = (0, 0, 255)
BOUNDARY = (0, 255, 0)
BACKGROUND = (0, 0, 0)
CASING = (255, 255, 255)

HEADLINE_PX, HEADLINE_SHARE = (13, 60), 0.025
"""Smallest and largest height of the letters of a headline, and between them their share of the width of the picture."""

COMPRESSION = 3
"""Of 9: a few per cent larger than the default of 6 and twice as fast."""

OF_COLOURS = zlib.Z_RLE
"""How zlib looks for repeats in pictures of many colours: in runs alone, which makes them a tenth smaller and a third faster.
A map in one colour would be up to a half larger."""

OF_A_MAP = zlib.Z_FILTERED


def write_modality(analysis: Analysis, path: Path, channel_name: str) -> None:
    """Write one inferred image: RGB as it is, an intensity map in the colour of its channel on black."""
    stored = analysis.maps[channel_name].as_bytes(Box.whole(analysis.maps.size))
    is_map = stored.shape[2] == 1
    if is_map:
        colour = np.array(analysis.manifest.panel[channel_name].colour, np.uint16)
        stored = ((stored * colour + 127) // 255).astype(np.uint8)
    _write_png(stored, path, OF_A_MAP if is_map else OF_COLOURS)


def write_segmentation(analysis: Analysis, path: Path) -> None:
    """Write red positive and blue negative nuclei, each within its green boundary, on black."""
    labels = _labels(analysis)
    drawn = coloured(labels, _class_colours(analysis))
    drawn[outline_pixels(labels)] = BOUNDARY
    _write_png(drawn, path, OF_COLOURS)


def write_overlay(analysis: Analysis, path: Path) -> None:
    """Write the slide's own pixels with red outlines round positive and blue ones round negative nuclei.

    Each lies within a light casing of one pixel, without which blue and red are not seen on dark brown. Where the stains are
    not those of the model, a headline says so.
    """
    maps, labels = analysis.maps, _labels(analysis)
    drawn = analysis.slide.read(Box.whole(maps.size), maps.mpp).copy()
    drawn[casing_pixels(labels)] = CASING
    outline = wide_outline(labels, analysis.outline_px)
    drawn[outline] = coloured(labels, _class_colours(analysis))[outline]
    odd_stain = stain_warning(analysis.stains, analysis.manifest.stains) if analysis.stains else None
    _write_png(_with_headline(drawn, f"WARNING: {odd_stain}") if odd_stain else drawn, path, OF_COLOURS)


def _with_headline(pixels: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """Return (h, w, 3) uint8 with a text at its top, in black letters, cased in white, between which the tissue is seen."""
    from PIL import ImageDraw, ImageFont

    picture = Image.fromarray(pixels)
    smallest, largest = HEADLINE_PX
    font = ImageFont.load_default(min(max(smallest, HEADLINE_SHARE * picture.width), largest))
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        fits = bool(lines) and font.getlength(longer) <= picture.width - 8
        lines = [*lines[:-1], longer] if fits else [*lines, word]
    ImageDraw.Draw(picture).text((4, 2), "\n".join(lines), "black", font, stroke_width=2, stroke_fill=CASING)
    return np.asarray(picture)


def _labels(analysis: Analysis) -> NDArray[np.int32]:
    maps = analysis.maps
    down, across = analysis.slide.resolution.factors(maps.mpp)
    return painted_labels(analysis.cells, Box.whole(maps.size), (1 / down, 1 / across))


def _class_colours(analysis: Analysis) -> NDArray[np.uint8]:
    positive = analysis.cells["is_positive"][:, None]
    colours = np.where(positive, np.array(POSITIVE, np.uint8), np.array(NEGATIVE, np.uint8))
    return np.vstack([np.array([BACKGROUND], np.uint8), colours])


def _write_png(pixels: NDArray[np.uint8], path: Path, strategy: int) -> None:
    with replacing(path) as hidden:
        Image.fromarray(pixels).save(hidden, format="PNG", compress_level=COMPRESSION, compress_type=strategy)
