"""Call nuclei positive or negative, from the table alone: no maps, no pixels."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.table import Cells, CellTable, Thresholds
from counterstain.geometry import Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    """A table, in memory or on disk, whose nuclei are called by other thresholds."""

    cells: CellTable
    threshold: float
    marker_threshold: float | None

    @property
    def thresholds(self) -> Thresholds:
        """Those of the table, with these two instead of its own."""
        return {**self.cells.thresholds, "threshold": self.threshold, "marker_threshold": self.marker_threshold}

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, column: str) -> NDArray[Any]:
        if column != "is_positive":
            return self.cells[column]
        return positive(self.cells["p_positive"], self.cells["marker_max"], self.threshold, self.marker_threshold)

    def parts(self) -> Iterator[Cells]:
        """Yield the parts of the table with ``is_positive`` computed by these thresholds."""
        for part in self.cells.parts():
            yield self._called(part)

    def within(self, box: Box) -> Cells:
        """Return the nuclei that reach into a box, with ``is_positive`` computed by these thresholds."""
        return self._called(self.cells.within(box))

    def _called(self, part: Cells) -> Cells:
        called = positive(part["p_positive"], part["marker_max"], self.threshold, self.marker_threshold)
        return replace(part, columns={**part.columns, "is_positive": called}, thresholds=self.thresholds)


def classify(cells: CellTable, threshold: float, marker_threshold: float | None) -> Classified:
    """Return the table with ``is_positive`` computed by these thresholds, which it then states; the given table stays as it is.

    A nucleus is positive when ``p_positive`` is at least ``threshold`` (a tie is positive), or when its ``marker_max`` is above
    ``marker_threshold``: as in the published rule, the marker can promote a nucleus and never demotes one.

    Parameters
    ----------
    threshold : in [0, 1], of the probability.
    marker_threshold : in [0, 1], of the marker map; None leaves the marker out.
    """
    return Classified(cells=cells, threshold=threshold, marker_threshold=marker_threshold)


def positive(
    p_positive: NDArray[np.float32], marker_max: NDArray[np.float32], threshold: float, marker_threshold: float | None
) -> NDArray[np.bool_]:
    """Return (n,) bool: the rule of ``classify`` on bare columns. A NaN marker promotes nothing."""
    called = p_positive >= np.float32(threshold)
    if marker_threshold is not None:
        called = called | (marker_max > np.float32(marker_threshold))
    return called
