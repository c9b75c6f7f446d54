"""The recount: which nuclei count and which are positive by the thresholds that a person has moved, as the page computes it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.classify import positive
from counterstain.cells.table import CellColumns, ChosenCells
from counterstain.scoring.base import Population, Score
from counterstain.scoring.names import DEFAULT, scorers
from counterstain.scoring.regions import Region, score_regions
from counterstain.web.schemas import Thresholds
from counterstain.web.viewing.opened import Opened


class Recalled:
    """The columns of a table with other classes."""

    def __init__(self, cells: CellColumns, called: NDArray[np.bool_]) -> None:
        self._cells, self._called = cells, called

    def __len__(self) -> int:
        return len(self._cells)

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self._called if column == "is_positive" else self._cells[column]


def recount(opened: Opened, asked: Thresholds, regions: Sequence[Region]) -> tuple[CellColumns, tuple[Score, ...]]:
    """Return the nuclei that count, with their classes, and the scores of all of them and of each region."""
    cells, stored = opened.analysis.cells, opened.record.slide
    counted = ChosenCells(cells=Recalled(cells, called(cells, asked)), chosen=chosen(cells, asked))
    whole = Population(cells=counted, area_mm2=stored.tissue_mm2, resolution=stored.resolution)
    return counted, score_regions(whole, regions, scorers(DEFAULT))


def called(cells: CellColumns, asked: Thresholds) -> NDArray[np.bool_]:
    """Return (n,) bool: which nuclei are positive. Comparisons are of 32-bit numbers, as those of the page are."""
    found = positive(cells["p_positive"], cells["marker_max"], asked.threshold, asked.marker_threshold)
    if asked.min_dab_od is not None:
        found = found & (cells["dab_od_mean"] >= np.float32(asked.min_dab_od))
    return found


def chosen(cells: CellColumns, asked: Thresholds) -> NDArray[np.bool_]:
    """Return (n,) bool: which nuclei count."""
    area_um2 = cells["area_um2"]
    least, most = asked.min_area_um2 or 0.0, np.inf if asked.max_area_um2 is None else asked.max_area_um2
    return np.asarray((area_um2 >= least) & (area_um2 <= most))
