"""The composed model."""

from dataclasses import replace

import pytest
import torch
from conformance.network import NetworkConformance

from counterstain.panel import DEFAULT_PANEL, DISTANCE, SEGMENTATION, Channel, Panel
from counterstain.training.networks.deepliif import DeepLIIFNetwork, DeepLIIFOptions, segmentation_weights
from counterstain.training.networks.layers import GeneratorOptions, initialise

SMALL = DeepLIIFOptions(translator="resnet_1blocks", segmenter="unet_32", generator=GeneratorOptions(width=2, dropout=False))
TWO = Panel(channels=(Channel(name="dapi"), Channel(name="her2", planes=3), SEGMENTATION), marker="her2")
WEIGHTED = replace(SMALL, segmentation_weights=(0.5, 0.0, 0.5))


def panel_of(count):
    """Return a panel of this many modalities and the segmentation."""
    return Panel(channels=(*(Channel(name=f"m{number}") for number in range(count)), SEGMENTATION))


def seeded(panel, options):
    torch.manual_seed(0)
    network = DeepLIIFNetwork(panel, options)
    initialise(network, 0.2)
    return network


class TestDeepLIIF(NetworkConformance):
    @pytest.fixture
    def network(self):
        return seeded(TWO, WEIGHTED)

    def expected_shapes(self, rows, cols):
        parts = ("segmentation", "segmentation_from_input", "segmentation_from_her2")
        return {"dapi": (1, rows, cols), "her2": (3, rows, cols), **dict.fromkeys(parts, (3, rows, cols))}


def infer(network, image):
    with torch.no_grad():
        return network.eval()(image)


IMAGE = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(4)) * 2 - 1


def test_the_segmentation_is_the_weighted_sum_of_its_parts():
    outputs = infer(seeded(TWO, replace(SMALL, segmentation_weights=(0.2, 0.3, 0.5))), IMAGE)
    parts = [outputs[f"segmentation_from_{source}"] for source in ("input", "dapi", "her2")]
    torch.testing.assert_close(outputs["segmentation"], 0.2 * parts[0] + 0.3 * parts[1] + 0.5 * parts[2])


def test_a_part_is_made_from_its_inferred_modality():
    network = seeded(TWO, WEIGHTED)
    outputs = infer(network, IMAGE)
    with torch.no_grad():
        assert torch.equal(network.segmenters["her2"](outputs["her2"]), outputs["segmentation_from_her2"])
        assert torch.equal(network.segmenters["input"](IMAGE), outputs["segmentation_from_input"])


def test_a_generator_of_weight_zero_does_not_exist():
    assert set(seeded(TWO, WEIGHTED).segmenters) == {"input", "her2"}


@pytest.mark.parametrize("count", [0, 1, 4, 10])
def test_there_may_be_up_to_ten_modalities(count):
    outputs = infer(seeded(panel_of(count), SMALL), IMAGE)
    assert sum(not name.startswith("segmentation") for name in outputs) == count
    assert outputs["segmentation"].shape == (1, 3, 32, 32)


def test_eleven_modalities_are_refused():
    with pytest.raises(ValueError, match="at most 10 modalities, got 11"):
        DeepLIIFNetwork(panel_of(11), SMALL)


def test_without_a_segmentation_there_are_only_modalities():
    outputs = infer(seeded(Panel(channels=(Channel(name="dapi"),)), SMALL), IMAGE)
    assert set(outputs) == {"dapi"}


def test_several_input_images_are_read_as_one_stack():
    network = seeded(TWO, replace(WEIGHTED, inputs=2))
    outputs = infer(network, torch.cat([IMAGE, -IMAGE], dim=1))
    assert outputs["segmentation"].shape == (1, 3, 32, 32)


def test_the_weights_are_those_of_the_paper_unless_said_otherwise():
    four = Panel(channels=tuple(channel for channel in DEFAULT_PANEL.channels if channel.role != "distance"), marker="marker")
    expected = {"input": 0.25, "hematoxylin": 0.15, "dapi": 0.25, "lap2": 0.1, "marker": 0.25}
    assert segmentation_weights(four, DeepLIIFOptions()) == expected
    assert segmentation_weights(TWO, DeepLIIFOptions()) == dict.fromkeys(("input", "dapi", "her2"), 1 / 3)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.5, 0.4, 0.0), (1.5, -0.5, 0.0), (float("nan"), 0.5, 0.5)])
def test_weights_that_are_no_weights_are_refused(weights):
    with pytest.raises(ValueError, match="segmentation weights"):
        DeepLIIFNetwork(TWO, replace(SMALL, segmentation_weights=weights))


def test_generators_may_differ():
    options = replace(WEIGHTED, translator=("resnet_1blocks", "unet_64"), segmenter=("unet_32", "unet_32", "resnet_1blocks"))
    network = seeded(TWO, options)
    assert network.stride_px == 64
    assert network.segmenters["her2"].stride_px == 4


@pytest.mark.parametrize(
    ("panel", "options", "message"),
    [
        (Panel(channels=()), SMALL, "empty"),
        (Panel(channels=(Channel(name="dapi"), DISTANCE)), SMALL, "no channel like .*distance"),
        (Panel(channels=(Channel(name="input"),)), SMALL, "may be called 'input'"),
        (TWO, replace(SMALL, translator=("unet_32",)), "expected one translator or 2 of them, got 1"),
    ],
)
def test_what_cannot_be_built_is_refused(panel, options, message):
    with pytest.raises(ValueError, match=message):
        DeepLIIFNetwork(panel, options)
