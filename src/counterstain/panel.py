"""What a model reads and writes: named channels, their colours and their roles.

A ``Panel`` is pure description. It knows no file format and no network.
"""

import math
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from typing import Literal

Role = Literal["modality", "segmentation", "distance"]
"""``modality``: an inferred image. ``segmentation``: red positive, green boundary, blue negative probability, as published by
DeepLIIF. ``distance``: depth inside the nucleus, 1 at its centre, 0 at its edge."""

Colour = tuple[int, int, int]

OUTLINE_PX = 2
"""Width of outlines that are seen on a screen and hide little of a nucleus."""

MAX_NAME = 64
"""Characters of the name of a channel."""

MAX_TITLE = 200
"""Characters of the title of a channel."""

MAX_CHANNELS = 64

MAX_REACH_UM = 10.0
"""Half a large nucleus."""

RESERVED_NAMES = frozenset(
    {
        "analysis",
        "cells",
        "counterstain",
        "density",
        "maps",
        "modalities",
        "outlines",
        "overlay",
        "positive_density",
        "regions",
        "report",
        "scores",
        "segmentation",
        "summary",
        "thumbnail",
        "tiles",
    }
)
"""Stems of the files of a result that are not inferred images: a channel of such a name would replace one of them."""

DEVICE_NAMES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))})
"""Names that Windows keeps for devices, whatever follows a dot."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One output of a model."""

    name: str
    """Lower-case identifier: the map's name and the stem of its file. A letter, then letters, digits, ``_`` and ``-``."""
    role: Role = "modality"
    planes: int = 1
    """1 for an intensity map, 3 for an RGB image."""
    colour: Colour = (255, 255, 255)
    """RGB, 0-255, in which a one-plane map is displayed."""
    title: str = ""
    """The name shown to people; the identifier when empty."""
    reach_um: float = 0.0
    """Segmentation only: how far a nucleus reaches beyond its red or blue interior into the green boundary, in micrometres."""

    def __post_init__(self) -> None:
        faults = list(_channel_faults(self))
        if faults:
            raise ValueError("; ".join(faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The outputs of a model in order, with unique names and at most one channel of each of the last two roles."""

    channels: tuple[Channel, ...]
    marker: str | None = None
    """Name of the modality that shows the counted protein."""

    def __post_init__(self) -> None:
        names = [channel.name for channel in self.channels]
        if len(names) > MAX_CHANNELS:
            raise ValueError(f"a panel has at most {MAX_CHANNELS} channels, got {len(names)}")
        if len({name.lower() for name in names}) != len(names):
            raise ValueError(f"channel names must differ, in more than upper and lower case: {names}")
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
        """Return the channels of some names, in the order of the panel; names that the panel does not have are left out."""
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


def _channel_faults(channel: Channel) -> Iterator[str]:
    """Yield what is wrong with a channel: its name becomes that of a file, and its title is shown to people."""
    name, stem = channel.name[: MAX_NAME + 1], channel.name.lower()
    if len(channel.name) > MAX_NAME or not _NAME.fullmatch(channel.name):
        yield f"the channel name {name!r} must be a letter, then letters, digits, _ or -, {MAX_NAME} characters at most"
    if stem in DEVICE_NAMES:
        yield f"the channel name {name!r} is a device on Windows; choose another"
    if stem in RESERVED_NAMES and (stem, channel.role) != ("segmentation", "segmentation"):
        yield f"the channel name {name!r} is that of another file of a result; choose another"
    if len(channel.title) > MAX_TITLE or not channel.title.isprintable():
        yield f"the title of {name!r} must be at most {MAX_TITLE} printable characters, got {channel.title[:MAX_NAME]!r}"
    if channel.planes not in (1, 3):
        yield f"{name!r} must have 1 plane or 3, got {channel.planes}"
    if not all(0 <= value <= 255 for value in channel.colour):
        yield f"the colour of {name!r} must be three numbers from 0 to 255, got {channel.colour}"
    if not (math.isfinite(channel.reach_um) and 0 <= channel.reach_um <= MAX_REACH_UM):
        yield f"reach_um of {name!r} must be from 0 to {MAX_REACH_UM:g}, got {channel.reach_um}"


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
