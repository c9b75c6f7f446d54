"""What every network must do, and what the compact one is."""

import pytest
import torch

from counterstain.errors import UsageError
from counterstain.panel import DEFAULT_PANEL, DISTANCE, SEGMENTATION, Channel, Panel
from counterstain.training.networks.compact import CompactNetwork, CompactOptions
from counterstain.training.tasks.compact import segment_with


@pytest.fixture(scope="module")
def network() -> CompactNetwork:
    torch.manual_seed(0)
    return CompactNetwork(DEFAULT_PANEL).eval()


def test_every_channel_has_the_size_of_the_input(network: CompactNetwork) -> None:
    with torch.no_grad():
        outputs = network(torch.zeros(2, 3, 64, 96))
    shapes = {name: tuple(output.shape) for name, output in outputs.items()}
    assert shapes == {
        "hematoxylin": (2, 3, 64, 96),
        "dapi": (2, 1, 64, 96),
        "lap2": (2, 1, 64, 96),
        "marker": (2, 1, 64, 96),
        "class_logits": (2, 4, 64, 96),
        "distance": (2, 1, 64, 96),
    }


def test_a_side_that_is_no_multiple_of_the_stride_is_refused(network: CompactNetwork) -> None:
    with pytest.raises(ValueError, match=f"multiples of {CompactOptions().stride_px}"):
        network(torch.zeros(1, 3, 64, 65))


def test_the_answer_for_an_image_does_not_depend_on_its_neighbours_in_the_batch(network: CompactNetwork) -> None:
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        together, alone = network(images), network(images[1:2])
    for name, output in alone.items():
        torch.testing.assert_close(together[name][1:2], output, atol=1e-5, rtol=0)


def test_the_segmentation_reads_the_inferred_modalities(network: CompactNetwork) -> None:
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    changed = CompactNetwork(DEFAULT_PANEL)
    changed.load_state_dict(network.state_dict())
    changed.eval()
    with torch.no_grad():
        changed.modality_head.bias += 2.0
        assert not torch.allclose(network(image)["class_logits"], changed(image)["class_logits"])


def test_widths_and_depths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="of one length"):
        CompactOptions(widths=(32, 64), depths=(1,))
    with pytest.raises(UsageError, match="at least 1"):
        CompactOptions(widths=(32, 0), depths=(1, 1))


def test_the_network_does_not_see_beyond_its_margin() -> None:
    torch.manual_seed(0)
    network = CompactNetwork(DEFAULT_PANEL, CompactOptions(widths=(8, 8), depths=(0, 1))).eval()
    image = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(5))
    changed = image.clone()
    changed[..., :16] = 0.5
    with torch.no_grad():
        assert torch.equal(network(image)["distance"][..., 64:], network(changed)["distance"][..., 64:])


def test_gradient_reaches_every_weight() -> None:
    network = CompactNetwork(DEFAULT_PANEL)
    outputs = network(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3)))
    torch.stack([output.square().mean() for output in outputs.values()]).sum().backward()
    without = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.abs().sum() > 0]
    assert without == []


def test_the_network_fits_the_package() -> None:
    megabytes = 4e-6 * sum(weight.numel() for weight in CompactNetwork(DEFAULT_PANEL).parameters())
    assert megabytes < 12


def test_any_panel_can_be_learned() -> None:
    two = Panel(channels=(Channel(name="dapi"), Channel(name="her2", planes=3), SEGMENTATION, DISTANCE), marker="her2")
    with torch.no_grad():
        outputs = CompactNetwork(two).eval()(torch.zeros(1, 3, 32, 32))
    assert outputs["her2"].shape == (1, 3, 32, 32)


def test_the_segmentation_planes_are_probabilities_of_positive_boundary_and_negative(network: CompactNetwork) -> None:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        segmentation = segment_with(network)(image)["segmentation"]
        shares = torch.softmax(network((image - 0.5) / 0.5)["class_logits"], dim=1)
    torch.testing.assert_close(segmentation, shares[:, [2, 3, 1]])
