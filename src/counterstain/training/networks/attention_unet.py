"""The attention U-Net (Oktay et al., 2018): eight levels, and each level's features are gated before they go across.

It has 56.616 million parameters for 3 planes in and out at its published width.
"""

import torch
from torch import Tensor, nn

from counterstain.training.networks.layers import SampleNorm, check_sides

STRIDE_PX = 256

_WIDTHS = (1, 2, 4, 8, 8, 8, 8, 8)
_GATES = (0.5, 1, 2, 8, 8, 8, 8)
"""Width of each level and of the gate on it, in units of the first level's."""


class AttentionUnetGenerator(nn.Module):
    """Translate one image into another.

    Parameters
    ----------
    planes_in, planes_out : of the images.
    width : channels of the first level, an even number.
    """

    stride_px = STRIDE_PX

    def __init__(self, planes_in: int, planes_out: int, width: int = 64) -> None:
        super().__init__()
        widths = [factor * width for factor in _WIDTHS]
        for level, (outer, inner) in enumerate(zip([planes_in, *widths], widths, strict=False), start=1):
            self.add_module(f"Conv{level}", _Down(outer, inner, first=level == 1, last=level == len(widths)))
        for level in range(len(widths), 0, -1):
            inner = widths[level - 1] * (1 if level == len(widths) else 2)
            outer = widths[level - 2] if level > 1 else planes_out
            self.add_module(f"Up{level}", _Up(inner, outer, last=level == 1))
        for level, gate in enumerate(_GATES, start=1):
            self.add_module(f"Att{level}", _Gate(widths[level - 1], int(gate * width)))

    def forward(self, image: Tensor) -> Tensor:
        """Translate.

        Parameters
        ----------
        image : (n, planes_in, h, w) float in [-1, 1]; h and w are multiples of 256.

        Returns
        -------
        (n, planes_out, h, w) in [-1, 1].
        """
        check_sides(image, multiple=STRIDE_PX)
        levels: list[Tensor] = []
        features = image
        for level in range(1, len(_WIDTHS) + 1):
            features = self.get_submodule(f"Conv{level}")(features)
            levels.append(features)
        features = self.get_submodule(f"Up{len(_WIDTHS)}")(levels.pop())
        for level in range(len(_WIDTHS) - 1, 0, -1):
            gated = self.get_submodule(f"Att{level}")(features, levels.pop())
            features = self.get_submodule(f"Up{level}")(torch.cat([gated, features], dim=1))
        translated: Tensor = features
        return translated


class _Down(nn.Module):
    def __init__(self, planes_in: int, planes_out: int, *, first: bool, last: bool) -> None:
        super().__init__()
        norm = [] if first or last else [SampleNorm(planes_out)]
        activation = nn.ReLU() if last else nn.LeakyReLU(0.2)
        self.conv = nn.Sequential(nn.Conv2d(planes_in, planes_out, 4, stride=2, padding=1), *norm, activation)

    def forward(self, features: Tensor) -> Tensor:
        halved: Tensor = self.conv(features)
        return halved


class _Up(nn.Module):
    def __init__(self, planes_in: int, planes_out: int, *, last: bool) -> None:
        super().__init__()
        double = nn.ConvTranspose2d(planes_in, planes_out, 4, stride=2, padding=1, bias=last)
        self.up = nn.Sequential(double, *([nn.Tanh()] if last else [SampleNorm(planes_out), nn.ReLU()]))

    def forward(self, features: Tensor) -> Tensor:
        doubled: Tensor = self.up(features)
        return doubled


class _Gate(nn.Module):
    """Multiply features from across with a weight in [0, 1] per pixel, chosen by those from below."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.W_g = nn.Sequential(nn.Conv2d(width, inner, 1), SampleNorm(inner))
        self.W_x = nn.Sequential(nn.Conv2d(width, inner, 1), SampleNorm(inner))
        self.psi = nn.Sequential(nn.Conv2d(inner, 1, 1), SampleNorm(1), nn.Sigmoid())

    def forward(self, below: Tensor, across: Tensor) -> Tensor:
        weight: Tensor = self.psi(torch.relu(self.W_g(below) + self.W_x(across)))  # (n, 1, h, w)
        return across * weight
