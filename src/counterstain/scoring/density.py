"""Nuclei per square millimetre, of all and of the positive ones."""

import numpy as np
from scipy.special import gammaincinv

from counterstain.scoring.base import Population, Score


def density(population: Population) -> Score:
    """Return the number of nuclei per square millimetre.

    The 95 % interval is the exact one of a Poisson count (Garwood, Biometrika 28 (1936) 437-442). It knows nothing of clusters,
    so for tissue it is a lower bound of the width. Without any area the value and the interval are NaN.
    """
    return _density("density", len(population.cells), population.area_mm2)


def positive_density(population: Population) -> Score:
    """Return the number of positive nuclei per square millimetre, with the interval of ``density``."""
    return _density("positive_density", int(np.count_nonzero(population.cells["is_positive"])), population.area_mm2)


def _density(name: str, count: int, area_mm2: float | None) -> Score:
    area = area_mm2 or float("nan")  # so that what is divided by no area is NaN
    low, high = poisson(count)
    return Score(
        name=name,
        value=count / area,
        interval=(low / area, high / area),
        interval_method="poisson",
        unit="nuclei/mm2",
        counts={"nuclei": count},
        warnings=_warnings(area_mm2),
        area_mm2=area_mm2,
    )


def poisson(count: int) -> tuple[float, float]:
    """Return the exact 95 % interval of the mean of which ``count`` was drawn."""
    low = float(gammaincinv(count, 0.025)) if count else 0.0
    return low, float(gammaincinv(count + 1, 0.975))


def _warnings(area_mm2: float | None) -> tuple[str, ...]:
    if area_mm2 is None:
        return ("the area of the tissue was not measured, so there is no density",)
    return () if area_mm2 else ("the area of the tissue is 0 mm2, so there is no density",)
