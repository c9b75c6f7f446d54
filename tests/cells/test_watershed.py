import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from counterstain.cells.decoders.basins import enclosed_by_one, merged_basins
from counterstain.cells.decoders.watershed import Watershed, grown
from counterstain.metrics.instances import match_points

MPP = 0.25


def disks(centres, radii, shape):
    """Return the union of disks, and a distance map that is 1 at each centre and 0 at each edge."""
    rows, cols = np.indices(shape)
    inside = np.zeros(shape, bool)
    distance = np.zeros(shape)
    for (row, col), radius in zip(centres, radii, strict=True):
        depth = 1 - np.hypot(rows - row, cols - col) / radius
        inside |= depth > 0
        distance = np.maximum(distance, depth)
    return inside, distance.astype(np.float32)


def noisy_maps(inside, seed, sigma=0.08):
    """Return blurred, noisy segmentation planes as a network would give them, all negative, as stored bytes."""
    generator = np.random.default_rng(seed)
    nuclear = ndimage.gaussian_filter(inside.astype(float), 1.0) + generator.normal(0, sigma, inside.shape)
    segmentation = np.zeros((*inside.shape, 3))
    segmentation[..., 2] = nuclear
    return (np.rint(np.clip(segmentation, 0, 1) * 255) / 255).astype(np.float32)


def centroids(labels):
    return np.array(ndimage.center_of_mass(labels > 0, labels, range(1, labels.max() + 1)))


@pytest.mark.parametrize("radius", [8, 13, 19])
@pytest.mark.parametrize("with_distance", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_touching_nuclei_are_split(radius, with_distance, seed):
    gap = (1.6 if with_distance else 1.75) * radius  # the mask alone shows a shallower neck
    chain, pair = [(40, 40), (40, 40 + gap), (40 + gap, 40 + 2 * gap)], [(130, 130), (130 + gap, 130)]
    centres = [*chain, *pair, (40, 150)]
    inside, distance = disks(centres, [radius] * 6, (200, 200))
    noise = np.random.default_rng(seed + 50).normal(0, 0.04, distance.shape)
    noisy = np.clip(distance + noise, 0, 1).astype(np.float32) if with_distance else None
    labels = Watershed(mpp=MPP)(noisy_maps(inside, seed), noisy).labels
    found = centroids(labels)
    assert len(found) == 6
    assert len(match_points(centres, found, 0.3 * radius)) == 6


@pytest.mark.parametrize("seed", range(5))
def test_a_crowd_of_nuclei_is_counted_within_five_percent(seed):
    generator = np.random.default_rng(seed)
    lattice = np.stack(np.meshgrid(np.arange(20, 300, 21), np.arange(20, 300, 21), indexing="ij"), axis=-1).reshape(-1, 2)
    centres = lattice + generator.uniform(-3, 3, lattice.shape)
    inside, distance = disks(centres, generator.uniform(8, 13, len(centres)), (310, 310))
    found = centroids(Watershed(mpp=MPP)(noisy_maps(inside, seed), distance).labels)
    matched = len(match_points(centres, found, 6))
    assert matched >= 0.95 * len(centres)
    assert matched >= 0.95 * len(found)


@pytest.mark.parametrize("axes", [(10, 20), (7, 18)])
def test_an_elongated_nucleus_stays_one(axes):
    rows, cols = np.indices((80, 80))
    inside = ((rows - 40) / axes[0]) ** 2 + ((cols - 40) / axes[1]) ** 2 < 1
    assert Watershed(mpp=MPP)(noisy_maps(inside, 3), None).labels.max() == 1


def test_a_boundary_between_two_nuclei_splits_them():
    segmentation = np.zeros((40, 61, 3), np.float32)
    segmentation[5:35, 5:56, 2] = 1
    flat = np.ones((40, 61), np.float32)
    assert Watershed(mpp=MPP)(segmentation, flat).labels.max() == 1
    segmentation[:, 29:32, 1] = 0.9
    flat[:, 29:32] = 0.2
    assert Watershed(mpp=MPP)(segmentation, flat).labels.max() == 2


def test_a_nucleus_too_thin_for_an_interior_is_found_by_its_depth():
    segmentation, distance = np.zeros((20, 60, 3), np.float32), np.zeros((20, 60), np.float32)
    segmentation[8:12, 10:50, 1] = 0.9  # 1 um across: all of it is boundary
    segmentation[8:12, 10:50, 2] = 0.1
    assert Watershed(mpp=MPP, reach_um=0.5)(segmentation, distance).labels.max() == 0
    distance[9:11, 11:49] = 0.9
    assert Watershed(mpp=MPP, reach_um=0.5)(segmentation, distance).labels.max() == 1


def test_a_nucleus_reaches_two_pixels_into_its_boundary_and_not_into_the_background():
    segmentation = np.zeros((30, 30, 3), np.float32)
    segmentation[7:23, 7:23, 1] = 0.9
    segmentation[10:20, 10:20] = [0, 0.1, 0.9]
    grown_by_two = Watershed(mpp=MPP, reach_um=0.5)(segmentation, None).labels
    assert grown_by_two[15].tolist() == [0] * 8 + [1] * 14 + [0] * 8
    segmentation[..., 1] = 0
    assert Watershed(mpp=MPP, reach_um=0.5)(segmentation, None).labels[15].tolist() == [0] * 10 + [1] * 10 + [0] * 10


def test_two_nuclei_share_the_boundary_between_them():
    labels = np.array([[1, 0, 0, 0, 0, 2]], np.int32)
    everywhere = np.ones(labels.shape, bool)
    assert grown(labels, everywhere, 1).tolist() == [[1, 1, 0, 0, 2, 2]]
    assert grown(labels, everywhere, 2).tolist() == [[1, 1, 1, 2, 2, 2]]
    assert grown(labels, ~everywhere, 2).tolist() == labels.tolist()
    assert grown(np.array([[1, 0, 2]], np.int32), np.ones((1, 3), bool), 1).tolist() == [[1, 1, 2]]


def test_p_positive_is_the_mean_share_of_the_positive_map():
    segmentation = np.zeros((30, 60, 3), np.float32)
    segmentation[5:25, 5:25] = [0.6, 0, 0.2]
    segmentation[5:25, 35:45] = [0.9, 0, 0.1]
    segmentation[5:25, 45:55] = [0.1, 0, 0.9]
    nuclei = Watershed(mpp=MPP)(segmentation, None)
    np.testing.assert_allclose(nuclei.p_positive, [0.75, 0.5], rtol=1e-6)


def test_a_hole_is_filled_and_does_not_vote():
    segmentation = np.zeros((30, 30, 3), np.float32)
    segmentation[5:25, 5:25] = [0.8, 0, 0.2]
    segmentation[12:16, 12:16] = 0
    nuclei = Watershed(mpp=MPP)(segmentation, np.ones((30, 30), np.float32))
    assert (nuclei.labels[5:25, 5:25] == 1).all()
    np.testing.assert_allclose(nuclei.p_positive, [0.8], rtol=1e-6)


def test_nuclei_below_the_smallest_area_are_dropped():
    segmentation = np.zeros((20, 40, 3), np.float32)
    segmentation[5:15, 5:15, 2] = 1  # 100 px = 6.25 um2
    segmentation[5:14, 25:35, 2] = 1  # 90 px
    assert Watershed(mpp=MPP, min_area_um2=6.0)(segmentation, None).labels.max() == 1
    assert Watershed(mpp=MPP, min_area_um2=5.0)(segmentation, None).labels.max() == 2


def test_basins_merge_where_the_pass_is_high():
    labels = np.array([[1, 1, 2, 2, 3, 3]], np.int32)
    landscape = np.array([[1.0, 0.9, 0.8, 0.85, 0.3, 1.0]], np.float32)
    np.testing.assert_array_equal(merged_basins(labels, landscape, 0.85), [[1, 1, 1, 1, 3, 3]])
    np.testing.assert_array_equal(merged_basins(labels, landscape, 0.99), labels)
    np.testing.assert_array_equal(merged_basins(labels, landscape, 0.0) == 1, np.ones((1, 6), bool))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.7, 0.9]))
