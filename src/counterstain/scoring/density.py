"""Nuclei per square millimetre, of all and of the positive ones."""

import numpy as np
from scipy.special import gammaincinv

from counterstain.cells.table import CellColumns
from counterstain.scoring.base import Score


def densities(cells: CellColumns, area_mm2: float) -> list[Score]:
    """Return the density of all nuclei and that of the positive ones.

    The 95 % interval is the exact one of a Poisson count (Garwood, Biometrika 28 (1936) 437-442). It knows nothing of clusters,
    so for tissue it is a lower bound of the width. Without any area the value and the interval are NaN.

    Parameters
    ----------
    area_mm2 : of the part of the slide that the table is of, in square millimetres.
    """
    total, positive = len(cells), int(np.count_nonzero(cells["is_positive"]))
    return [_density("density", total, area_mm2), _density("positive_density", positive, area_mm2)]


def _density(name: str, count: int, area_mm2: float) -> Score:
    known = area_mm2 > 0
    low, high = poisson(count)
    return Score(
        name=name,
        value=count / area_mm2 if known else float("nan"),
        interval=(low / area_mm2, high / area_mm2) if known else (float("nan"), float("nan")),
        interval_method="poisson",
        unit="nuclei/mm2",
        counts={"nuclei": count},
        warnings=() if known else ("the region has no area, so it has no density",),
        area_mm2=area_mm2,
    )


def poisson(count: int) -> tuple[float, float]:
    """Return the exact 95 % interval of the mean of which ``count`` was drawn."""
    low = float(gammaincinv(count, 0.025)) if count else 0.0
    return low, float(gammaincinv(count + 1, 0.975))
