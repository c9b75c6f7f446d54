"""What the OME-XML of a file says of its images: names, sizes, pixel sizes, and whether three channels are red, green and blue.

The XML may be damaged or of another file: what cannot be understood counts as not stated. Knows no file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from counterstain.geometry import Size
from counterstain.slides.pixel_size import UM_OF_UNIT, Sides

_COLOURS = {"red": 0xFF0000, "green": 0x00FF00, "blue": 0x0000FF}
_LETTERS = {"r": "red", "g": "green", "b": "blue"}
RGB = ("red", "green", "blue")

_FLUORESCENCE = ("Fluor", "EmissionWavelength", "ExcitationWavelength")


@dataclass(frozen=True, slots=True, kw_only=True)
class OmeImage:
    """One ``Image`` element."""

    name: str
    size: Size
    sides: Sides | None
    """Height and width of a pixel in micrometres, as stated, believable or not."""
    significant_bits: int | None
    colours: tuple[int, ...] | None
    """Of three channels that are red, green and blue, in any order: the number of each of these; None for others."""


def ome_images(text: str | None) -> list[OmeImage]:
    """Return the images that OME-XML describes, in their order; none where it is not XML."""
    if not text:
        return []
    try:
        root = ET.fromstring(text)  # noqa: S314 (expat bounds the growth of entities, and opens nothing)
    except ET.ParseError:
        return []
    return [image for element in _children(root, "Image") for image in _image(element)]


def colour_order(names: Sequence[str]) -> tuple[int, ...] | None:
    """Return where red, green and blue are among three names of channels, None where the names say no such thing."""
    plain = [_LETTERS.get(name.strip().lower(), name.strip().lower()) for name in names]
    return tuple(plain.index(colour) for colour in RGB) if sorted(plain) == sorted(RGB) else None


def _image(element: ET.Element) -> Iterator[OmeImage]:
    for pixels in _children(element, "Pixels"):
        try:
            size = Size(int(pixels.attrib["SizeY"]), int(pixels.attrib["SizeX"]))
        except (KeyError, ValueError):
            continue
        yield OmeImage(
            name=element.get("Name", ""),
            size=size,
            sides=_sides(pixels),
            significant_bits=_bits(pixels),
            colours=_colours([*_children(pixels, "Channel")]),
        )


def _children(element: ET.Element, name: str) -> Iterator[ET.Element]:
    return (child for child in element if child.tag.rpartition("}")[2] == name)


def _sides(pixels: ET.Element) -> Sides | None:
    try:
        down, across = (
            float(pixels.attrib[f"PhysicalSize{axis}"]) * UM_OF_UNIT[pixels.get(f"PhysicalSize{axis}Unit", "µm")]
            for axis in "YX"
        )
    except (KeyError, ValueError):
        return None
    return (down, across) if 0 < down < float("inf") and 0 < across < float("inf") else None


def _bits(pixels: ET.Element) -> int | None:
    text = pixels.get("SignificantBits", "")
    return int(text) if text.isdecimal() and text.isascii() else None


def _colours(channels: list[ET.Element]) -> tuple[int, ...] | None:
    """Return the order of colours by the names of the channels, else by the colours that they are shown in.

    Fluorescence is shown in red, green and blue too, so a channel of a dye or with a name of its own is not a colour.
    """
    by_name = colour_order([channel.get("Name", "") for channel in channels])
    if by_name or any(channel.get("Name") or any(channel.get(key) for key in _FLUORESCENCE) for channel in channels):
        return by_name
    shown = [_shown(channel) for channel in channels]
    return tuple(shown.index(colour) for colour in _COLOURS.values()) if sorted(shown) == sorted(_COLOURS.values()) else None


def _shown(channel: ET.Element) -> int:
    """Return the colour 0xRRGGBB of a channel, which OME writes as a signed 0xRRGGBBAA; -1 without one."""
    text = channel.get("Color", "")
    return (int(text) & 0xFFFFFFFF) >> 8 if text.removeprefix("-").isdecimal() and text.isascii() else -1
