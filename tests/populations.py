"""Populations of made nuclei, for tests of scores."""

import numpy as np

from counterstain.cells.table import COLUMNS, Cells
from counterstain.scoring.base import Population
from counterstain.slides.base import Resolution

OD_OF_CLASS = np.array([0.05, 0.25, 0.45, 0.7])
"""Mean optical density of a nucleus of each intensity class."""


def population(columns, *, area_mm2=None):
    """Return nuclei with these columns; the others are 0, and positions in pixels follow those in micrometres."""
    count = len(next(iter(columns.values())))
    table = {name: np.asarray(columns.get(name, np.zeros(count))).astype(kind) for name, kind in COLUMNS.items()}
    for axis in ("row", "col"):
        table[f"{axis}_px"] = table[f"{axis}_um"] / 0.25
    cells = Cells(columns=table, outlines=[np.zeros((0, 2))] * count)
    return Population(cells=cells, area_mm2=area_mm2, resolution=Resolution(0.25, "metadata"))


def stained(negative, weak=0, moderate=0, strong=0, *, generator=None, side_um=900.0):
    """Return so many nuclei of each class, in one block, or at random on a square where there is a generator."""
    classes = np.repeat(np.arange(4), [negative, weak, moderate, strong])
    where = generator.uniform(0, side_um, (2, len(classes))) if generator else np.zeros((2, len(classes)))
    return population(
        {
            "row_um": where[0],
            "col_um": where[1],
            "is_positive": classes > 0,
            "p_positive": np.where(classes > 0, 0.9, 0.1),
            "dab_od_mean": OD_OF_CLASS[classes],
            "area_um2": np.full(len(classes), 40.0),
        },
        area_mm2=side_um**2 / 1e6,
    )
