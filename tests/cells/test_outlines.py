import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from shapely import Polygon, box, union_all

from counterstain.cells.decoders.base import numbered_by_first_pixel
from counterstain.cells.decoders.basins import enclosed_by_one
from counterstain.cells.outlines import BRIDGE_PX, outlines

small_images = arrays(np.int32, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.integers(0, 1))


def pixels_of(labels, label):
    """Return the union of the label's pixels as squares."""
    return union_all([box(row, col, row + 1, col + 1) for row, col in np.argwhere(labels == label)])


def separate(image, structure=None):
    labels, _ = ndimage.label(image, structure=structure)
    return numbered_by_first_pixel(labels.astype(np.int32))[0]


@settings(max_examples=150, deadline=None)
@given(small_images)
def test_the_ring_of_a_nucleus_without_holes_is_exactly_its_pixels(image):
    labels = numbered_by_first_pixel(enclosed_by_one(separate(image)))[0]
    rings = outlines(labels, labels.max())
    assert len(rings) == labels.max()
    for label, ring in enumerate(rings, start=1):
        polygon = Polygon(ring)
        assert polygon.is_valid
        shape = pixels_of(labels, label)
        if shape.geom_type == "Polygon" and not shape.interiors:
            assert polygon.area == (labels == label).sum()
            assert polygon.equals(shape)


@settings(max_examples=150, deadline=None)
@given(small_images)
def test_the_ring_of_any_nucleus_is_a_simple_polygon_around_all_of_it(image):
    labels = separate(image, structure=np.ones((3, 3)))
    for label, ring in enumerate(outlines(labels, labels.max()), start=1):
        polygon = Polygon(ring)
        assert polygon.is_valid
        filled = ndimage.binary_fill_holes(labels == label)
        assert polygon.covers(pixels_of(labels, label).buffer(-1e-9))
        assert filled.sum() <= polygon.area <= filled.sum() + len(ring) * BRIDGE_PX**2 / 2


def test_one_pixel_is_a_square_from_its_top_left_corner_clockwise():
    labels = np.zeros((4, 5), np.int32)
    labels[1, 2] = 1
    np.testing.assert_array_equal(outlines(labels, 1)[0], [[1, 2], [1, 3], [2, 3], [2, 2]])


def test_straight_runs_have_no_points_inside():
    labels = np.ones((4, 9), np.int32)
    np.testing.assert_array_equal(outlines(labels, 1)[0], [[0, 0], [0, 9], [4, 9], [4, 0]])


def test_touching_nuclei_share_their_side():
    labels = np.array([[1, 1, 2], [1, 2, 2]], np.int32)
    first, second = (Polygon(ring) for ring in outlines(labels, 2))
    assert first.intersection(second).area == 0
    assert first.intersection(second).length == 3
    assert first.area == second.area == 3


def test_parts_that_meet_in_a_corner_are_joined_by_a_bridge():
    labels = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], np.int32)
    polygon = Polygon(outlines(labels, 1)[0])
    assert polygon.is_valid
    assert polygon.area == pytest.approx(8 + BRIDGE_PX**2)


def test_a_ring_around_a_corner_it_closes_leaves_the_hole_out():
    labels = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], np.int32)
    polygon = Polygon(outlines(labels, 1)[0])
    assert polygon.is_valid
    assert polygon.area == 8  # seven pixels and the hole


def test_another_nucleus_inside_leaves_the_ring_alone():
    labels = np.array([[1, 1, 1], [1, 2, 1], [1, 1, 1]], np.int32)
    rings = outlines(labels, 2)
    np.testing.assert_array_equal(rings[0], [[0, 0], [0, 3], [3, 3], [3, 0]])
    assert Polygon(rings[1]).area == 1


def test_an_image_without_nuclei_has_no_outlines():
    assert outlines(np.zeros((3, 3), np.int32), 0) == []
