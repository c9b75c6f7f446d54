"""Every loss against a value computed by hand."""

import math

import pytest
import torch

from counterstain.training.losses.segmentation import cross_entropy, distance_error, soft_dice
from counterstain.training.losses.translation import gradient_error, smooth_l1
from counterstain.training.synthesis.targets import UNKNOWN

ONES = torch.ones(4)


def test_cross_entropy_of_equal_logits_is_the_logarithm_of_the_number_of_classes() -> None:
    logits, classes = torch.zeros(1, 4, 2, 2), torch.tensor([[[0, 1], [2, 3]]])
    assert cross_entropy(logits, classes, ONES).item() == pytest.approx(math.log(4))


def test_cross_entropy_weights_classes() -> None:
    logits = torch.zeros(1, 2, 1, 2)
    logits[0, 0, 0, 0] = math.log(3)  # first pixel: p = 3/4 for class 0; second: 1/2 for class 1
    loss = cross_entropy(logits, torch.tensor([[[0, 1]]]), torch.tensor([1.0, 2.0]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + 2 * math.log(2)) / 3, rel=1e-5)


def test_unknown_pixels_take_part_in_no_loss() -> None:
    logits = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    known = torch.tensor([[[0, 1], [UNKNOWN, UNKNOWN]]])
    changed = logits.clone()
    changed[..., 1, :] += 5
    assert cross_entropy(logits, known, ONES) == cross_entropy(changed, known, ONES)
    assert soft_dice(logits, known, (0, 1)) == soft_dice(changed, known, (0, 1))
    everything = torch.full((1, 2, 2), UNKNOWN)
    assert cross_entropy(logits, everything, ONES).item() == 0


def test_dice_of_a_perfect_answer_is_zero_and_of_a_wrong_one_large() -> None:
    classes = torch.zeros(1, 64, 64, dtype=torch.long)
    classes[:, :32] = 1
    right = torch.nn.functional.one_hot(classes, 2).permute(0, 3, 1, 2) * 50.0
    assert soft_dice(right, classes, (1,)).item() == pytest.approx(0, abs=1e-4)
    # half of 4096 pixels are true, none of them found, all others found: (0 + 100) / (4096 + 100)
    assert soft_dice(-right, classes, (1,)).item() == pytest.approx(1 - 100 / 4196, rel=1e-4)


def test_the_distance_error_is_the_mean_over_known_pixels() -> None:
    predicted, true = torch.tensor([[[[0.5, 0.0]]]]), torch.tensor([[[[1.0, 1.0]]]])
    assert distance_error(predicted, true, torch.tensor([[[1, UNKNOWN]]])).item() == pytest.approx(0.5)


def test_smooth_l1_is_quadratic_below_the_threshold_and_linear_above() -> None:
    true, present = torch.zeros(1, 1, 1, 2), torch.tensor([True])
    predicted = torch.tensor([[[[0.01, 0.5]]]])
    by_hand = (0.5 * 0.01**2 / 0.02 + (0.5 - 0.01)) / 2
    assert smooth_l1(predicted, true, present, threshold=0.02).item() == pytest.approx(by_hand)


def test_samples_without_the_modality_count_as_nothing() -> None:
    true = torch.zeros(2, 1, 2, 2)
    predicted = torch.stack([torch.full((1, 2, 2), 0.5), torch.ones(1, 2, 2)])
    only_first = smooth_l1(predicted, true, torch.tensor([True, False]))
    assert only_first.item() == pytest.approx(0.49)
    assert smooth_l1(predicted, true, torch.tensor([False, False])).item() == 0


def test_the_gradient_error_sees_edges_and_not_levels() -> None:
    flat, raised = torch.zeros(1, 1, 3, 3), torch.full((1, 1, 3, 3), 0.7)
    edge = torch.zeros(1, 1, 3, 3)
    edge[..., 1:] = 1.0
    present = torch.tensor([True])
    assert gradient_error(raised, flat, present).item() == 0
    assert gradient_error(edge, flat, present).item() == pytest.approx(0.5)  # 3 of 6 horizontal differences are 1