def test_merging_does_not_depend_on_the_numbers_of_the_basins(seed, merge_ratio):
    generator = np.random.default_rng(seed)
    labels = np.kron(np.arange(1, 17).reshape(4, 4), np.ones((3, 3), int)).astype(np.int32)
    corners = np.kron(np.ones((4, 4)), np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]))  # a corner would tie two passes
    landscape = (generator.random((12, 12)) * corners).astype(np.float32)
    shuffled = np.concatenate([[0], generator.permutation(16) + 1]).astype(np.int32)
    merged, other = (merged_basins(numbers, landscape, merge_ratio) for numbers in (labels, shuffled[labels]))
    pairs = {*zip(merged.ravel().tolist(), other.ravel().tolist(), strict=True)}
    assert len(pairs) == len(np.unique(merged)) == len(np.unique(other))


def enclosed_label_by_label(labels):
    """Fill, label by label, each piece of something else that has that label alone around it."""
    filled = labels.copy()
    framed = np.pad(labels, 1, constant_values=-1)
    pieces = np.zeros_like(framed)
    count = 0
    for value in np.unique(labels):
        own, number = ndimage.label(framed == value) if value == 0 else (framed == value, 1)
        pieces = np.where(own > 0, own + count, pieces)
        count += number
    for piece in range(1, count + 1):
        inside = pieces == piece
        around = np.unique(framed[ndimage.binary_dilation(inside) & ~inside])
        if len(around) == 1 and around[0] > 0:
            filled[inside[1:-1, 1:-1]] = around[0]
    return filled


@settings(max_examples=150, deadline=None)
@given(arrays(np.int32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 3)))
def test_what_one_label_encloses_is_given_to_it(labels):
    np.testing.assert_array_equal(enclosed_by_one(labels), enclosed_label_by_label(labels))
