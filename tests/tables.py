"""Compare tables of cells, wherever each is kept."""

import numpy as np

from counterstain.cells.table import COLUMNS


def assert_same_cells(one, other):
    assert len(one) == len(other)
    for name in COLUMNS:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
        assert one[name].dtype == other[name].dtype
    for ring, expected in zip(rings_of(one), rings_of(other), strict=True):
        np.testing.assert_array_equal(ring, expected)
    for name in COLUMNS:
        parts = [np.empty(0), *(part[name] for part in one.parts())]
        np.testing.assert_array_equal(np.concatenate(parts), one[name], err_msg=name)
    assert one.thresholds == other.thresholds


def rings_of(cells):
    return [ring for part in cells.parts() for ring in part.outlines]
