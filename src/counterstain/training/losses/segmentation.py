"""Losses of the segmentation: weighted cross-entropy, soft Dice and the distance map."""

import torch
from torch import Tensor
from torch.nn import functional

from counterstain.training.synthesis.targets import UNKNOWN


def cross_entropy(logits: Tensor, classes: Tensor, class_weights: Tensor) -> Tensor:
    """Return the weighted mean cross-entropy over the known pixels; 0 when none is known.

    Parameters
    ----------
    logits : (n, k, h, w) float.
    classes : (n, h, w) int64, ``UNKNOWN`` where not annotated.
    class_weights : (k,) float.
    """
    if not bool((classes != UNKNOWN).any()):
        return logits.sum() * 0
    return functional.cross_entropy(logits.float(), classes, weight=class_weights, ignore_index=UNKNOWN)


def soft_dice(logits: Tensor, classes: Tensor, scored: tuple[int, ...]) -> Tensor:
    """Return 1 - Dice of the class probabilities over the whole batch, mean over the ``scored`` classes.

    After Milletari et al. (V-Net, 3DV 2016). A class that is neither present nor predicted has a loss near 0.
    """
    known = (classes != UNKNOWN).float()
    probabilities = torch.softmax(logits.float(), dim=1)
    losses = []
    for index in scored:
        predicted, true = probabilities[:, index] * known, (classes == index).float()
        overlap, total = (predicted * true).sum(), predicted.sum() + true.sum()
        losses.append(1 - (2 * overlap + 100) / (total + 100))
    return torch.stack(losses).mean()


def distance_error(predicted: Tensor, true: Tensor, classes: Tensor) -> Tensor:
    """Return the mean absolute error of the distance map over known pixels.

    Parameters
    ----------
    predicted, true : (n, 1, h, w) float in [0, 1].
    classes : (n, h, w) int64.
    """
    known = (classes != UNKNOWN).float().unsqueeze(1)
    return ((predicted.float() - true).abs() * known).sum() / known.sum().clamp(min=1)
