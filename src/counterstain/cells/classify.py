"""Call nuclei positive or negative, from the table alone: no maps, no pixels."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.table import Cells


def classify(cells: Cells, threshold: float, marker_threshold: float | None) -> Cells:
    """Return the table with ``is_positive`` made anew and the two thresholds stored.

    A nucleus is positive when ``p_positive`` is at least ``threshold`` (a tie is positive), or when its ``marker_max`` is above
    ``marker_threshold``: as in the published rule, the marker can promote a nucleus and never demotes one.

    Parameters
    ----------
    threshold : in [0, 1], of the probability.
    marker_threshold : in [0, 1], of the marker map; None leaves the marker out.
    """
    columns = dict(cells.columns)
    columns["is_positive"] = positive(cells["p_positive"], cells["marker_max"], threshold, marker_threshold)
    thresholds = {**cells.thresholds, "threshold": threshold, "marker_threshold": marker_threshold}
    return replace(cells, columns=columns, thresholds=thresholds)


def positive(
    p_positive: NDArray[np.float32], marker_max: NDArray[np.float32], threshold: float, marker_threshold: float | None
) -> NDArray[np.bool_]:
    """Return (n,) bool: the rule of ``classify`` on bare columns. A NaN marker promotes nothing."""
    called = p_positive >= np.float32(threshold)
    if marker_threshold is not None:
        called = called | (marker_max > np.float32(marker_threshold))
    return called
