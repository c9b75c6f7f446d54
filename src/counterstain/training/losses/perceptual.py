"""The perceptual term of the published software: compare features of VGG-19 (Johnson et al., 2016; Wang et al., 2018).

Its weights do not come with this package; the user gives them as safetensors, with the names that torchvision uses.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from counterstain.errors import TrainingError
from counterstain.options import Weight

_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512)
"""Channels of each convolution up to conv5_1; 0 stands for pooling."""

_COMPARED = (0, 2, 4, 8, 12)
"""Convolutions after whose ReLU features are compared: relu1_1, relu2_1, relu3_1, relu4_1, relu5_1."""

_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PerceptualOptions:
    """The perceptual term of translation."""

    weight: Weight = 0.0
    """0 leaves the term out. Published software: 100."""
    vgg19: str = ""
    """Safetensors file with the convolutions of VGG-19, named ``features.0.weight``, ``features.0.bias``,
    ``features.2.weight`` and so on."""


class PerceptualLoss(nn.Module):
    """Weighted L1 distance of VGG-19 features; images enter as they are, in [-1, 1], as in the published software.

    Parameters
    ----------
    weights : convolution by convolution, (out, in, 3, 3) and (out,).
    """

    def __init__(self, weights: list[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(_convolution(kernel, bias) for kernel, bias in weights)
        self.requires_grad_(requires_grad=False)

    def forward(self, inferred: Tensor, true: Tensor) -> Tensor:
        """Return the distance of two (n, 3, h, w) or (n, 1, h, w) images; sides of at least 16 px."""
        pairs = zip(_WEIGHTS, self.features(inferred), self.features(true), strict=True)
        return torch.stack(
            [weight * functional.l1_loss(found.float(), wanted.float()) for weight, found, wanted in pairs]
        ).sum()

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the compared features, (n, c, h / 2 ** i, w / 2 ** i) for i from 0 to 4."""
        features, compared = image.expand(-1, 3, -1, -1), []
        convolutions = iter(self.convolutions)
        index = 0
        for width in _WIDTHS:
            if not width:
                features = functional.max_pool2d(features, 2)
                continue
            features = functional.relu(next(convolutions)(features))
            if index in _COMPARED:
                compared.append(features)
            index += 1
        return compared


def _convolution(kernel: Tensor, bias: Tensor) -> nn.Conv2d:
    convolution = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
    convolution.weight.data, convolution.bias.data = kernel, bias  # type: ignore[union-attr]
    return convolution


def load_perceptual(options: PerceptualOptions) -> PerceptualLoss | None:
    """Return the perceptual loss; None when its weight is 0.

    Raises
    ------
    TrainingError
        The weights are not given, not readable, or not those of VGG-19.
    """
    if options.weight == 0:
        return None
    path = Path(options.vgg19)
    if not options.vgg19 or not path.is_file():
        raise TrainingError(
            f"the perceptual term needs the weights of VGG-19 as safetensors, got {options.vgg19!r}; set perceptual.vgg19 to a "
            "file converted from torchvision's vgg19, or perceptual.weight to 0"
        )
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{path} is not a readable safetensors file: {error}") from error
    return PerceptualLoss(_checked(tensors, path))


def _checked(tensors: dict[str, Tensor], path: Path) -> list[tuple[Tensor, Tensor]]:
    """Return kernels and biases in order; torchvision counts convolutions, activations and poolings."""
    weights, place, planes = [], 0, 3
    for width in _WIDTHS:
        if width:
            kernel, bias = tensors.get(f"features.{place}.weight"), tensors.get(f"features.{place}.bias")
            if kernel is None or bias is None or kernel.shape != (width, planes, 3, 3) or bias.shape != (width,):
                found = None if kernel is None else tuple(kernel.shape)
                raise TrainingError(
                    f"{path}: expected features.{place}.weight of shape {(width, planes, 3, 3)} and its bias, found {found}"
                )
            weights.append((kernel.float(), bias.float()))
            planes = width
        place += 2 if width else 1
    return weights
