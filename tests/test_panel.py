import pytest

from counterstain.panel import DEFAULT_PANEL, SEGMENTATION, Channel, Panel


def names_of(panel):
    return [channel.name for channel in panel.channels]


def test_a_part_of_a_panel_keeps_its_order_and_its_marker():
    part = DEFAULT_PANEL.only(["segmentation", "marker", "dapi", "unknown"])
    assert names_of(part) == ["dapi", "marker", "segmentation"]
    assert part.marker == "marker"


def test_a_part_without_the_marker_has_none():
    assert DEFAULT_PANEL.only({"dapi"}).marker is None
    assert Panel(channels=(SEGMENTATION,)).only({"segmentation"}).marker is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"channels": (Channel(name="a"), Channel(name="a"))},
        {"channels": (Channel(name="a"),), "marker": "b"},
        {"channels": (SEGMENTATION, Channel(name="other", role="segmentation"))},
    ],
)
def test_a_panel_that_contradicts_itself_is_refused(arguments):
    with pytest.raises(ValueError, match=r"differ|not among|at most one"):
        Panel(**arguments)
