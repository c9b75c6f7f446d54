"""Find the micrometres per pixel that a TIFF file states: OME-XML, then ImageJ, then the resolution tags.

Values that no microscope gives (72 dpi is 353 um/px) are taken as not stated.
"""

import math
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import tifffile

from counterstain.errors import Remedy, UnsupportedSlideError

PLAUSIBLE_MPP = (0.05, 10.0)
"""Range of micrometres per pixel that is believed."""

SQUARE_ASPECT = 1.001
"""Pixels whose sides differ by at most this factor are square, up to the rounding of what was stated."""

MAX_ASPECT = 4.0
"""Pixels whose sides differ by more than this factor are of no scanner."""

UM_OF_UNIT = {
    **dict.fromkeys(("µm", "\u03bcm", "um", "micron", "microns", "micrometer", "\\u00B5m"), 1.0),
    "nm": 1e-3,
    "Å": 1e-4,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "in": 25400.0,
    "inch": 25400.0,
    "pm": 1e-6,
}
_UM_OF_RESOLUTION_UNIT = {2: 25400.0, 3: 10000.0}
_METADATA_ERRORS = (ValueError, KeyError, TypeError, AttributeError, IndexError, ParseError)

Sides = tuple[float, float]
"""Micrometres per pixel down and across."""


def sides_of_tiff(path: Path) -> Sides | None:
    """Return the pixel size of the first image, or None when the file states none that can be believed.

    Raises
    ------
    UnsupportedSlideError
        When the stated pixels are far from square.
    """
    with tifffile.TiffFile(path) as tiff:
        for read in (_ome, _imagej, _resolution_tags):
            sides = _believed(read, tiff)
            if sides:
                return plausible(sides, path)
    return None


def _believed(read: Any, tiff: tifffile.TiffFile) -> Sides | None:
    try:
        sides: Sides | None = read(tiff)
    except _METADATA_ERRORS:  # damaged or foreign metadata states nothing
        return None
    return sides if sides and believable(sides) else None


def believable(sides: Sides) -> bool:
    """Return whether a microscope can have made pixels of these sides."""
    low, high = PLAUSIBLE_MPP
    return all(low <= side <= high for side in sides)


def plausible(sides: Sides, path: Path) -> Sides:
    """Return the sides of a pixel as they are stated, or their mean twice where they differ by ``SQUARE_ASPECT`` at most.

    Raises
    ------
    UnsupportedSlideError
        When one is more than ``MAX_ASPECT`` times the other.
    """
    if max(sides) > MAX_ASPECT * min(sides):
        raise UnsupportedSlideError(
            f"{path} states pixels of {sides[0]:.4g} x {sides[1]:.4g} um, which no scanner makes",
            Remedy("state the pixel size where the file is wrong", "mpp"),
        )
    if max(sides) > SQUARE_ASPECT * min(sides):
        return sides
    mean = math.sqrt(sides[0] * sides[1])
    return mean, mean


def _ome(tiff: tifffile.TiffFile) -> Sides | None:
    if not tiff.ome_metadata:
        return None
    image = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
    pixels = (image[0] if isinstance(image, list) else image)["Pixels"]
    down, across = (
        float(pixels[f"PhysicalSize{axis}"]) * UM_OF_UNIT[pixels.get(f"PhysicalSize{axis}Unit", "µm")] for axis in "YX"
    )
    return down, across


def _imagej(tiff: tifffile.TiffFile) -> Sides | None:
    unit = (tiff.imagej_metadata or {}).get("unit")
    return _from_tags(tiff, UM_OF_UNIT[unit]) if unit else None


def _resolution_tags(tiff: tifffile.TiffFile) -> Sides | None:
    return _from_tags(tiff, _UM_OF_RESOLUTION_UNIT[int(tiff.pages.first.tags["ResolutionUnit"].value)])


def _from_tags(tiff: tifffile.TiffFile, um_per_unit: float) -> Sides | None:
    """Return the sides from pixels per unit, as rationals; None when a rational is 0."""
    tags = tiff.pages.first.tags
    (rows, row_units), (cols, col_units) = tags["YResolution"].value, tags["XResolution"].value
    if not (rows and cols):
        return None
    return um_per_unit * row_units / rows, um_per_unit * col_units / cols
