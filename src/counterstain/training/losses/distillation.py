"""Losses of a student against what a teacher answered: probabilities instead of classes."""

import torch
from torch import Tensor
from torch.nn import functional

from counterstain.training.losses.translation import gradient_error, smooth_l1
from counterstain.training.options import LossOptions


def teacher_classes(segmentation: Tensor) -> Tensor:
    """Return (n, 4, h, w) probabilities of background, negative, positive and boundary, which add up to 1.

    Parameters
    ----------
    segmentation : (n, 3, h, w) float in [0, 1]: positive, boundary and negative, whose sum may be above 1 for
        images that were drawn; the background is what is left.
    """
    positive, boundary, negative = segmentation.float().unbind(dim=1)
    background = (1 - positive - boundary - negative).clamp(min=0)
    shares = torch.stack([background, negative, positive, boundary], dim=1)
    return shares / shares.sum(dim=1, keepdim=True)


def soft_cross_entropy(logits: Tensor, shares: Tensor, class_weights: Tensor) -> Tensor:
    """Return the weighted mean over pixels of the Kullback-Leibler divergence from the teacher's shares to the student's.

    0 when they are equal (Hinton et al., 2015, at temperature 1).

    Parameters
    ----------
    logits : (n, k, h, w) float.
    shares : (n, k, h, w) float in [0, 1], adding up to 1.
    class_weights : (k,) float.
    """
    weights = class_weights.view(1, -1, 1, 1)
    divergence = torch.xlogy(shares, shares) - shares * functional.log_softmax(logits.float(), dim=1)
    return (weights * divergence).sum(dim=1).mean()


def distillation_terms(outputs: dict[str, Tensor], taught: dict[str, Tensor], options: LossOptions) -> dict[str, Tensor]:
    """Return each weighted term as a scalar.

    Parameters
    ----------
    outputs : of the compact network.
    taught : the teacher's modalities, ``segmentation`` (n, 3, h, w) and ``distance`` (n, 1, h, w), in [0, 1].
    """
    logits = outputs["class_logits"]
    weights = torch.tensor(options.class_weights, device=logits.device)
    everywhere = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
    terms = {
        "soft classes": options.cross_entropy * soft_cross_entropy(logits, teacher_classes(taught["segmentation"]), weights),
        "distance": options.distance * (outputs["distance"].float() - taught["distance"]).abs().mean(),
    }
    for name in (name for name in taught if name not in ("image", "segmentation", "distance")):
        terms[name] = options.modality * smooth_l1(outputs[name], taught[name], everywhere)
        terms[name] = terms[name] + options.gradient * gradient_error(outputs[name], taught[name], everywhere)
    return terms
