"""What a discriminator's map of scores says about an image: the two adversarial losses of DeepLIIF.

Scores have no bounds; a discriminator shall give 1 (after a sigmoid, for the first loss) to true images and 0 to inferred ones.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Adversarial = Literal["vanilla", "least_squares"]


def adversarial_loss(scores: Tensor, target: float, kind: Adversarial) -> Tensor:
    """Return how far a map of scores is from a target, the mean over the map.

    ``vanilla`` is the cross-entropy of the original GAN (Goodfellow et al., 2014; equation 1 of the DeepLIIF paper); a
    generator lowers -log D instead of log(1 - D), as is usual. ``least_squares`` is LSGAN (Mao et al., ICCV 2017).

    Parameters
    ----------
    scores : (n, 1, h, w) float.
    target : 1 for "true", 0 for "inferred".
    """
    targets = torch.full_like(scores, target, dtype=torch.float32)
    if kind == "vanilla":
        return functional.binary_cross_entropy_with_logits(scores.float(), targets)
    return functional.mse_loss(scores.float(), targets)


def discriminator_loss(on_true: Tensor, on_inferred: Tensor, kind: Adversarial) -> Tensor:
    """Return the loss of a discriminator: the mean of that on true and that on inferred images."""
    return 0.5 * (adversarial_loss(on_inferred, 0.0, kind) + adversarial_loss(on_true, 1.0, kind))
