import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon

from counterstain.polygons.painting import paint


@given(st.lists(st.integers(0, 2**32 - 1), max_size=4), st.integers(1, 9))
def test_a_pixel_gets_the_number_of_the_last_ring_that_holds_its_centre(seeds, first):
    rings = [np.random.default_rng(seed).uniform(-2, 14, (5, 2)) for seed in seeds]
    expected, found = np.zeros((2, 10, 12), np.int32)
    for number, ring in enumerate(rings, start=first):
        rows, cols = (ring - 0.5).T
        expected[polygon(rows, cols, expected.shape)] = number
    paint(found, rings, first)
    np.testing.assert_array_equal(found, expected)
