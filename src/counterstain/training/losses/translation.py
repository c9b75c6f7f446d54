"""Losses of an inferred modality against the true image."""

import torch
from torch import Tensor
from torch.nn import functional


def smooth_l1(predicted: Tensor, true: Tensor, present: Tensor, *, threshold: float = 0.02) -> Tensor:
    """Return the smooth L1 distance over the samples that have the modality, in units of grey level error.

    Quadratic below ``threshold`` and linear above, so that noise in the true image counts little.

    Parameters
    ----------
    predicted, true : (n, c, h, w) float in [0, 1].
    present : (n,) bool; samples without the modality count as 0.
    """
    errors = functional.smooth_l1_loss(predicted.float(), true, beta=threshold, reduction="none").mean(dim=(1, 2, 3))
    return _mean_over_present(errors, present)


def gradient_error(predicted: Tensor, true: Tensor, present: Tensor) -> Tensor:
    """Return the mean absolute difference of horizontal and vertical differences; it keeps edges sharp."""
    errors = torch.zeros(len(true), device=true.device)
    for dim in (2, 3):
        errors = errors + (predicted.float().diff(dim=dim) - true.diff(dim=dim)).abs().mean(dim=(1, 2, 3))
    return _mean_over_present(errors, present)


def _mean_over_present(errors: Tensor, present: Tensor) -> Tensor:
    weights = present.float()
    return (errors * weights).sum() / weights.sum().clamp(min=1)
