"""What a model reads and writes: named channels, their colours and their roles.

A ``Panel`` is pure description. It knows no file format and no network.
"""

from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Literal

Role = Literal["modality", "segmentation", "distance"]
"""``modality``: an inferred image. ``segmentation``: red positive, green boundary, blue negative probability, as published by
DeepLIIF. ``distance``: depth inside the nucleus, 1 at its centre, 0 at its edge."""

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One output of a model."""

    name: str
    """Lower-case identifier: the map's name and the stem of its file."""
    role: Role = "modality"
    planes: int = 1
    """1 for an intensity map, 3 for an RGB image."""
    colour: Colour = (255, 255, 255)
    """RGB, 0-255, in which a one-plane map is displayed."""
    title: str = ""
    """The name shown to people; the identifier when empty."""
    reach_um: float = 0.0
    """Segmentation only: how far a nucleus reaches beyond its red or blue interior into the green boundary, in micrometres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The outputs of a model in order, with unique names and at most one channel of each of the last two roles."""

    channels: tuple[Channel, ...]
    marker: str | None = None
    """Name of the modality that shows the counted protein."""

    def __post_init__(self) -> None:
        names = [channel.name for channel in self.channels]
        if len(set(names)) != len(names):
            raise ValueError(f"channel names must differ: {names}")
        if self.marker is not None and self.marker not in names:
            raise ValueError(f"the marker {self.marker!r} is not among the channels {names}")
        for role in ("segmentation", "distance"):
            if sum(channel.role == role for channel in self.channels) > 1:
                raise ValueError(f"a panel has at most one {role} channel")

    def __getitem__(self, name: str) -> Channel:
        for channel in self.channels:
            if channel.name == name:
                return channel
        raise KeyError(f"no channel {name!r}; there are {[channel.name for channel in self.channels]}")

    def of_role(self, role: Role) -> Channel | None:
        """Return the first channel of a role; None when the model has none."""
        return next((channel for channel in self.channels if channel.role == role), None)

    def only(self, names: Container[str]) -> "Panel":
        """Return the channels of some names, in the order of the panel; names that are not there say nothing."""
        channels = tuple(channel for channel in self.channels if channel.name in names)
        marker = self.marker if any(channel.name == self.marker for channel in channels) else None
        return Panel(channels=channels, marker=marker)

    @property
    def modalities(self) -> tuple[Channel, ...]:
        """The inferred images, in order."""
        return tuple(channel for channel in self.channels if channel.role == "modality")

    @property
    def planes(self) -> int:
        """Number of planes of all channels together."""
        return sum(channel.planes for channel in self.channels)


SEGMENTATION = Channel(name="segmentation", role="segmentation", planes=3, title="Segmentation")
DISTANCE = Channel(name="distance", role="distance", title="Distance inside the nucleus")

LINED_SEGMENTATION = replace(SEGMENTATION, reach_um=0.5)
"""With a boundary line of 3 px of 0.25 um, centred on the edge of the nucleus: two of them are nucleus."""

DEFAULT_PANEL = Panel(
    channels=(
        Channel(name="hematoxylin", planes=3, title="Hematoxylin"),
        Channel(name="dapi", colour=(255, 255, 255), title="DAPI"),
        Channel(name="lap2", colour=(0, 255, 0), title="LAP2beta"),
        Channel(name="marker", colour=(255, 255, 255), title="Marker"),
        LINED_SEGMENTATION,
        DISTANCE,
    ),
    marker="marker",
)
"""The four modalities of DeepLIIF (Ghahremani et al., 2022), the segmentation, and a distance map that splits nuclei."""
