"""The columns of the nuclei of one block: where they are, how large, and what the maps and the slide show inside them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.measure import LabelledPixels, gather, shapes
from counterstain.cells.seams import Piece, touching_border
from counterstain.cells.table import FLAG_TOUCHES_BORDER
from counterstain.geometry import Box
from counterstain.images import unmix
from counterstain.slides.base import Slide
from counterstain.stitching.maps import Maps

ROW_STRIDE = 2**24
"""``cell_id`` is the row of the first pixel times this, plus its column."""

_CHUNK_PIXELS = 2**22
"""How many pixels are unmixed at once, so that memory stays small."""

Columns = dict[str, NDArray[Any]]


def describe(slide: Slide, maps: Maps, piece: Piece) -> Columns:
    """Return every column of the table but ``is_positive``, each of (n,) for the nuclei of a piece.

    Parameters
    ----------
    slide : gives the pixels for the optical densities, read at the resolution of the maps, and the size of its pixels.
    maps : that the piece was cut from.
    """
    pixels = gather(piece.nuclei.labels, len(piece.nuclei.p_positive))
    return {
        **_geometry(slide, maps, piece, pixels),
        **_intensities(maps, piece.box, pixels),
        **_densities(slide, maps.mpp, piece.box, pixels),
        "p_positive": piece.nuclei.p_positive,
    }


def _geometry(slide: Slide, maps: Maps, piece: Piece, pixels: LabelledPixels) -> Columns:
    shape = shapes(piece.nuclei.labels, pixels, (piece.box.row, piece.box.col))
    (down, across), (height_um, width_um) = slide.resolution.factors(maps.mpp), slide.resolution.sides
    row_px, col_px = (shape.row + 0.5) * down - 0.5, (shape.col + 0.5) * across - 0.5
    return {
        "cell_id": shape.first_row * ROW_STRIDE + shape.first_col,
        "row_um": row_px * height_um,
        "col_um": col_px * width_um,
        "row_px": row_px,
        "col_px": col_px,
        "area_um2": shape.area_px * maps.mpp**2,
        "perimeter_um": shape.perimeter_px * maps.mpp,
        "eccentricity": shape.eccentricity,
        "quality_flags": np.where(touching_border(piece, maps.size), FLAG_TOUCHES_BORDER, 0),
    }


def _intensities(maps: Maps, box: Box, pixels: LabelledPixels) -> Columns:
    """Means of the modalities and the maximum of the marker; NaN for what the model does not infer."""
    absent = np.full(pixels.count, np.nan)
    values = {"marker_mean": absent, "marker_max": absent, "dapi_mean": absent, "lap2_mean": absent}
    names = {"dapi_mean": "dapi", "lap2_mean": "lap2", "marker_mean": maps.panel.marker}
    for column, name in names.items():
        if name is not None and name in maps:
            plane = maps[name][box.slices].max(axis=2)
            values[column] = pixels.means(plane)
            if column == "marker_mean":
                values["marker_max"] = pixels.maxima(plane)
    return values


def _densities(slide: Slide, mpp: float, box: Box, pixels: LabelledPixels) -> Columns:
    """Mean hematoxylin and DAB density of each nucleus; only nuclear pixels are unmixed."""
    image = slide.read(box, mpp).reshape(-1, 3)
    totals = np.zeros((2, pixels.count))
    for start in range(0, len(pixels.flat), _CHUNK_PIXELS):
        chunk = slice(start, start + _CHUNK_PIXELS)
        amounts = unmix(image[pixels.flat[chunk]][:, np.newaxis])[:, 0]  # (k, 2)
        for stain in range(2):
            totals[stain] += np.bincount(pixels.nucleus[chunk], weights=amounts[:, stain], minlength=pixels.count)
    hematoxylin, dab = totals / pixels.areas
    return {"hematoxylin_od_mean": hematoxylin, "dab_od_mean": dab}
