"""The objective of DeepLIIF, equations 1 to 7 of Ghahremani et al. (Nature Machine Intelligence 4, 2022), and its variants.

Translation is a conditional GAN per modality with smooth L1; segmentation is a least-squares GAN with smooth L1. Terms come
back by name, weighted: their sum is what one optimizer lowers. Networks are not known here, only what they answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from counterstain.options import Finite, Weight
from counterstain.training.losses.adversarial import Adversarial, adversarial_loss, discriminator_loss
from counterstain.training.losses.perceptual import PerceptualLoss, PerceptualOptions

SEGMENTATION = "segmentation"

Maps = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveOptions:
    """Weights of the objective. The defaults are those of the equations; each field names what the published software uses."""

    translation_gan: Adversarial = "vanilla"
    """Paper, equation 1: the conditional GAN loss. Published software: the same (``gan_mode vanilla``)."""
    segmentation_gan: Adversarial = "least_squares"
    """Paper: LSGAN for the segmentation. Published software: the same (``gan_mode_s lsgan``)."""
    smooth_l1_threshold: Annotated[Finite, Field(gt=0, le=100)] = 0.5
    """Difference, on a scale of -1 to 1, from which the smooth L1 loss is linear. Paper: 0.5. Published software: 1."""
    smooth_l1: Weight = 1.0
    """Weight of smooth L1 in translation and segmentation. Paper: the sum of equations, 1. Published software: 100."""
    channel: Weight = 1.0
    """Weight of every generator and every discriminator. Paper: the plain sum, 1. Published software: 0.2, one fifth each."""
    perceptual: PerceptualOptions = field(default_factory=PerceptualOptions)
    """Published software only; the paper has no such term."""
    segmentation_judgement: Literal["separate", "weighted_map"] = "separate"
    """Several discriminators judge one segmentation, each beside another image. ``separate``: each has a loss of its own, and
    these are weighted as the segmentations are (paper). ``weighted_map``: their maps of scores are weighted and added, and the
    sum has one loss (published software)."""


def smooth_l1(inferred: Tensor, true: Tensor, threshold: float = 0.5) -> Tensor:
    """Return the smooth L1 loss: ``d ** 2 / (2 * threshold)`` below the threshold, ``d - threshold / 2`` above.

    Continuous with its derivative (Girshick, ICCV 2015, there with threshold 1).
    """
    return functional.smooth_l1_loss(inferred.float(), true.float(), beta=threshold)


def translation_judgement(on_true: Maps, on_inferred: Maps, options: ObjectiveOptions) -> dict[str, Tensor]:
    """Return the discriminators' loss per modality.

    Parameters
    ----------
    on_true, on_inferred : modality -> (n, 1, h, w) scores.
    """
    return {
        f"judge {name}": options.channel * discriminator_loss(scores, on_inferred[name], options.translation_gan)
        for name, scores in on_true.items()
    }


def segmentation_judgement(
    on_true: Maps, on_inferred: Maps, weights: Mapping[str, float], options: ObjectiveOptions
) -> dict[str, Tensor]:
    """Return the loss of the discriminators of the segmentation; empty without any.

    Parameters
    ----------
    on_true, on_inferred : source -> (n, 1, h, w) scores.
    weights : source -> weight of its segmentation.
    """
    pairs = zip(_judged(on_true, weights, options), _judged(on_inferred, weights, options), strict=True)
    losses = [share * discriminator_loss(true, inferred, options.segmentation_gan) for (share, true), (_, inferred) in pairs]
    return {f"judge {SEGMENTATION}": options.channel * torch.stack(losses).sum()} if losses else {}


def translation_terms(
    inferred: Maps, true: Maps, scores: Maps, options: ObjectiveOptions, perceptual: PerceptualLoss | None = None
) -> dict[str, Tensor]:
    """Return the generators' loss per modality, in its parts.

    Parameters
    ----------
    inferred, true : modality -> (n, planes, h, w) in [-1, 1].
    scores : modality -> (n, 1, h, w) scores of the inferred image.
    perceptual : the network that compares features; None leaves the term out.
    """
    terms = {}
    for name, image in true.items():
        terms[f"{name} gan"] = options.channel * adversarial_loss(scores[name], 1.0, options.translation_gan)
        terms[f"{name} smooth l1"] = (
            options.channel * options.smooth_l1 * smooth_l1(inferred[name], image, options.smooth_l1_threshold)
        )
        if perceptual is not None:
            terms[f"{name} perceptual"] = options.channel * options.perceptual.weight * perceptual(inferred[name], image)
    return terms


def segmentation_terms(
    inferred: Tensor, true: Tensor, scores: Maps, weights: Mapping[str, float], options: ObjectiveOptions
) -> dict[str, Tensor]:
    """Return the generators' loss for the final segmentation.

    Parameters
    ----------
    inferred, true : (n, 3, h, w) in [-1, 1].
    scores : source -> (n, 1, h, w) scores of the inferred segmentation beside that source.
    weights : source -> weight of its segmentation.
    """
    losses = [
        share * adversarial_loss(judged, 1.0, options.segmentation_gan) for share, judged in _judged(scores, weights, options)
    ]
    return {
        f"{SEGMENTATION} gan": options.channel * torch.stack(losses).sum(),
        f"{SEGMENTATION} smooth l1": options.channel
        * options.smooth_l1
        * smooth_l1(inferred, true, options.smooth_l1_threshold),
    }


def _judged(scores: Maps, weights: Mapping[str, float], options: ObjectiveOptions) -> list[tuple[float, Tensor]]:
    """Return maps of scores with the weight of their loss."""
    if options.segmentation_judgement == "separate" or not scores:
        return [(weights[name], judged) for name, judged in scores.items()]
    return [(1.0, torch.stack([weights[name] * judged for name, judged in scores.items()]).sum(dim=0))]
