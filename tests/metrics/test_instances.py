from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from counterstain.metrics.instances import aji, detection_scores, match_points, panoptic_quality

points = st.integers(0, 5).flatmap(lambda n: arrays(np.int64, (n, 2), elements=st.integers(0, 6)))
labels = arrays(np.int64, (5, 6), elements=st.integers(0, 4))


def best_by_brute_force(truth, found, max_distance):
    """Return (pairs, -total distance) of the best one-to-one matching, trying all of them."""
    if len(truth) > len(found):
        truth, found = found, truth
    best = (0, 0.0)
    for chosen in permutations(range(len(found)), len(truth)):
        distances = np.hypot(*(truth - found[list(chosen)]).T) if len(truth) else np.empty(0)
        near = distances[distances <= max_distance]
        best = max(best, (len(near), -near.sum()))
    return best


@settings(max_examples=60, deadline=None)
@given(points, points, st.sampled_from([0.0, 1.0, 2.0, 3.5]))
def test_matching_is_the_best_of_all_matchings(truth, found, max_distance):
    pairs = match_points(truth, found, max_distance)
    distances = np.hypot(*(truth[pairs[:, 0]] - found[pairs[:, 1]]).T) if len(pairs) else np.empty(0)
    count, negative_total = best_by_brute_force(truth, found, max_distance)
    assert len(pairs) == count
    assert distances.sum() == pytest.approx(-negative_total)
    assert (distances <= max_distance).all()
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    assert (np.diff(pairs[:, 0]) > 0).all()


def test_two_pairs_are_better_than_one_short_pair():
    truth = [[0, 0], [0, 4]]
    found = [[0, 3], [0, 8]]
    np.testing.assert_array_equal(match_points(truth, found, 4), [[0, 0], [1, 1]])


def test_points_that_coincide_are_paired():
    assert len(match_points([[2, 2], [9, 9]], [[9, 9], [2, 2]], 0.0)) == 2


def test_nothing_matches_nothing():
    assert match_points([], [], 10).shape == (0, 2)
    assert match_points([[0, 0]], [[50, 50]], 10).shape == (0, 2)


def test_detection_scores_of_counts():
    scores = detection_scores(matched=6, truth=8, found=12)
    assert (scores.precision, scores.recall, scores.f1) == (0.5, 0.75, pytest.approx(0.6))
    assert np.isnan(detection_scores(matched=0, truth=0, found=0).f1)
    assert detection_scores(matched=0, truth=3, found=0).f1 == 0.0


def aji_object_by_object(truth, predicted):
    """Follow the paper's algorithm literally."""
    unused, shared, union = set(np.unique(predicted)) - {0}, 0, 0
    for label in set(np.unique(truth)) - {0}:
        own = truth == label
        best, best_iou = None, 0.0
        for other in sorted(set(np.unique(predicted)) - {0}):
            theirs = predicted == other
            iou = (own & theirs).sum() / (own | theirs).sum()
            if iou > best_iou:
                best, best_iou = other, iou
        if best is None:
            union += own.sum()
            continue
        shared += (own & (predicted == best)).sum()
        union += (own | (predicted == best)).sum()
        unused.discard(best)
    union += sum((predicted == label).sum() for label in unused)
    return shared / union if union else float("nan")


@settings(max_examples=60, deadline=None)
@given(labels, labels)
def test_aji_equals_the_definition(truth, predicted):
    assert aji(truth, predicted) == pytest.approx(aji_object_by_object(truth, predicted), nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(labels, labels)
def test_panoptic_quality_equals_the_definition(truth, predicted):
    ious = [
        ((truth == a) & (predicted == b)).sum() / ((truth == a) | (predicted == b)).sum()
        for a in set(np.unique(truth)) - {0}
        for b in set(np.unique(predicted)) - {0}
    ]
    ious = [iou for iou in ious if iou > 0.5]
    objects = len(set(np.unique(truth)) - {0}) + len(set(np.unique(predicted)) - {0})
    expected = 2 * sum(ious) / objects if objects else float("nan")
    quality = panoptic_quality(truth, predicted)
    assert quality.panoptic == pytest.approx(expected, nan_ok=True)
    if ious:
        assert quality.detection * quality.segmentation == pytest.approx(expected)


def test_equal_label_images_score_one_whatever_the_numbering():
    truth = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
    assert aji(truth, truth * 7) == 1.0
    assert panoptic_quality(truth, truth * 7).panoptic == 1.0


def test_empty_label_images_score_nan():
    empty = np.zeros((3, 3), int)
    assert np.isnan(aji(empty, empty))
    assert np.isnan(panoptic_quality(empty, empty).panoptic)
    assert aji(empty, np.eye(3, dtype=int)) == 0.0


def test_label_images_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        aji(np.zeros((2, 2), int), np.zeros((2, 3), int))
