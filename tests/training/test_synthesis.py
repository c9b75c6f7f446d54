"""Rendered training images: what is asked for is what is drawn, and the targets fit the image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from counterstain.training.synthesis.artifacts import jpeg
from counterstain.training.synthesis.drawing import draw_scene
from counterstain.training.synthesis.noise import blobs, smooth_noise
from counterstain.training.synthesis.render import Sample, render_field, synthetic_field
from counterstain.training.synthesis.scenes import (
    Scene,
    counterstained_scene,
    tidy_labels,
    tissue_density,
    vary_nuclei,
    warp_scene,
)
from counterstain.training.synthesis.staining import POSITIVE_FROM_OD, _choose_cells, positive_nuclei, stain_scene
from counterstain.training.synthesis.targets import (
    BACKGROUND,
    BOUNDARY,
    NEGATIVE,
    POSITIVE,
    UNKNOWN,
    class_image,
    distance_image,
    marker_image,
)

TWO_NUCLEI = np.kron(np.array([[0, 0, 0, 0, 0], [0, 1, 0, 2, 0], [0, 0, 0, 0, 0]]), np.ones((9, 9))).astype(np.int32)


def test_the_same_seed_gives_the_same_field() -> None:
    first, second, other = synthetic_field(3, 64), synthetic_field(3, 64), synthetic_field(4, 64)
    assert all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in ("image", "classes", "marker", "distance")
    )
    assert not np.array_equal(first.image, other.image)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_every_field_is_a_complete_sample(seed: int) -> None:
    sample = synthetic_field(seed, 64)
    for name in ("image", "hematoxylin"):
        assert getattr(sample, name).shape == (64, 64, 3)
    for name in ("dapi", "lap2", "marker", "classes", "distance"):
        assert getattr(sample, name).shape == (64, 64)
    assert set(np.unique(sample.classes)) <= {BACKGROUND, NEGATIVE, POSITIVE, BOUNDARY}
    assert (sample.distance[sample.classes == BACKGROUND] == 0).mean() > 0.95 or not (sample.classes == BACKGROUND).any()


def pooled_fields() -> list[Sample]:
    return [synthetic_field(seed, 128) for seed in range(12)]


def test_positive_nuclei_are_browner_and_brighter_in_the_marker_than_negative_ones() -> None:
    fields = pooled_fields()
    red_over_blue = {NEGATIVE: [], POSITIVE: []}
    marker = {NEGATIVE: [], POSITIVE: []}
    for field in fields:
        for kind in (NEGATIVE, POSITIVE):
            inside = field.classes == kind
            pixels = field.image[inside].astype(float) + 1
            red_over_blue[kind] += list(pixels[:, 0] / pixels[:, 2])
            marker[kind] += list(field.marker[inside])
    assert np.mean(red_over_blue[POSITIVE]) > np.mean(red_over_blue[NEGATIVE]) + 0.2
    assert np.mean(marker[POSITIVE]) > 2 * np.mean(marker[NEGATIVE])


def test_dapi_is_bright_in_nuclei_and_lap2_on_their_edge() -> None:
    for field in pooled_fields()[:4]:
        nuclear = np.isin(field.classes, (NEGATIVE, POSITIVE))
        if nuclear.sum() < 200:
            continue
        assert field.dapi[nuclear].mean() > 2 * field.dapi[field.classes == BACKGROUND].mean()
        assert field.lap2[field.classes == BOUNDARY].mean() > field.lap2[nuclear].mean()


def test_the_boundary_is_three_pixels_wide_and_centred_on_the_edge() -> None:
    classes = class_image(TWO_NUCLEI, np.array([False, False, True]))
    row = classes[13]  # through the middle of both: nuclei cover columns 9-17 and 27-35
    assert row[8:11].tolist() == [BOUNDARY] * 3
    assert row[16:19].tolist() == [BOUNDARY] * 3
    assert set(row[11:16]) == {NEGATIVE}
    assert set(row[29:34]) == {POSITIVE}
    assert set(row[:8]) == {BACKGROUND}


def test_the_distance_is_one_in_the_middle_and_falls_to_the_edge() -> None:
    distance = distance_image(TWO_NUCLEI)
    assert distance[13, 13] == 1.0
    assert distance[13, 9] == pytest.approx(1 / 5)
    assert (distance[TWO_NUCLEI == 0] == 0).all()


def test_touching_nuclei_are_parted_by_a_valley_in_the_distance() -> None:
    touching = np.zeros((16, 32), np.int32)
    touching[2:14, 4:16], touching[2:14, 16:28] = 1, 2
    distance = distance_image(touching)
    assert distance[8, 15] < 0.5 * distance[8, 10]


def test_a_nucleus_cut_by_the_border_keeps_its_depth_there() -> None:
    cut = np.zeros((20, 20), np.int32)
    cut[5:15, 0:10] = 1
    assert distance_image(cut)[10, 0] > 0.7


def test_the_deepest_pixel_that_is_seen_of_a_cut_nucleus_has_depth_one() -> None:
    cut = np.zeros((20, 20), np.int32)
    cut[:, 0:3] = 1
    assert distance_image(cut)[10, :4] == pytest.approx([1, 2 / 3, 1 / 3, 0])


def test_a_nucleus_that_fills_the_image_is_deep_everywhere() -> None:
    assert (distance_image(np.ones((6, 9), np.int32)) == 1).all()


def test_an_empty_field_has_no_targets() -> None:
    empty = np.zeros((8, 8), np.int32)
    assert (class_image(empty, np.array([False])) == BACKGROUND).all()
    assert (distance_image(empty) == 0).all()


def test_the_marker_grows_with_dab() -> None:
    dab = np.tile(np.array([0.0, 0.2, 0.8, 2.0], np.float32), (20, 1)).repeat(20, axis=1)
    image = marker_image(dab)
    assert (np.diff(image[10, [5, 30, 50, 75]]) > 0).all()
    assert image.min() >= 0
    assert image.max() <= 1


def test_tissue_density_is_one_in_the_median_nucleus_and_zero_in_the_background() -> None:
    image = np.full((27, 45, 3), 230, np.uint8)
    image[TWO_NUCLEI > 0] = (120, 100, 180)
    density = tissue_density(image, TWO_NUCLEI)
    assert np.median(density[TWO_NUCLEI > 0]) == pytest.approx(1, abs=1e-5)
    assert np.median(density[TWO_NUCLEI == 0]) == pytest.approx(0, abs=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_warping_keeps_labels_numbered_connected_and_of_minimum_size(seed: int) -> None:
    rng = np.random.default_rng(seed)
    density = (TWO_NUCLEI > 0).astype(np.float32)
    warped = warp_scene(rng, Scene(density=density, labels=TWO_NUCLEI), 96)
    areas = np.bincount(warped.labels.ravel())[1:]
    assert (areas >= 30).all()
    for label in range(1, warped.labels.max() + 1):
        assert ndimage.label(warped.labels == label)[1] == 1


def test_small_and_split_labels_are_tidied() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[0:6, 0:6], labels[10:16, 10:16], labels[0, 19] = 7, 7, 9
    tidy = tidy_labels(labels)
    assert tidy.max() == 2
    assert tidy[0, 19] == 0


@pytest.mark.parametrize("seed", range(12))
def test_positive_nuclei_have_the_density_that_makes_them_so(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = draw_scene(rng, 96)
    stained = stain_scene(rng, vary_nuclei(rng, scene))
    assert len(stained.positive) == scene.labels.max() + 1
    assert not stained.positive[0]
    for label in np.flatnonzero(stained.positive):
        assert stained.specific_dab[scene.labels == label].mean() >= POSITIVE_FROM_OD


def test_a_trace_of_brown_leaves_a_nucleus_negative_and_a_clear_nucleus_in_brown_cytoplasm_too() -> None:
    specific = np.where(TWO_NUCLEI == 1, 0.1, np.where(TWO_NUCLEI == 2, 0.2, 0.0)).astype(np.float32)
    assert positive_nuclei(specific, TWO_NUCLEI).tolist() == [False, False, True]
    in_cytoplasm = np.where(TWO_NUCLEI > 0, specific, 0.8).astype(np.float32)
    assert positive_nuclei(in_cytoplasm, TWO_NUCLEI, clear_nuclei=True).tolist() == [False, False, False]


def test_blurred_nuclei_of_h_and_e_that_nobody_outlined_are_unknown() -> None:
    image = np.full((60, 60, 3), (235, 170, 205), np.uint8)
    image[10:25, 10:25], image[35:50, 35:50] = (90, 60, 150), (70, 50, 140)
    labels = np.zeros((60, 60), np.int32)
    labels[10:25, 10:25] = 1
    scene = counterstained_scene(image, labels, mpp=0.25)
    assert scene.unknown is not None
    assert scene.unknown[42, 42]
    assert not scene.unknown[17, 17]
    sample = render_field(np.random.default_rng(0), scene)
    assert sample.classes[42, 42] == UNKNOWN
    assert sample.classes[5, 50] == BACKGROUND


def test_the_density_of_h_and_e_is_that_of_hematoxylin_and_its_matrix_that_of_eosin() -> None:
    image = np.full((40, 40, 3), 240, np.uint8)
    image[:, 20:] = (235, 120, 200)  # eosin: green is absorbed, red is not
    image[10:20, 5:15] = (90, 80, 160)
    labels = np.zeros((40, 40), np.int32)
    labels[10:20, 5:15] = 1
    scene = counterstained_scene(image, labels, mpp=0.25)
    assert scene.matrix is not None
    assert abs(float(scene.density[30, 30]) - float(scene.density[30, 5])) < 0.1
    assert scene.matrix[30, 30] > 0.9
    assert scene.matrix[30, 5] < 0.1


class FixedShare:
    """A generator of random numbers that always chooses the same share of positive nuclei."""

    def __init__(self, share: float) -> None:
        self._rng, self._share = np.random.default_rng(0), share

    def choice(self, options: list[float], p: list[float]) -> float:
        return self._share

    def __getattr__(self, name: str) -> object:
        return getattr(self._rng, name)


@pytest.mark.parametrize(("share", "positive"), [(0.0, 0), (0.01, 1), (0.5, 1), (1.0, 2)])
def test_the_share_of_stained_cells_reaches_from_none_to_all(share: float, positive: int) -> None:
    scene = Scene(density=(TWO_NUCLEI > 0).astype(np.float32), labels=TWO_NUCLEI)
    assert _choose_cells(FixedShare(share), scene).sum() == positive


def test_a_lone_cell_can_be_stained() -> None:
    alone = (TWO_NUCLEI == 1).astype(np.int32)
    scene = Scene(density=alone.astype(np.float32), labels=alone)
    outcomes = {bool(_choose_cells(np.random.default_rng(seed), scene)[1]) for seed in range(40)}
    assert outcomes == {False, True}


def test_noise_has_the_size_asked_for_and_blobs_cover_the_share_asked_for() -> None:
    rng = np.random.default_rng(0)
    assert smooth_noise(rng, (33, 70), 8).shape == (33, 70)
    assert 0.2 < (blobs(rng, (256, 256), 10, 0.3) > 0.5).mean() < 0.4


def test_jpeg_keeps_the_shape_and_changes_little() -> None:
    flat = np.full((16, 16, 3), 130, np.uint8)
    assert np.abs(jpeg(flat, 90).astype(int) - 130).max() <= 2
