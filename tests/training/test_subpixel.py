"""Convolutions that are computed another way give the same numbers."""

import pytest
import torch
from torch import nn

from counterstain.training.exporting.subpixel import FourPixelConvolution, SubpixelConvolution, with_faster_convolutions
from counterstain.training.networks.layers import GeneratorOptions, initialise
from counterstain.training.networks.names import generator


@pytest.fixture
def features():
    return torch.randn(2, 6, 5, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("planes_out", [3, 20])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kernel", "padding", "output_padding"), [(4, 1, 0), (3, 1, 1), (2, 0, 0), (6, 2, 0)])
def test_four_small_convolutions_are_a_transposed_one(features, planes_out, bias, kernel, padding, output_padding):
    torch.manual_seed(1)
    transposed = nn.ConvTranspose2d(6, planes_out, kernel, 2, padding, output_padding, bias=bias)
    with torch.no_grad():
        torch.testing.assert_close(SubpixelConvolution(transposed)(features), transposed(features), atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", [{"padding": 0}, {"padding": 1, "groups": 2}, {"padding": 2, "dilation": 2}])
def test_other_transposed_convolutions_are_refused(options):
    with pytest.raises(ValueError, match="double the sides"):
        SubpixelConvolution(nn.ConvTranspose2d(6, 4, 4, stride=2, **options))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel", [3, 7, (2, 3)])
def test_four_pixels_at_once_are_a_convolution(bias, kernel):
    torch.manual_seed(1)
    rows, cols = (kernel, kernel) if isinstance(kernel, int) else kernel
    convolution, image = nn.Conv2d(4, 3, kernel, bias=bias), torch.randn(2, 4, 7 + rows, 9 + cols)
    with torch.no_grad():
        torch.testing.assert_close(FourPixelConvolution(convolution)(image), convolution(image), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["resnet_2blocks", "unet_32"])
def test_a_network_is_left_as_it_is_and_its_copy_gives_the_same_numbers(name):
    torch.manual_seed(0)
    network = generator(name, 3, 3, GeneratorOptions(width=4, padding="reflect")).eval()
    initialise(network, 0.2)
    before = [type(module) for module in network.modules()]
    faster, image = with_faster_convolutions(network), torch.rand(1, 3, 32, 64) * 2 - 1
    assert [type(module) for module in network.modules()] == before
    assert any(isinstance(module, FourPixelConvolution | SubpixelConvolution) for module in faster.modules())
    with torch.no_grad():
        torch.testing.assert_close(faster(image), network(image), atol=1e-5, rtol=0)


def test_convolutions_to_many_planes_or_with_padding_are_kept():
    kept = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 3, 3, padding=1), nn.Conv2d(3, 1, 1), nn.ConvTranspose2d(1, 1, 3, 2, 1, 1)
    )
    assert [type(module) for module in with_faster_convolutions(kept)] == [type(module) for module in kept]
