"""The U-Net generator (Isola et al., 2017): each level halves the image, and hands its features across to the way up.

With nine levels of 64 channels and batch normalisation it has 66.999 million parameters.
"""

import torch
from torch import Tensor, nn

from counterstain.training.networks.layers import GeneratorOptions, check_sides, norm_layer

_WIDEST = 8
"""Of the first level's width; deeper levels do not widen further."""
_LEAST_LEVELS = 5


class UnetGenerator(nn.Module):
    """Translate one image into another.

    Parameters
    ----------
    planes_in, planes_out : of the images.
    levels : how often the image is halved, at least 5; sides are multiples of ``2 ** levels``.
    options : width, normalisation, dropout.

    Raises
    ------
    ValueError
        Too few levels.
    """

    def __init__(self, planes_in: int, planes_out: int, levels: int, options: GeneratorOptions) -> None:
        super().__init__()
        if levels < _LEAST_LEVELS:
            raise ValueError(f"a U-Net has at least {_LEAST_LEVELS} levels, got {levels}")
        self.stride_px = 2**levels
        widths = [options.width * min(2**level, _WIDEST) for level in range(levels)]
        block: nn.Module = _innermost(widths[-2], widths[-1], options)
        for level in range(levels - 2, 0, -1):
            dropout = options.dropout and 4 <= level < levels - 1
            block = _level(widths[level - 1], widths[level], block, options, dropout=dropout)
        self.model = _outermost(planes_in, planes_out, widths[0], block, options)

    def forward(self, image: Tensor) -> Tensor:
        """Translate.

        Parameters
        ----------
        image : (n, planes_in, h, w) float in [-1, 1]; h and w are multiples of ``stride_px``.

        Returns
        -------
        (n, planes_out, h, w) in [-1, 1].
        """
        check_sides(image, multiple=self.stride_px)
        translated: Tensor = self.model(image)
        return translated


class _Across(nn.Module):
    """Concatenate what comes in with what the levels below make of it."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features, self.model(features)], dim=1)


class _Outermost(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        translated: Tensor = self.model(image)
        return translated


def _outermost(planes_in: int, planes_out: int, width: int, below: nn.Module, options: GeneratorOptions) -> nn.Module:
    down = nn.Conv2d(planes_in, width, 4, stride=2, padding=1, bias=options.bias)
    return _Outermost(down, below, nn.ReLU(), nn.ConvTranspose2d(2 * width, planes_out, 4, stride=2, padding=1), nn.Tanh())


def _level(outer: int, inner: int, below: nn.Module, options: GeneratorOptions, *, dropout: bool) -> nn.Module:
    down = [nn.LeakyReLU(0.2), _halve(outer, inner, options), norm_layer(options.norm, inner)]
    up = [nn.ReLU(), _double(2 * inner, outer, options), norm_layer(options.norm, outer)]
    return _Across(*down, below, *up, *([nn.Dropout(0.5)] if dropout else []))


def _innermost(outer: int, inner: int, options: GeneratorOptions) -> nn.Module:
    """Without a normalisation on the way down, as there may be a single pixel left."""
    down = [nn.LeakyReLU(0.2), _halve(outer, inner, options)]
    return _Across(*down, nn.ReLU(), _double(inner, outer, options), norm_layer(options.norm, outer))


def _halve(planes_in: int, planes_out: int, options: GeneratorOptions) -> nn.Module:
    return nn.Conv2d(planes_in, planes_out, 4, stride=2, padding=1, bias=options.bias)


def _double(planes_in: int, planes_out: int, options: GeneratorOptions) -> nn.Module:
    return nn.ConvTranspose2d(planes_in, planes_out, 4, stride=2, padding=1, bias=options.bias)
