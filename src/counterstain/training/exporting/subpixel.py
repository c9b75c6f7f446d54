"""Rewrite convolutions so that runtimes compute the same numbers faster.

A transposed convolution of stride 2 writes each of the four positions of a 2 x 2 output square with a part of its kernel of its
own (Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016). So it is four small convolutions whose
results are interleaved, and ONNX Runtime is twice as fast at those. It computes at least 16 output planes, so an image of three
planes wastes most of a last convolution; computed four pixels at a time, as 12 planes of half the side, it wastes a quarter.
"""

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_BLOCK_PLANES = 16
"""Runtimes compute convolutions for blocks of this many output planes; what is left of a block is wasted."""

Taps = list[tuple[int, int]]
"""(offset of the input pixel, index into the kernel) that make an output pixel, by rising offset."""


def with_faster_convolutions(network: nn.Module) -> nn.Module:
    """Return a copy of a network that computes the same for inputs of even sides.

    Replaced are transposed convolutions of stride 2 and an even kernel (with an odd one nothing is gained), and convolutions to
    at most a quarter of a block of planes that pad nothing themselves.
    """
    changed = copy.deepcopy(network)
    for name, module in list(changed.named_modules()):
        parent, _, last = name.rpartition(".")
        if isinstance(module, nn.ConvTranspose2d) and module.stride == (2, 2) and module.kernel_size[0] % 2 == 0:
            setattr(changed.get_submodule(parent), last, SubpixelConvolution(module))
        elif isinstance(module, nn.Conv2d) and module.out_channels * 4 <= _BLOCK_PLANES and _is_plain(module):
            setattr(changed.get_submodule(parent), last, FourPixelConvolution(module))
    return changed


def _is_plain(convolution: nn.Conv2d) -> bool:
    one = (1, 1)
    settings = (convolution.stride, convolution.dilation, convolution.padding, convolution.groups)
    return settings == (one, one, (0, 0), 1) and convolution.kernel_size[0] > 1


class FourPixelConvolution(nn.Module):
    """Computes a convolution for the four pixels of each 2 x 2 output square at once; the output has even sides.

    Parameters
    ----------
    convolution : of stride 1, without padding, dilation or groups.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        weight = convolution.weight.detach()  # (planes_out, planes_in, rows, cols)
        parts = [functional.pad(weight, [col, 1 - col, row, 1 - row]) for row in (0, 1) for col in (0, 1)]
        self.weight = nn.Parameter(torch.stack(parts, dim=1).flatten(0, 1))  # (4 planes_out, planes_in, rows + 1, cols + 1)
        self.bias = convolution.bias

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, planes_out, h, w)."""
        answer = functional.pixel_shuffle(functional.conv2d(features, self.weight, stride=2), 2)
        return answer if self.bias is None else answer + self.bias[:, None, None]


class SubpixelConvolution(nn.Module):
    """Computes what a transposed convolution of stride 2 that doubles the sides computes.

    Raises
    ------
    ValueError
        The convolution is of another kind: with groups, dilation, a kernel that is not square, or another output size.
    """

    def __init__(self, transposed: nn.ConvTranspose2d) -> None:
        super().__init__()
        kernel, padding = transposed.kernel_size[0], cast(int, transposed.padding[0])
        doubles = kernel - 2 * padding + transposed.output_padding[0] == 2
        if not doubles or transposed.kernel_size != (kernel, kernel) or transposed.groups != 1 or transposed.dilation != (1, 1):
            raise ValueError(f"only convolutions that double the sides can be replaced, got {transposed}")
        taps = [_taps(kernel, padding, position) for position in (0, 1)]
        weight = transposed.weight.detach().transpose(0, 1)  # (planes_out, planes_in, kernel, kernel)
        if weight.shape[0] < _BLOCK_PLANES:
            span = [min(tap[0][0] for tap in taps), max(tap[-1][0] for tap in taps)]
            taps = [_filled(tap, span[0], span[1]) for tap in taps]
        self.pads = [[-tap[0][0], tap[-1][0]] for tap in taps]
        parts = [_part(weight, rows, cols) for rows in taps for cols in taps]
        self.joined = weight.shape[0] < _BLOCK_PLANES
        self.parts = nn.ParameterList([torch.stack(parts, dim=1).flatten(0, 1)] if self.joined else parts)
        self.bias = transposed.bias

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, planes_out, 2 h, 2 w) for (n, planes_in, h, w)."""
        if self.joined:
            pads = [*self.pads[0], *self.pads[0]]
            answers = functional.conv2d(functional.pad(features, pads), self.parts[0])
        else:
            pads_of = [(rows, cols) for rows in self.pads for cols in self.pads]
            found = [
                functional.conv2d(functional.pad(features, [*cols, *rows]), part)
                for (rows, cols), part in zip(pads_of, self.parts, strict=True)
            ]
            answers = torch.stack(found, dim=2).flatten(1, 2)  # (n, 4 planes_out, h, w)
        doubled = functional.pixel_shuffle(answers, 2)
        return doubled if self.bias is None else doubled + self.bias[:, None, None]


def _taps(kernel: int, padding: int, position: int) -> Taps:
    """Return which input pixels, relative to its own, make the output pixel at a position (0 or 1) of its square."""
    pairs = [(offset, position + padding - 2 * offset) for offset in range(-kernel, kernel + 1)]
    return [(offset, index) for offset, index in pairs if 0 <= index < kernel]


def _filled(taps: Taps, first: int, last: int) -> Taps:
    """Return taps for every offset from first to last; -1 stands for a weight of 0."""
    known = dict(taps)
    return [(offset, known.get(offset, -1)) for offset in range(first, last + 1)]


def _part(weight: Tensor, rows: Taps, cols: Taps) -> Tensor:
    """Return the (planes_out, planes_in, rows, cols) kernel of one position."""
    padded = functional.pad(weight, [0, 1, 0, 1])  # index -1 finds zeros
    return padded[:, :, [index for _, index in rows]][:, :, :, [index for _, index in cols]].contiguous()
