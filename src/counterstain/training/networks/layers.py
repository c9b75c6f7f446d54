"""What the published networks share: their options, normalisation, padding, checks of sizes, and initial weights.

Sizes and names of layers follow the published software, so that its checkpoints load as they are.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

Norm = Literal["batch", "instance", "none"]
Padding = Literal["zero", "reflect"]
Upsample = Literal["convtranspose", "resize_conv"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorOptions:
    """How a published generator is built; the defaults are those of the paper."""

    width: Annotated[int, Field(ge=1, le=1024)] = 64
    """Channels of the first layer (``ngf``); deeper layers are multiples of it."""
    norm: Norm = "batch"
    """``batch`` (see ``SampleNorm``), ``instance`` (no weights, and convolutions with a bias) or ``none``."""
    padding: Padding = "zero"
    """At the border of the image, ResNet only."""
    upsample: Upsample = "convtranspose"
    """Transposed convolution, or ``resize_conv``: nearest enlargement and a convolution; ResNet only."""
    dropout: bool = True
    """Whether half of some features is dropped while training."""

    @property
    def bias(self) -> bool:
        """Whether convolutions before a normalisation have a bias."""
        return self.norm == "instance"


class SampleNorm(nn.Module):
    """Batch normalisation without running statistics.

    While training, statistics are those of the batch. Otherwise each image is normalised by its own, which is what the
    published software computes as it infers one tile at a time; so answers do not depend on how images are grouped.

    Parameters
    ----------
    width : number of channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, width, h, w) features, normalised, scaled and shifted."""
        if self.training:
            return functional.batch_norm(features, None, None, self.weight, self.bias, training=True)
        return functional.instance_norm(features, weight=self.weight, bias=self.bias)


def norm_layer(norm: Norm, width: int) -> nn.Module:
    """Return the normalisation of a name.

    Raises
    ------
    ValueError
        The name is unknown.
    """
    if norm == "batch":
        return SampleNorm(width)
    if norm == "instance":
        return nn.InstanceNorm2d(width)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"no normalisation {norm!r}; expected batch, instance or none")


def padding_layer(padding: Padding, pixels: int) -> nn.Module:
    """Return the layer that pads all sides.

    Raises
    ------
    ValueError
        The name is unknown.
    """
    if padding == "zero":
        return nn.ZeroPad2d(pixels)
    if padding == "reflect":
        return nn.ReflectionPad2d(pixels)
    raise ValueError(f"no padding {padding!r}; expected zero or reflect")


def check_sides(image: Tensor, *, multiple: int, least: int = 1) -> None:
    """Check the size of an input.

    Raises
    ------
    ValueError
        A side is not a multiple of ``multiple`` or is below ``least``.
    """
    sides = tuple(image.shape[-2:])
    if any(side % multiple for side in sides):
        raise ValueError(f"sides must be multiples of {multiple} px, got {sides}")
    if any(side < least for side in sides):
        raise ValueError(f"sides must be at least {least} px, got {sides}")


@torch.no_grad()
def initialise(network: nn.Module, deviation: float = 0.02) -> None:
    """Draw new weights in place as the published software does (Isola et al., 2017).

    Convolutions get N(0, ``deviation``) and a bias of 0, normalisations N(1, ``deviation``) and a shift of 0. The draw follows
    torch's generator, so seed it first.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.weight.normal_(0.0, deviation)
        elif isinstance(module, SampleNorm):
            module.weight.normal_(1.0, deviation)
        else:
            continue
        if module.bias is not None:
            module.bias.zero_()
