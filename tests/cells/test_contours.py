import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import label
from skimage.segmentation import find_boundaries

from counterstain.cells.contours import STEPS, chains, runs


def first_pixels(labels):
    return np.array([np.flatnonzero(labels == number)[0] for number in range(1, labels.max() + 1)], np.int64)


def walk(labels, number, chain):
    start = np.array(np.unravel_index(first_pixels(labels)[number], labels.shape))
    return start + np.vstack([np.zeros((1, 2), int), np.cumsum(STEPS[chain], axis=0)])


def test_a_square_is_walked_clockwise_from_its_first_pixel():
    labels = np.zeros((5, 5), np.int32)
    labels[1:4, 1:4] = 1
    (chain,) = chains(labels, first_pixels(labels))
    directions, lengths = runs(chain)
    assert directions.tolist() == [0, 6, 4, 2]
    assert lengths.tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("shape", "steps"), [([[1]], []), ([[1, 1, 1]], [0, 0, 4, 4]), ([[0, 1], [1, 0]], [5, 1]), ([[1, 0], [0, 1]], [7, 3])]
)
def test_a_nucleus_one_pixel_wide_is_walked_there_and_back(shape, steps):
    labels = np.array(shape, np.int32)
    assert [chain.tolist() for chain in chains(labels, first_pixels(labels))] == [steps]


@given(st.integers(0, 2**32 - 1))
def test_every_walk_is_closed_and_visits_the_outer_border_of_its_nucleus_alone(seed):
    labels = label(np.random.default_rng(seed).random((12, 13)) < 0.5, connectivity=2).astype(np.int32)
    if not labels.max():
        return
    for number, chain in enumerate(chains(labels, first_pixels(labels))):
        path = walk(labels, number, chain)
        assert (path[0] == path[-1]).all()
        own = labels == number + 1
        outside = label(~np.pad(own, 1), connectivity=1)
        outer = own & find_boundaries(outside == outside[0, 0], connectivity=1, mode="thick")[1:-1, 1:-1]
        visited = np.zeros_like(own)
        visited[tuple(path.T)] = True
        assert (visited <= own).all()
        assert (outer <= visited).all()


def test_no_nucleus_gives_no_chain():
    assert chains(np.zeros((3, 3), np.int32), np.zeros(0, np.int64)) == []
