"""What adversarial tasks share: discriminators that judge several images at once, optimizers, and frozen networks."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from counterstain.training.networks.patchgan import PatchDiscriminator

DISCRIMINATORS = "discriminators"
"""Name of the networks that judge, all in one module."""

_ADAM_BETAS = (0.5, 0.999)
"""As pix2pix (Isola et al., 2017) and the published software (``beta1`` 0.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscriminatorOptions:
    """How discriminators are built; the defaults are those of the paper and the published software."""

    layers: Annotated[int, Field(ge=1, le=8)] = 4
    """Number of halvings (``n_layers_D``)."""
    width: Annotated[int, Field(ge=1, le=1024)] = 64
    """Channels of the first layer (``ndf``)."""


class Discriminators(nn.Module):
    """One PatchGAN for each name.

    Parameters
    ----------
    planes : name -> planes of what it judges.
    """

    def __init__(self, planes: Mapping[str, int], options: DiscriminatorOptions) -> None:
        super().__init__()
        self.judges = nn.ModuleList(PatchDiscriminator(count, options.layers, options.width) for count in planes.values())
        self.names = tuple(planes)

    def forward(self, images: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return scores, name -> (n, 1, h', w'), of images, name -> (n, planes, h, w)."""
        return {name: judge(images[name]) for name, judge in zip(self.names, self.judges, strict=True)}


def adam(network: nn.Module, learning_rate: float) -> Optimizer:
    """Return one optimizer over all that a module holds."""
    return torch.optim.Adam(network.parameters(), lr=learning_rate, betas=_ADAM_BETAS)


@contextmanager
def frozen(network: nn.Module) -> Iterator[nn.Module]:
    """Give out a network through which gradients pass without reaching its weights."""
    network.requires_grad_(requires_grad=False)
    try:
        yield network
    finally:
        network.requires_grad_(requires_grad=True)


def to_signed(image: Tensor) -> Tensor:
    """Return [0, 1] as [-1, 1]."""
    return image * 2 - 1


def to_unit(image: Tensor) -> Tensor:
    """Return [-1, 1] as [0, 1]."""
    return image * 0.5 + 0.5
