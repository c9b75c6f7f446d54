import numpy as np
import pytest
from sklearn import metrics as reference

from counterstain.metrics.pixels import confusion_matrix, pixel_scores


def class_images(seed):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 3, (2, 17, 23))


@pytest.mark.parametrize("seed", range(5))
def test_every_ratio_equals_scikit_learn(seed):
    truth, predicted = class_images(seed)
    scores = pixel_scores(confusion_matrix(truth, predicted))
    flat = (truth.ravel(), predicted.ravel())
    np.testing.assert_array_equal(confusion_matrix(truth, predicted), reference.confusion_matrix(*flat))
    np.testing.assert_allclose(scores.iou, reference.jaccard_score(*flat, average=None))
    np.testing.assert_allclose(scores.dice, reference.f1_score(*flat, average=None))
    np.testing.assert_allclose(scores.precision, reference.precision_score(*flat, average=None))
    np.testing.assert_allclose(scores.recall, reference.recall_score(*flat, average=None))
    assert scores.accuracy == pytest.approx(reference.accuracy_score(*flat))


def test_the_mean_leaves_the_background_out():
    truth = np.array([[0, 0, 1, 1, 2, 2]])
    predicted = np.array([[0, 1, 1, 1, 2, 0]])
    scores = pixel_scores(confusion_matrix(truth, predicted))
    assert scores.mean("iou") == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert scores.mean("iou", (0, 1, 2)) == pytest.approx((1 / 3 + 2 / 3 + 1 / 2) / 3)


def test_an_absent_class_is_nan_and_left_out_of_the_mean():
    scores = pixel_scores(confusion_matrix([[0, 1]], [[0, 1]]))
    assert np.isnan(scores.iou[2])
    assert scores.mean("dice") == 1.0
    assert np.isnan(pixel_scores(confusion_matrix([[0]], [[0]])).mean("dice"))


def test_an_empty_image_scores_nan():
    scores = pixel_scores(confusion_matrix(np.empty((0, 0), int), np.empty((0, 0), int)))
    assert np.isnan(scores.accuracy)
    assert np.isnan(scores.iou).all()


def test_confusions_of_two_images_add_up():
    truth, predicted = class_images(7)
    halves = confusion_matrix(truth[:8], predicted[:8]) + confusion_matrix(truth[8:], predicted[8:])
    np.testing.assert_array_equal(halves, confusion_matrix(truth, predicted))


def test_wrong_shapes_and_classes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        confusion_matrix([[0]], [[0, 1]])
    with pytest.raises(ValueError, match="classes must lie in"):
        confusion_matrix([[0, 3]], [[0, 1]])
