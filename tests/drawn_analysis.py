"""A slide of 12 x 16 pixels with three square nuclei, small enough to draw."""

import math

import numpy as np

from counterstain.analysis import Analysis
from counterstain.cells.table import COLUMNS, FLAG_TOUCHES_BORDER, Cells
from counterstain.geometry import Box, Size
from counterstain.inference.bundle import Manifest
from counterstain.panel import DEFAULT_PANEL
from counterstain.scoring.base import Score
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.stitching.maps import Maps, Plane

SQUARES = (Box(1, 1, 4, 4), Box(1, 5, 4, 4), Box(8, 10, 4, 6))
"""A positive and a negative nucleus that touch, and a positive one in the lower right corner."""


def square_cells() -> Cells:
    values = {
        "cell_id": [100, 200, 300],
        "row_px": [2.5, 2.5, 9.5],
        "col_px": [2.5, 6.5, 12.5],
        "row_um": [0.75, 0.75, 2.5],
        "col_um": [0.75, 1.75, 3.25],
        "area_um2": [1.0, 1.0, 1.5],
        "perimeter_um": [4.0, 4.0, 5.0],
        "eccentricity": [0.0, 0.0, 0.75],
        "p_positive": [0.9, 0.1, 0.6],
        "is_positive": [True, False, True],
        "marker_mean": [0.7, 0.05, 0.4],
        "lap2_mean": [math.nan, math.nan, math.nan],
        "quality_flags": [0, 0, FLAG_TOUCHES_BORDER],
    }
    columns = {name: np.array(values.get(name, [0.25, 0.5, 0.75]), kind) for name, kind in COLUMNS.items()}
    corners = [(b.row, b.col, b.stop_row, b.stop_col) for b in SQUARES]
    outlines = [np.array([[top, left], [top, right], [low, right], [low, left]], float) for top, left, low, right in corners]
    thresholds = {"decoder": "watershed", "positive": 0.5, "min_area_um2": 1.0, "max_area_um2": None}
    return Cells(columns=columns, outlines=outlines, thresholds=thresholds)


def square_analysis(*, maps_mpp: float = 0.25) -> Analysis:
    height, width = 12, 16
    pixels = np.full((height, width, 3), 240, np.uint8)
    slide = ArraySlide(pixels, name="tile", resolution=Resolution(0.25, "metadata"))
    size = Size(height, width).scaled(0.25 / maps_mpp)
    planes = {
        channel.name: Plane(np.full((size.height, size.width, channel.planes), 10 * number, np.uint8))
        for number, channel in enumerate(DEFAULT_PANEL.channels, start=1)
    }
    score = Score(
        name="percent_positive",
        value=200 / 3,
        interval=(20.77, 93.85),
        interval_method="wilson",
        unit="%",
        counts={"positive": 2, "nuclei": 3},
        warnings=("only 3 nuclei",),
    )
    manifest = Manifest(
        name="drawn",
        version="1.0",
        panel=DEFAULT_PANEL,
        mpp=maps_mpp,
        tile_px=512,
        margin_px=64,
        expected_nuclear_area_um2=(20.0, 120.0),
        licence="Apache-2.0",
    )
    return Analysis(
        slide=slide,
        manifest=manifest,
        fingerprint="0" * 64,
        maps=Maps(size=size, mpp=maps_mpp, panel=DEFAULT_PANEL, planes=planes),
        cells=square_cells(),
        scores=(score,),
        source="images/tile.png",
        warnings=("only 3 nuclei",),
        timings_s={"network": 0.25},
    )
