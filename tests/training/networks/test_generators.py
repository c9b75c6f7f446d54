"""The published generators and the discriminator."""

import pytest
import torch
from conformance.network import NetworkConformance
from torch.nn import functional

from counterstain.training.networks.attention_unet import AttentionUnetGenerator
from counterstain.training.networks.layers import GeneratorOptions, SampleNorm, initialise, norm_layer, padding_layer
from counterstain.training.networks.names import generator
from counterstain.training.networks.patchgan import PatchDiscriminator
from counterstain.training.networks.resnet import ResnetGenerator
from counterstain.training.networks.unet import UnetGenerator

TINY = GeneratorOptions(width=2, dropout=False)
BEFORE_A_NORM = ("model.1.bias", "conv_block.0.bias", "conv_block.3.bias")


def seeded(network):
    torch.manual_seed(0)
    initialise(network, 0.2)
    return network


class TestResnet(NetworkConformance):
    stride_px, least_px = 4, 8

    @pytest.fixture
    def network(self):
        return seeded(ResnetGenerator(3, 2, 1, TINY))

    def expected_shapes(self, rows, cols):
        return {"output": (2, rows, cols)}


class TestResnetOfTheOtherOptions(TestResnet):
    @pytest.fixture
    def network(self):
        options = GeneratorOptions(width=2, norm="none", padding="reflect", upsample="resize_conv", dropout=True)
        return seeded(ResnetGenerator(3, 2, 1, options))


class TestUnet(NetworkConformance):
    stride_px = least_px = 32

    @pytest.fixture
    def network(self):
        return seeded(UnetGenerator(3, 2, 5, TINY))

    def expected_shapes(self, rows, cols):
        return {"output": (2, rows, cols)}


class TestUnetWithSixPlanesAndDropout(TestUnet):
    planes_in = 6
    stride_px = least_px = 64

    @pytest.fixture
    def network(self):
        return seeded(UnetGenerator(6, 2, 6, GeneratorOptions(width=2)))


class TestAttentionUnet(NetworkConformance):
    stride_px = least_px = 256
    unused = (".0.bias",)
    """A bias before a normalisation has no effect."""

    @pytest.fixture
    def network(self):
        return seeded(AttentionUnetGenerator(3, 2, width=2))

    def expected_shapes(self, rows, cols):
        return {"output": (2, rows, cols)}


class TestPatchDiscriminator(NetworkConformance):
    planes_in, stride_px, least_px = 6, 1, 24

    @pytest.fixture
    def network(self):
        return seeded(PatchDiscriminator(6, layers=3, width=2))

    def expected_shapes(self, rows, cols):
        return {"output": (1, rows // 8 - 2, cols // 8 - 2)}


def built(name, **options):
    """Build without memory: for counting."""
    with torch.device("meta"):
        return generator(name, 3, 3, GeneratorOptions(**options))


@pytest.mark.parametrize(
    ("name", "count", "entries"),
    [("resnet_9blocks", 11_383_427, 140), ("unet_512", 66_998_915, 94), ("unet_512_attention", 56_616_056, 237)],
)
def test_each_generator_has_the_published_number_of_weights(name, count, entries):
    network = built(name)
    norms = sum(isinstance(module, SampleNorm) for module in network.modules())
    assert sum(weight.numel() for weight in network.parameters()) == count
    assert len(network.state_dict()) + 3 * norms == entries  # a published file has 3 running statistics more for each


@pytest.mark.parametrize(("layers", "count"), [(4, 6_964_033), (3, 2_768_705)])
def test_the_discriminator_has_the_published_number_of_weights(layers, count):
    with torch.device("meta"):
        assert sum(weight.numel() for weight in PatchDiscriminator(6, layers).parameters()) == count


def test_the_discriminator_scores_30_by_30_patches_of_512_pixels():
    with torch.device("meta"):
        assert PatchDiscriminator(6)(torch.empty(1, 6, 512, 512)).shape == (1, 1, 30, 30)


def test_a_score_sees_142_pixels():
    network = PatchDiscriminator(1, width=1, norm="none")
    for weight in network.parameters():
        torch.nn.init.ones_(weight)
    image = torch.zeros(1, 1, 256, 256, requires_grad=True)
    network(image)[0, 0, 7, 7].backward()
    seen = image.grad[0, 0] != 0
    assert (int(seen.any(0).sum()), int(seen.any(1).sum())) == (142, 142)


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({}, {"model.10.conv_block.0.weight", "model.10.conv_block.4.weight", "model.12.weight", "model.19.bias"}),
        ({"dropout": False}, {"model.10.conv_block.3.weight", "model.10.conv_block.4.bias"}),
        ({"padding": "reflect"}, {"model.10.conv_block.1.weight", "model.10.conv_block.6.weight"}),
        ({"padding": "reflect", "dropout": False}, {"model.10.conv_block.2.bias", "model.10.conv_block.5.weight"}),
        ({"upsample": "resize_conv"}, {"model.14.weight", "model.14.bias", "model.19.weight", "model.23.weight"}),
        ({"norm": "instance"}, {"model.1.bias", "model.10.conv_block.0.bias", "model.12.bias"}),
    ],
)
def test_weights_of_a_resnet_of_two_blocks_have_the_published_names(options, keys):
    assert keys <= set(built("resnet_2blocks", **options).state_dict())


