import numpy as np
import pytest

from counterstain.cells.area_limits import limit_warnings
from counterstain.cells.table import COLUMNS, FLAG_TOUCHES_BORDER, Cells


def cells_of(areas, positive=None, flags=0):
    columns = {name: np.zeros(len(areas), kind) for name, kind in COLUMNS.items()}
    columns["area_um2"][:] = areas
    columns["is_positive"][:] = False if positive is None else positive
    columns["quality_flags"][:] = flags
    return Cells(columns=columns, outlines=[np.zeros((0, 2))] * len(areas))


LIMITS = {"min_area_um2": 6.0, "max_area_um2": 100.0}


def test_nuclei_far_from_the_limits_give_no_warning():
    assert limit_warnings(cells_of([30] * 95 + [7] * 4 + [99]), LIMITS) == ()


def test_many_nuclei_hardly_above_the_smallest_area_are_warned_of():
    (warning,) = limit_warnings(cells_of([30] * 90 + [7] * 10), LIMITS)
    assert warning.startswith("10 of 100 nuclei have less than 1.25 times the smallest area that is counted (6 um2)")


def test_a_percentage_that_changes_without_the_smallest_is_warned_of():
    (warning,) = limit_warnings(cells_of([30] * 95 + [7] * 5, [False] * 95 + [True] * 5), LIMITS)
    assert "without them 0.0 % would be positive, not 5.0 %" in warning


def test_the_largest_area_is_looked_at_too():
    (warning,) = limit_warnings(cells_of([30] * 20 + [90] * 20), LIMITS)
    assert "more than 0.8 times the largest area that is counted (100 um2)" in warning


@pytest.mark.parametrize("limits", [{}, {"min_area_um2": None, "max_area_um2": None}, {"min_area_um2": 0.0}])
def test_without_limits_nothing_hinges_on_them(limits):
    assert limit_warnings(cells_of([7] * 40), limits) == ()


def test_nuclei_at_the_border_and_a_few_alone_do_not_count():
    assert limit_warnings(cells_of([7] * 40, flags=FLAG_TOUCHES_BORDER), LIMITS) == ()
    assert limit_warnings(cells_of([7] * 4), LIMITS) == ()
    assert limit_warnings(cells_of([]), LIMITS) == ()
