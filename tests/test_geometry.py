import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import boxes, sizes

from counterstain.geometry import Box, Size, mpp_of_magnification


def test_a_negative_size_is_refused():
    with pytest.raises(ValueError, match="-1"):
        Size(-1, 3)


def test_a_box_with_a_negative_side_is_refused():
    with pytest.raises(ValueError, match="negative side"):
        Box(0, 0, 2, -1)


def test_scaling_never_loses_the_last_pixel():
    assert Size(1, 3).scaled(0.1) == Size(1, 1)
    assert Size(0, 3).scaled(2) == Size(0, 6)


@given(boxes(), boxes())
def test_an_intersection_holds_the_points_of_both(one, other):
    common = one.intersection(other)
    for row in range(-62, 102, 7):
        for col in range(-62, 102, 7):
            assert common.contains(row, col) == (one.contains(row, col) and other.contains(row, col))


@given(boxes(), st.integers(-20, 20), st.integers(-20, 20))
def test_shifting_back_is_the_identity(box, rows, cols):
    assert box.shifted(rows, cols).shifted(-rows, -cols) == box


@given(boxes(), st.integers(0, 9))
def test_a_grown_box_meets_the_box_in_the_box(box, margin):
    assert box.grown(margin).size == Size(box.height + 2 * margin, box.width + 2 * margin)
    if box.size.area:
        assert box.grown(margin).intersection(box) == box


@given(boxes(), st.integers(1, 17))
def test_split_partitions_the_box_along_the_lattice(box, side):
    canvas = np.zeros((110, 110), int)
    for cell in box.split(side):
        assert cell.row // side == (cell.stop_row - 1) // side
        assert cell.col // side == (cell.stop_col - 1) // side
        canvas[cell.shifted(60, 60).slices] += 1
    expected = np.zeros_like(canvas)
    expected[box.shifted(60, 60).slices] = 1
    np.testing.assert_array_equal(canvas, expected)


@given(sizes())
def test_the_whole_box_covers_the_size(size):
    assert Box.whole(size).size == size
    assert np.zeros((size.height, size.width))[Box.whole(size).slices].size == size.area


def test_forty_times_is_a_quarter_of_a_micrometre():
    assert mpp_of_magnification(40) == 0.25


@pytest.mark.parametrize("magnification", [0, -20, float("nan")])
def test_a_magnification_that_is_not_positive_is_refused(magnification):
    with pytest.raises(ValueError, match="positive"):
        mpp_of_magnification(magnification)
