import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import points_in_poly

from counterstain.polygons.rings import contains, polygon_area, ring_area


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 30))
def test_membership_is_that_of_scikit_image(seed, corners):
    generator = np.random.default_rng(seed)
    ring, points = generator.uniform(0, 100, (corners, 2)), generator.uniform(-5, 105, (300, 2))
    np.testing.assert_array_equal(contains([ring], points), points_in_poly(points, ring))


@given(st.integers(1, 8), st.integers(1, 8))
def test_boxes_that_share_edges_divide_the_points_on_them(row, col):
    points = np.array([(r / 2, c / 2) for r in range(18) for c in range(18)])
    boxes = [(0, 0, row, col), (0, col, row, 9), (row, 0, 9, col), (row, col, 9, 9)]
    owners = sum(
        contains([np.array([[t, left], [t, right], [low, right], [low, left]], float)], points).astype(int)
        for t, left, low, right in boxes
    )
    assert (owners == 1).all()


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_the_area_is_that_of_shapely_whichever_way_the_ring_runs(seed, backwards):
    angles = np.sort(np.random.default_rng(seed).uniform(0, 2 * np.pi, 8))
    ring = 1e5 + 20 * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    assert ring_area(ring[::-1] if backwards else ring) == pytest.approx(shapely.Polygon(ring).area)


def test_holes_are_taken_from_the_area():
    outer = np.array([[0, 0], [0, 10], [10, 10], [10, 0]], float)
    assert polygon_area([outer, outer / 5 + 4]) == 96
