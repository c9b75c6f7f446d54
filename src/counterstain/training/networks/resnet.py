"""The ResNet generator (Johnson et al., 2016, as used by Zhu et al., 2017): two steps down, residual blocks, two steps up.

With nine blocks of 64 channels and batch normalisation it has 11.383 million parameters.
"""

from torch import Tensor, nn

from counterstain.training.networks.layers import GeneratorOptions, check_sides, norm_layer, padding_layer

STRIDE_PX = 4
_LEAST_PX = 8


class ResnetGenerator(nn.Module):
    """Translate one image into another.

    Parameters
    ----------
    planes_in, planes_out : of the images.
    blocks : number of residual blocks.
    options : width, normalisation, padding, upsampling, dropout.
    """

    stride_px = STRIDE_PX

    def __init__(self, planes_in: int, planes_out: int, blocks: int, options: GeneratorOptions) -> None:
        super().__init__()
        width = options.width
        layers: list[nn.Module] = [padding_layer(options.padding, 3), *_convolution(planes_in, width, options, kernel=7)]
        for step in (1, 2):
            layers += _convolution(step * width, 2 * step * width, options, stride=2, padding=1)
        layers += [_ResidualBlock(4 * width, options) for _ in range(blocks)]
        for step in (2, 1):
            layers += _enlarge(2 * step * width, step * width, options)
        layers += [padding_layer(options.padding, 3), nn.Conv2d(width, planes_out, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """Translate.

        Parameters
        ----------
        image : (n, planes_in, h, w) float in [-1, 1]; h and w are multiples of 4 and at least 8.

        Returns
        -------
        (n, planes_out, h, w) in [-1, 1].
        """
        check_sides(image, multiple=STRIDE_PX, least=_LEAST_PX)
        translated: Tensor = self.model(image)
        return translated


class _ResidualBlock(nn.Module):
    """``x + f(x)``, without an activation after the sum."""

    def __init__(self, width: int, options: GeneratorOptions) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_padded_convolution(width, options), nn.ReLU()]
        if options.dropout:
            layers.append(nn.Dropout(0.5))
        self.conv_block = nn.Sequential(*layers, *_padded_convolution(width, options))

    def forward(self, features: Tensor) -> Tensor:
        refined: Tensor = features + self.conv_block(features)
        return refined


def _padded_convolution(width: int, options: GeneratorOptions) -> list[nn.Module]:
    """Return a 3x3 convolution and its normalisation; zeros are padded by the convolution itself."""
    zero = options.padding == "zero"
    convolution = nn.Conv2d(width, width, 3, padding=1 if zero else 0, bias=options.bias)
    before = [] if zero else [padding_layer(options.padding, 1)]
    return [*before, convolution, norm_layer(options.norm, width)]


def _convolution(
    planes_in: int, planes_out: int, options: GeneratorOptions, *, kernel: int = 3, stride: int = 1, padding: int = 0
) -> list[nn.Module]:
    convolution = nn.Conv2d(planes_in, planes_out, kernel, stride=stride, padding=padding, bias=options.bias)
    return [convolution, norm_layer(options.norm, planes_out), nn.ReLU()]


def _enlarge(planes_in: int, planes_out: int, options: GeneratorOptions) -> list[nn.Module]:
    """Double the size.

    Raises
    ------
    ValueError
        The way of upsampling is unknown.
    """
    after = [norm_layer(options.norm, planes_out), nn.ReLU()]
    if options.upsample == "convtranspose":
        return [
            nn.ConvTranspose2d(planes_in, planes_out, 3, stride=2, padding=1, output_padding=1, bias=options.bias),
            *after,
        ]
    if options.upsample == "resize_conv":
        return [nn.Upsample(scale_factor=2, mode="nearest"), nn.ReflectionPad2d(1), nn.Conv2d(planes_in, planes_out, 3), *after]
    raise ValueError(f"no upsampling {options.upsample!r}; expected convtranspose or resize_conv")
