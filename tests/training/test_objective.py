"""Every adversarial, perceptual, soft and cyclic loss against a value computed by hand."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from counterstain.errors import TrainingError
from counterstain.training.losses.adversarial import adversarial_loss, discriminator_loss
from counterstain.training.losses.cycle import CycleOptions, cycle_judgement, cycle_terms
from counterstain.training.losses.distillation import distillation_terms, soft_cross_entropy, teacher_classes
from counterstain.training.losses.objective import (
    ObjectiveOptions,
    segmentation_judgement,
    segmentation_terms,
    smooth_l1,
    translation_judgement,
    translation_terms,
)
from counterstain.training.losses.perceptual import PerceptualLoss, PerceptualOptions, load_perceptual
from counterstain.training.options import LossOptions

LN3 = math.log(3)


def scores(*values: float) -> torch.Tensor:
    """Return a map of scores, (1, 1, 1, n)."""
    return torch.tensor(values).view(1, 1, 1, -1)


def image(*values: float) -> torch.Tensor:
    """Return an image of one row, (1, 1, 1, n)."""
    return torch.tensor(values).view(1, 1, 1, -1)


def test_vanilla_is_the_cross_entropy_of_the_sigmoid() -> None:
    # sigmoid(ln 3) = 3/4, sigmoid(0) = 1/2
    assert adversarial_loss(scores(LN3, 0.0), 1.0, "vanilla").item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    assert adversarial_loss(scores(LN3, 0.0), 0.0, "vanilla").item() == pytest.approx((math.log(4) + math.log(2)) / 2)


def test_least_squares_is_the_mean_square_from_the_target() -> None:
    assert adversarial_loss(scores(0.0, 3.0), 1.0, "least_squares").item() == pytest.approx((1 + 4) / 2)
    assert adversarial_loss(scores(0.0, 3.0), 0.0, "least_squares").item() == pytest.approx(9 / 2)


def test_a_discriminator_is_judged_half_on_true_and_half_on_inferred_images() -> None:
    loss = discriminator_loss(scores(3.0), scores(1.0), "least_squares")
    assert loss.item() == pytest.approx(0.5 * (4 + 1))


def test_smooth_l1_changes_from_square_to_line_at_one_half() -> None:
    true = image(0.0, 0.0, 0.0)
    by_hand = (0.3**2 + (0.5 - 0.25) + (1.5 - 0.25)) / 3  # d**2 / (2 * 0.5) up to 0.5, then d - 0.25
    assert smooth_l1(image(0.3, -0.5, 1.5), true).item() == pytest.approx(by_hand)
    assert ObjectiveOptions().smooth_l1_threshold == 0.5


def test_the_defaults_are_the_plain_sum_of_the_equations() -> None:
    options = ObjectiveOptions()
    assert (options.translation_gan, options.segmentation_gan) == ("vanilla", "least_squares")
    assert (options.smooth_l1, options.channel, options.perceptual.weight) == (1.0, 1.0, 0.0)
    assert options.segmentation_judgement == "separate"


def test_discriminators_of_modalities_have_one_term_each() -> None:
    terms = translation_judgement(
        {"dapi": scores(LN3), "lap2": scores(0.0)}, {"dapi": scores(0.0), "lap2": scores(0.0)}, ObjectiveOptions(channel=0.2)
    )
    assert terms["judge dapi"].item() == pytest.approx(0.2 * 0.5 * (math.log(2) + math.log(4 / 3)))
    assert terms["judge lap2"].item() == pytest.approx(0.2 * math.log(2))


def test_generators_of_modalities_have_an_adversarial_and_a_smooth_l1_term() -> None:
    options = ObjectiveOptions(smooth_l1=100.0, channel=0.2)
    terms = translation_terms({"dapi": image(1.0)}, {"dapi": image(0.0)}, {"dapi": scores(LN3)}, options)
    assert set(terms) == {"dapi gan", "dapi smooth l1"}
    assert terms["dapi gan"].item() == pytest.approx(0.2 * math.log(4 / 3))
    assert terms["dapi smooth l1"].item() == pytest.approx(0.2 * 100 * 0.75)


WEIGHTS = {"input": 0.75, "dapi": 0.25}
ON_TRUE, ON_INFERRED = {"input": scores(1.0), "dapi": scores(3.0)}, {"input": scores(0.0), "dapi": scores(2.0)}


def test_separate_judgements_of_the_segmentation_are_weighted_losses() -> None:
    (loss,) = segmentation_judgement(ON_TRUE, ON_INFERRED, WEIGHTS, ObjectiveOptions()).values()
    assert loss.item() == pytest.approx(0.75 * 0.5 * (0 + 0) + 0.25 * 0.5 * (4 + 4))


def test_a_weighted_map_of_judgements_has_one_loss() -> None:
    options = ObjectiveOptions(segmentation_judgement="weighted_map")
    (loss,) = segmentation_judgement(ON_TRUE, ON_INFERRED, WEIGHTS, options).values()
    on_true, on_inferred = 0.75 * 1 + 0.25 * 3, 0.25 * 2
    assert loss.item() == pytest.approx(0.5 * ((on_true - 1) ** 2 + on_inferred**2))


@pytest.mark.parametrize(("how", "gan"), [("separate", 0.75 * 1 + 0.25 * 1), ("weighted_map", (0.5 - 1) ** 2)])
def test_generators_of_the_segmentation_have_an_adversarial_and_a_smooth_l1_term(how: str, gan: float) -> None:
    options = ObjectiveOptions(segmentation_judgement=how, smooth_l1=2.0)
    terms = segmentation_terms(image(0.0), image(1.0), ON_INFERRED, WEIGHTS, options)
    assert terms["segmentation gan"].item() == pytest.approx(gan)
    assert terms["segmentation smooth l1"].item() == pytest.approx(2 * 0.75)


def test_a_model_without_segmentation_has_no_judgement_of_it() -> None:
    for how in ("separate", "weighted_map"):
        assert segmentation_judgement({}, {}, {}, ObjectiveOptions(segmentation_judgement=how)) == {}


def vgg19(fill: float) -> dict[str, torch.Tensor]:
    """Return convolutions up to relu5_1 that pass on ``fill`` times the mean of their input, pixel by pixel."""
    widths, places, tensors, planes = (
        (64, 64, 128, 128, *[256] * 4, *[512] * 5),
        (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28),
        {},
        3,
    )
    for width, place in zip(widths, places, strict=True):
        kernel = torch.zeros(width, planes, 3, 3)
        kernel[:, :, 1, 1] = fill / planes
        tensors |= {f"features.{place}.weight": kernel, f"features.{place}.bias": torch.zeros(width)}
        planes = width
    return tensors


def test_the_perceptual_term_weights_five_depths(tmp_path: Path) -> None:
    save_file(vgg19(1.0), tmp_path / "vgg19.safetensors")
    loss = load_perceptual(PerceptualOptions(weight=1.0, vgg19=str(tmp_path / "vgg19.safetensors")))
    assert loss is not None
    flat, brighter = torch.full((1, 3, 16, 16), 0.25), torch.full((1, 3, 16, 16), 0.75)
    # every layer passes the grey level on, so every depth differs by 0.5
    assert loss(flat, brighter).item() == pytest.approx(0.5 * (1 / 32 + 1 / 16 + 1 / 8 + 1 / 4 + 1))
    assert loss(flat, flat).item() == 0


def test_perceptual_features_are_those_of_a_plain_stack_of_layers() -> None:
    torch.manual_seed(0)
    weights, planes = [], 3
    for width in (64, 64, 128, 128, *[256] * 4, *[512] * 5):
        weights.append((torch.randn(width, planes, 3, 3) / (3 * planes**0.5), torch.randn(width) / 10))
        planes = width
    picture = torch.rand(1, 3, 16, 16)
    expected, features = [], picture
    for index, (kernel, bias) in enumerate(weights):
        if index in (2, 4, 8, 12):
            features = functional.max_pool2d(features, 2)
        features = functional.relu(functional.conv2d(features, kernel, bias, padding=1))
        if index in (0, 2, 4, 8, 12):
            expected.append(features)
    for found, wanted in zip(PerceptualLoss(weights).features(picture), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_the_perceptual_term_without_weights_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"set perceptual\.vgg19"):
        load_perceptual(PerceptualOptions(weight=100.0))
    with pytest.raises(TrainingError, match=r"set perceptual\.vgg19"):
        load_perceptual(PerceptualOptions(weight=100.0, vgg19=str(tmp_path / "none.safetensors")))
    assert load_perceptual(PerceptualOptions()) is None


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file(vgg19(1.0) | {"features.10.weight": torch.zeros(256, 64, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(TrainingError, match=r"features\.10\.weight of shape \(256, 128, 3, 3\)"):
        load_perceptual(PerceptualOptions(weight=1.0, vgg19=str(tmp_path / "other.safetensors")))
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(TrainingError, match="not a readable safetensors"):
        load_perceptual(PerceptualOptions(weight=1.0, vgg19=str(tmp_path / "text.safetensors")))


def test_the_background_of_a_teacher_is_what_is_left() -> None:
    painted = torch.tensor([0.5, 0.125, 0.125, 1.0, 1.0, 0.0]).view(2, 3, 1, 1)  # positive, boundary, negative
    expected = torch.tensor([[0.25, 0.125, 0.5, 0.125], [0.0, 0.0, 0.5, 0.5]]).view(2, 4, 1, 1)
    torch.testing.assert_close(teacher_classes(painted), expected)


def test_the_soft_cross_entropy_is_the_divergence_from_the_teacher() -> None:
    shares = torch.tensor([0.5, 0.5, 0.0, 0.0]).view(1, 4, 1, 1)
    same = torch.tensor([0.0, 0.0, -200.0, -200.0]).view(1, 4, 1, 1)
    assert soft_cross_entropy(same, shares, torch.ones(4)).item() == pytest.approx(0, abs=1e-6)
    # against equal shares of 1/4: 2 * 1/2 * ln((1/2) / (1/4)) = ln 2; weights count each class
    assert soft_cross_entropy(torch.zeros(1, 4, 1, 1), shares, torch.ones(4)).item() == pytest.approx(math.log(2))
    weights = torch.tensor([2.0, 1.0, 1.0, 1.0])
    assert soft_cross_entropy(torch.zeros(1, 4, 1, 1), shares, weights).item() == pytest.approx(1.5 * math.log(2))


def test_a_student_learns_classes_distance_and_modalities() -> None:
    outputs = {"class_logits": torch.zeros(1, 4, 2, 2), "distance": torch.zeros(1, 1, 2, 2), "dapi": torch.zeros(1, 1, 2, 2)}
    answers = {
        "image": torch.zeros(1, 3, 2, 2),
        "segmentation": torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2),
        "distance": torch.full((1, 1, 2, 2), 0.5),
        "dapi": torch.full((1, 1, 2, 2), 0.25),
    }
    terms = distillation_terms(outputs, answers, LossOptions(class_weights=(0.9, 1.2, 1.6, 1.2)))
    assert set(terms) == {"soft classes", "distance", "dapi"}
    assert terms["soft classes"].item() == pytest.approx(1.6 * math.log(4))  # 1.6 is the weight of positive
    assert terms["distance"].item() == pytest.approx(0.5)
    assert terms["dapi"].item() == pytest.approx(4 * (0.25 - 0.01))


def test_the_cycle_objective_by_hand() -> None:
    true = {"a": image(1.0)}
    terms = cycle_terms(true, {"a": image(0.5)}, {"a": image(0.0)}, {"a": scores(3.0)}, CycleOptions())
    assert {name: term.item() for name, term in terms.items()} == {"a gan": 4.0, "a cycle": 5.0, "a identity": 5.0}
    assert set(cycle_terms(true, {"a": image(0.5)}, {}, {"a": scores(3.0)}, CycleOptions())) == {"a gan", "a cycle"}
    assert cycle_judgement({"a": scores(3.0)}, {"a": scores(1.0)}, CycleOptions())["judge a"].item() == 2.5
