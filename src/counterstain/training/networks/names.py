"""Generators by their published names."""

import re

from torch import nn

from counterstain.training.networks.attention_unet import AttentionUnetGenerator
from counterstain.training.networks.layers import GeneratorOptions
from counterstain.training.networks.resnet import ResnetGenerator
from counterstain.training.networks.unet import UnetGenerator

UNET_LEVELS = {"unet_32": 5, "unet_64": 6, "unet_128": 7, "unet_256": 8, "unet_512": 9}
ATTENTION = "unet_512_attention"


def generator(name: str, planes_in: int, planes_out: int, options: GeneratorOptions) -> nn.Module:
    """Build a generator: ``resnet_Nblocks`` for any N, a key of ``UNET_LEVELS``, or ``unet_512_attention``.

    Parameters
    ----------
    planes_in, planes_out : of the images.
    options : of which the attention U-Net uses the width alone.

    Raises
    ------
    ValueError
        The name is unknown.
    """
    blocks = re.fullmatch(r"resnet_(\d{1,2})blocks", name)
    if blocks:
        return ResnetGenerator(planes_in, planes_out, int(blocks[1]), options)
    if name in UNET_LEVELS:
        return UnetGenerator(planes_in, planes_out, UNET_LEVELS[name], options)
    if name == ATTENTION:
        return AttentionUnetGenerator(planes_in, planes_out, options.width)
    known = ["resnet_9blocks (or another number)", *UNET_LEVELS, ATTENTION]
    raise ValueError(f"no generator {name!r}; expected one of {known}")
