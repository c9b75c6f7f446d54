"""The objective of CycleGAN (Zhu et al., ICCV 2017): two translations that undo each other."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from counterstain.options import Weight
from counterstain.training.losses.adversarial import Adversarial, adversarial_loss, discriminator_loss

Maps = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleOptions:
    """Weights of the objective; the defaults are those of the CycleGAN paper."""

    gan: Adversarial = "least_squares"
    """Paper, section 4: least squares in place of the logarithm."""
    cycle: Weight = 10.0
    """Weight of what changed on the way there and back. Paper: 10."""
    identity: Weight = 0.5
    """Weight, relative to ``cycle``, of what a translation changes in images that are of its target kind already; 0 leaves it
    out. Paper, section 5.2: 0.5."""


def cycle_judgement(on_true: Maps, on_inferred: Maps, options: CycleOptions) -> dict[str, Tensor]:
    """Return the discriminators' loss per kind of image; both arguments are kind -> (n, 1, h, w) scores."""
    return {f"judge {name}": discriminator_loss(scores, on_inferred[name], options.gan) for name, scores in on_true.items()}


def cycle_terms(true: Maps, returned: Maps, kept: Maps, scores: Maps, options: CycleOptions) -> dict[str, Tensor]:
    """Return the generators' loss per kind of image, in its parts.

    Parameters
    ----------
    true : kind -> (n, planes, h, w) in [-1, 1].
    returned : the same images, translated to the other kind and back.
    kept : the same images, through the translation to their own kind; empty leaves the term out.
    scores : kind -> (n, 1, h, w) scores of images translated to that kind.
    """
    terms = {}
    for name, image in true.items():
        terms[f"{name} gan"] = adversarial_loss(scores[name], 1.0, options.gan)
        terms[f"{name} cycle"] = options.cycle * functional.l1_loss(returned[name].float(), image)
        if name in kept:
            terms[f"{name} identity"] = options.cycle * options.identity * functional.l1_loss(kept[name].float(), image)
    return terms
