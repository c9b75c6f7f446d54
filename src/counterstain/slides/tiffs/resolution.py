"""Find the micrometres per pixel that a TIFF file states of an image: OME-XML, then ImageJ, then the resolution tags."""

from typing import Any

import tifffile

from counterstain.slides.pixel_size import UM_OF_UNIT, Sides, Stated, stated
from counterstain.slides.tiffs.ome_xml import OmeImage
from counterstain.slides.turning import is_exchanged

_UM_OF_RESOLUTION_UNIT = {2: 25400.0, 3: 10000.0}
_METADATA_ERRORS = (ValueError, KeyError, TypeError, AttributeError, IndexError)


def stated_by_tiff(tiff: tifffile.TiffFile, page: Any, described: OmeImage | None, orientation: int) -> Stated:
    """Return what is stated of the pixels of a page as they are shown, the first that can be believed.

    Parameters
    ----------
    page : the first of the image.
    described : what OME-XML says of the image.
    orientation : the tag that is followed.
    """
    found = [described and described.sides, _imagej(tiff, page), _resolution_tags(page)]
    if is_exchanged(orientation):
        found = [sides and (sides[1], sides[0]) for sides in found]
    judged = [stated(sides) for sides in found if sides]
    doubts = [one for one in judged if one.doubt and not (one.is_of_print and len(judged) > 1)]
    believed = next((one for one in judged if one.sides), None)
    if believed is None:
        return doubts[0] if doubts else Stated()
    first = judged[0]
    return Stated(sides=believed.sides, doubt=first.doubt)


def _imagej(tiff: tifffile.TiffFile, page: Any) -> Sides | None:
    try:
        unit = (tiff.imagej_metadata or {}).get("unit")
        return _from_tags(page, UM_OF_UNIT[unit]) if unit else None
    except _METADATA_ERRORS:  # damaged or foreign metadata states nothing
        return None


def _resolution_tags(page: Any) -> Sides | None:
    try:
        return _from_tags(page, _UM_OF_RESOLUTION_UNIT[int(page.tags["ResolutionUnit"].value)])
    except _METADATA_ERRORS:
        return None


def _from_tags(page: Any, um_per_unit: float) -> Sides | None:
    """Return the sides from pixels per unit, as rationals; None when a rational is 0."""
    (rows, row_units), (cols, col_units) = page.tags["YResolution"].value, page.tags["XResolution"].value
    if not (rows and cols):
        return None
    down, across = um_per_unit * row_units / rows, um_per_unit * col_units / cols
    return (down, across) if down > 0 and across > 0 else None