def test_weights_of_a_unet_have_the_published_names_and_shapes():
    shapes = {name: tuple(weight.shape) for name, weight in built("unet_512").state_dict().items()}
    inner = "model.model.1" + 7 * ".model.3"
    expected = {
        "model.model.0.weight": (64, 3, 4, 4),
        "model.model.1.model.1.weight": (128, 64, 4, 4),
        "model.model.1.model.5.weight": (256, 64, 4, 4),
        f"{inner}.model.1.weight": (512, 512, 4, 4),
        f"{inner}.model.3.weight": (512, 512, 4, 4),
        f"{inner}.model.4.bias": (512,),
        "model.model.3.weight": (128, 3, 4, 4),
        "model.model.3.bias": (3,),
    }
    assert {name: shapes[name] for name in expected} == expected
    assert "model.model.0.bias" not in shapes


def test_weights_of_an_attention_unet_have_the_published_names_and_shapes():
    shapes = {name: tuple(weight.shape) for name, weight in built("unet_512_attention").state_dict().items()}
    ups = {level: shapes[f"Up{level}.up.0.weight"][:2] for level in range(1, 9)}
    wide = dict.fromkeys((5, 6, 7), (1024, 512))
    assert ups == {8: (512, 512), **wide, 4: (1024, 256), 3: (512, 128), 2: (256, 64), 1: (128, 3)}
    gates = [shapes[f"Att{level}.W_g.0.weight"][0] for level in range(7, 0, -1)]
    assert gates == [512, 512, 512, 512, 128, 64, 32]
    assert {"Conv1.conv.0.bias", "Conv2.conv.1.weight", "Att1.psi.1.bias", "Att1.W_x.1.weight", "Up1.up.0.bias"} <= set(shapes)


def test_a_batch_norm_of_one_image_is_an_instance_norm_in_training_and_after():
    norm = SampleNorm(4)
    torch.nn.init.uniform_(norm.weight)
    features = torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(1)) * 3 + 1
    expected = functional.instance_norm(features, weight=norm.weight, bias=norm.bias)
    torch.testing.assert_close(norm.train()(features), expected)
    torch.testing.assert_close(norm.eval()(features), expected)


def test_training_normalises_by_the_batch():
    features = torch.stack([torch.zeros(2, 3, 3), torch.ones(2, 3, 3)])
    assert SampleNorm(2).train()(features)[1].mean() > 0.9
    assert SampleNorm(2).eval()(features).abs().max() < 1e-3


def test_no_network_keeps_running_statistics():
    assert [name for name, _ in built("unet_512").named_buffers()] == []


def test_dropout_acts_in_training_alone():
    network, image = seeded(ResnetGenerator(3, 3, 1, GeneratorOptions(width=4))), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert not torch.equal(network.train()(image), network(image))
        assert torch.equal(network.eval()(image), network(image))


def test_new_weights_have_the_published_distribution():
    network = UnetGenerator(3, 3, 5, GeneratorOptions(width=8))
    torch.manual_seed(3)
    initialise(network)
    convolutions = torch.cat([w.detach().flatten() for w in network.parameters() if w.ndim == 4])
    assert abs(float(convolutions.std()) - 0.02) < 1e-3
    scales = torch.cat([m.weight.detach() for m in network.modules() if isinstance(m, SampleNorm)])
    assert abs(float(scales.mean()) - 1) < 0.01


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no generator 'vgg'; expected one of .*unet_512.*unet_512_attention"):
        generator("vgg", 3, 3, TINY)
    with pytest.raises(ValueError, match="no normalisation 'spectral'"):
        norm_layer("spectral", 3)
    with pytest.raises(ValueError, match="no padding 'wrap'"):
        padding_layer("wrap", 3)
    with pytest.raises(ValueError, match="no upsampling 'magic'"):
        generator("resnet_1blocks", 3, 3, GeneratorOptions(upsample="magic"))
    with pytest.raises(ValueError, match="at least 5 levels"):
        UnetGenerator(3, 3, 4, TINY)


def test_a_unet_says_which_sides_it_takes():
    with pytest.raises(ValueError, match=r"sides must be multiples of 512 px, got \(512, 500\)"):
        built("unet_512")(torch.empty(1, 3, 512, 500, device="meta"))
