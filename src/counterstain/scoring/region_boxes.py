"""Regions in a CSV of boxes, such as the cores of a tissue microarray: text in, named polygons out."""

import io
import math

import numpy as np

from counterstain.polygons.rings import Polygon
from counterstain.spreadsheets import numbers, read_sheet

SIDES = ("row", "col", "height", "width")
"""Columns of a box, each with ``_px`` or ``_um``; ``name`` beside them is optional."""


def boxes_in(text: str, mpp: float | tuple[float, float]) -> list[tuple[str, tuple[Polygon, ...]]]:
    """Return the name, empty where there is none, and the polygon of every box.

    Parameters
    ----------
    text : a table as spreadsheets save it, with a header.
    mpp : micrometres per pixel of the slide, for boxes in micrometres; a pair is down and across.

    Raises
    ------
    ValueError
        It is not such a table, or a row is not a box; the message says what is wrong.
    """
    sheet = read_sheet(io.StringIO(text, newline=""))
    unit = next((unit for unit in ("px", "um") if all(f"{side}_{unit}" in sheet.names for side in SIDES)), None)
    if unit is None:
        shown = ", ".join(name[:40] for name in sheet.names[:10])
        raise ValueError(f"its columns are {shown}")
    down, across = (1.0, 1.0) if unit == "px" else mpp if isinstance(mpp, tuple) else (mpp, mpp)
    places = [sheet.names.index(f"{side}_{unit}") for side in SIDES]
    named = sheet.names.index("name") if "name" in sheet.names else None
    found: list[tuple[str, tuple[Polygon, ...]]] = []
    for number, fields in sheet.rows:
        try:
            polygon = _box([fields[place] for place in places], down, across)
        except ValueError as error:
            raise ValueError(f"box {number}: {error}") from error
        found.append((fields[named].strip() if named is not None else "", (polygon,)))
    return found


def _box(texts: list[str], down: float, across: float) -> Polygon:
    top, left, height, width = (float(value) for value in numbers(texts))
    if not (height > 0 and width > 0 and math.isfinite(top + left + height + width)):
        raise ValueError(f"height and width must be above 0 and all four be numbers, got {', '.join(texts)}")
    rows, cols = (top / down, (top + height) / down), (left / across, (left + width) / across)
    return (np.array([[rows[0], cols[0]], [rows[0], cols[1]], [rows[1], cols[1]], [rows[1], cols[0]]]),)
