import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon
from skimage.segmentation import find_boundaries

from counterstain.cells.table import COLUMNS, Cells
from counterstain.geometry import Box
from counterstain.outputs.images import drawing
from counterstain.outputs.images.drawing import outline_pixels, painted_labels


def cells_of(rings):
    columns = {name: np.zeros(len(rings), kind) for name, kind in COLUMNS.items()}
    return Cells(columns=columns, outlines=[np.array(ring, float) for ring in rings])


def blob(seed):
    """A star of 12 corners round (12, 12), no corner or edge on a pixel's centre."""
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    return 12 + rng.uniform(2, 11, 12)[:, None] * np.stack([np.sin(angles), np.cos(angles)], axis=1)


@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 12), st.integers(1, 12)), st.integers(1, 4))
def test_outline_pixels_are_the_inner_boundaries_of_scikit_image(seed, shape, most):
    labels = np.random.default_rng(seed).integers(0, most, shape, np.int32, endpoint=True)
    np.testing.assert_array_equal(outline_pixels(labels), find_boundaries(labels, connectivity=1, mode="inner"))


@given(st.lists(st.integers(0, 2**32 - 1), max_size=4), st.sampled_from([0.5, 1.0, 1.3, 2.0]))
def test_a_pixel_belongs_to_the_outline_that_holds_its_centre(seeds, scale):
    rings = [blob(seed) for seed in seeds]
    box = Box(3, 5, 30, 40)
    expected = np.zeros((30, 40), np.int32)
    for number, ring in enumerate(rings, start=1):
        rows, cols = (ring * scale - (3.5, 5.5)).T
        expected[polygon(rows, cols, expected.shape)] = number
    np.testing.assert_array_equal(painted_labels(cells_of(rings), box, scale), expected)


def test_an_outline_along_pixel_edges_fills_exactly_its_pixels():
    ring = [(1, 1), (1, 4), (3, 4), (3, 2), (2, 2), (2, 1)]
    painted = painted_labels(cells_of([ring]), Box(0, 0, 4, 5), 1.0)
    assert painted.tolist() == [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]]


def test_a_pinched_outline_leaves_its_hole_open():
    """Two corners of one nucleus touch: the ring passes the same point twice."""
    ring = [(0, 0), (0, 3), (3, 3), (3, 0), (1, 0), (1, 1), (2, 1), (2, 2), (1, 2), (1, 1), (1, 0)]
    painted = painted_labels(cells_of([ring]), Box(0, 0, 3, 3), 1.0)
    assert painted.tolist() == [[1, 1, 1], [1, 0, 1], [1, 1, 1]]


def test_pieces_fit_together():
    cells = cells_of([blob(1), blob(2)])
    whole = painted_labels(cells, Box(0, 0, 24, 24), 1.0)
    for part in (Box(0, 0, 10, 24), Box(10, 0, 14, 7), Box(10, 7, 14, 17)):
        np.testing.assert_array_equal(painted_labels(cells, part, 1.0), whole[part.slices])


def test_the_number_of_outlines_scanned_together_changes_nothing(monkeypatch):
    cells = cells_of([blob(seed) + 3 * seed for seed in range(5)])
    whole = painted_labels(cells, Box(0, 0, 40, 40), 1.0)
    monkeypatch.setattr(drawing, "CELLS_AT_ONCE", 2)
    np.testing.assert_array_equal(painted_labels(cells, Box(0, 0, 40, 40), 1.0), whole)


@pytest.mark.parametrize("rings", [[], [[(50, 50), (50, 60), (60, 60)]], [[(0, 0), (0, 0.2), (0.2, 0.2)]]])
def test_nothing_in_the_box_paints_nothing(rings):
    assert not painted_labels(cells_of(rings), Box(0, 0, 8, 8), 1.0).any()


def test_outline_pixels_are_those_that_touch_another_cell_or_the_background():
    labels = np.array(
        [[0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 2, 2], [0, 1, 1, 1, 2, 2], [0, 1, 1, 1, 2, 2], [0, 0, 0, 0, 0, 0]], np.int32
    )
    expected = [[0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1], [0, 1, 0, 1, 1, 0], [0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]]
    assert outline_pixels(labels).astype(int).tolist() == expected
