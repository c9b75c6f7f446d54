"""The images in a TIFF file, each with the pages of its levels, whatever order they are in and however they are marked.

An image may be a page, a page with smaller ones behind it or in its SubIFDs, a SubIFD of a page that is its thumbnail, or three
grey pages that say that they are red, green and blue. No pixels are read here.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import tifffile

from counterstain.geometry import Size
from counterstain.slides.choosing import COARSER, Candidate
from counterstain.slides.pixel_size import Stated
from counterstain.slides.tiffs.ome_xml import RGB, OmeImage, colour_order, ome_images
from counterstain.slides.tiffs.resolution import stated_by_tiff
from counterstain.slides.turning import UPRIGHT, turned_size

MAX_FIELDS = 256
"""More pages of one size are a stack, not fields."""

_NAME_CHARACTERS = 60
"""Characters of a description that may be a name; a longer one is not."""

_PAGE_NAME, _OLD_SUBFILE_TYPE, _OLD_REDUCED, _MAX_SAMPLE_VALUE = 285, 255, 2, 281


@dataclass(frozen=True, slots=True)
class Part:
    """Where one sample of all pixels of a level lies, or all samples where they lie together."""

    page: Any
    first: int = 0
    """Number of its first strip or tile in the page."""


Level = tuple[Part, ...]
"""One part, or one for each sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffImage:
    """One image of a file."""

    candidate: Candidate
    levels: tuple[Level, ...]
    """The largest first."""
    stated: Stated
    white: int | None
    """The largest value that a pixel can have, where the file says so."""
    orientation: int
    stack: str
    """What it is where it is not a single image, for messages; empty where it is one."""
    is_of_colours: bool
    """Whether its three parts are red, green and blue."""

    @property
    def page(self) -> Any:
        """The first page."""
        return self.levels[0][0].page


def images_of(tiff: tifffile.TiffFile) -> list[TiffImage]:
    """Return every image of a file, in its order; levels of a pyramid, and pages without pixels, do not count."""
    described = _matched(ome_images(tiff.ome_metadata), tiff.series)
    found = [*chain.from_iterable(_images(tiff, series, described.get(number)) for number, series in enumerate(tiff.series))]
    thumbnails = {_root(image.page) for image in found if _is_larger_than_its_parent(image.page, tiff)}
    return [_numbered(image, number, thumbnails) for number, image in enumerate(found)]


def _numbered(image: TiffImage, number: int, thumbnails: set[int]) -> TiffImage:
    is_thumbnail = not image.page.is_subifd and _root(image.page) in thumbnails
    candidate = replace(image.candidate, number=number, is_reduced=image.candidate.is_reduced or is_thumbnail)
    return replace(image, candidate=candidate)


def _root(page: Any) -> int:
    return int(page.treeindex[0])


def _is_larger_than_its_parent(page: Any, tiff: tifffile.TiffFile) -> bool:
    if not page.is_subifd:
        return False
    parent = tiff.pages[_root(page)].aspage()
    return bool(_size(page).area > _size(parent).area)


def _matched(described: Sequence[OmeImage], series: Sequence[Any]) -> Mapping[int, OmeImage]:
    """Return which element describes which series: both keep their order, and an element without pixels has no series."""
    found, rest = {}, list(described)
    for number, one in enumerate(series):
        if one.kind == "ome":
            fits = [at for at, element in enumerate(rest) if element.size == _size(one.keyframe)]
            same = [at for at in fits if rest[at].name == (one.name or "")] or fits
            if same:
                found[number] = rest[same[0]]
                del rest[: same[0] + 1]
    return found


def _images(tiff: tifffile.TiffFile, series: Any, described: OmeImage | None) -> Iterator[TiffImage]:
    """Yield the images of a series of tifffile: one, or as many as it has pages of one size and no other meaning."""
    name = (described.name if described else series.name) or ""
    leading = [
        (axis, length) for axis, length in zip(series.axes, series.shape, strict=True) if axis not in "YXS" and length > 1
    ]
    if not series.keyframe.imagelength * series.keyframe.imagewidth:
        yield _image(tiff, [(Part(series.keyframe),)], described, name)
        return
    colours = _colours(tiff, series, described, leading)
    if any(page is not None and page.parent is not tiff for page in series.pages):
        yield _image(tiff, [(Part(series.keyframe),)], described, name, stack="spread over several files")
    elif colours:
        yield _image(tiff, [_in_order(level, colours) for level in series.levels], described, name, is_of_colours=True)
    elif not leading:
        for levels in _pyramids(tiff, [level.keyframe for level in series.levels]):
            yield _image(tiff, [_parts(page) for page in levels], described, name)
    elif _are_fields(series, leading):
        for number in range(len(series.pages)):
            levels = [level.pages[number].aspage() for level in series.levels if len(level.pages) == len(series.pages)]
            yield _image(tiff, [_parts(page) for page in levels], described, name)
    else:
        stack = f"a stack with axes {series.axes} and shape {series.shape}"
        yield _image(tiff, [(Part(series.keyframe),)], described, name, stack=stack)


def _pyramids(tiff: tifffile.TiffFile, levels: Sequence[Any]) -> list[Sequence[Any]]:
    """Return the levels of a pyramid together. Of two pages, the second may be a field of its own that has half the sides.

    It is one where nothing says that it is a level: it is not a SubIFD, is not marked, and does not state coarser pixels.
    """
    if len(levels) != 2 or levels[1].is_reduced or levels[1].is_subifd:
        return [levels]
    full, half = (stated_by_tiff(tiff, page, None, UPRIGHT).sides for page in levels)
    is_coarser = full is not None and half is not None and max(half) > COARSER * max(full)
    return [levels] if is_coarser else [levels[:1], levels[1:]]


def _image(
    tiff: tifffile.TiffFile,
    levels: Sequence[Level],
    described: OmeImage | None,
    name: str,
    *,
    stack: str = "",
    is_of_colours: bool = False,
) -> TiffImage:
    page = levels[0][0].page
    orientation = _orientation(page)
    stated = stated_by_tiff(tiff, page, described, orientation)
    return TiffImage(
        candidate=Candidate(
            number=0,
            name=_name(page, name),
            size=turned_size(_size(page), orientation),
            sides=stated.sides,
            is_reduced=bool(page.is_reduced or page.is_mask or _number(page, _OLD_SUBFILE_TYPE) == _OLD_REDUCED),
        ),
        levels=tuple(levels),
        stated=stated,
        white=_stated_white(page, described),
        orientation=orientation,
        stack=stack,
        is_of_colours=is_of_colours,
    )


def _parts(page: Any) -> Level:
    """Return the parts of a page: one, or one for each sample where the page keeps them apart."""
    if page.planarconfig != tifffile.PLANARCONFIG.SEPARATE or page.samplesperpixel == 1:
        return (Part(page),)
    each = len(page.dataoffsets) // page.samplesperpixel
    return tuple(Part(page, number * each) for number in range(page.samplesperpixel))


def _in_order(level: Any, colours: Sequence[int]) -> Level:
    """Return the parts of a level of three grey planes in the order red, green, blue."""
    parts = _parts(level.keyframe) if len(level.pages) == 1 else [Part(page.aspage()) for page in level.pages]
    return tuple(parts[number] for number in colours)


def _colours(
    tiff: tifffile.TiffFile, series: Any, described: OmeImage | None, leading: Sequence[tuple[str, int]]
) -> Sequence[int] | None:
    """Return where red, green and blue are among the planes of a series; None where it has no such three grey planes."""
    page, pages = series.keyframe, series.pages
    apart = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel == len(RGB)
    planes = page.samplesperpixel if apart else math.prod(length for _, length in leading) if page.samplesperpixel == 1 else 0
    if planes != len(RGB) or page.photometric != tifffile.PHOTOMETRIC.MINISBLACK:
        return None
    if (not apart and len(pages) != len(RGB)) or any(one is None for one in pages):
        return None
    if described:
        return described.colours
    labels = (tiff.imagej_metadata or {}).get("Labels") or []
    return colour_order(labels) or (None if apart else colour_order([_text(one.aspage()) for one in pages]))


def _are_fields(series: Any, leading: Sequence[tuple[str, int]]) -> bool:
    """Return whether the pages of a series are images of their own: nothing says that they are planes, channels or times."""
    count = math.prod(length for _, length in leading)
    is_plain = series.kind not in ("ome", "imagej") and all(axis in "IQ" for axis, _ in leading)
    return is_plain and count == len(series.pages) <= MAX_FIELDS and all(page is not None for page in series.pages)


def _name(page: Any, name: str) -> str:
    """Return the name of an image, or what its page says of it in few words."""
    return name or next((text for text in (_text(page), _kind(page)) if text), "")


def _text(page: Any) -> str:
    """Return the name of a page, or its description where that is short and no metadata."""
    named = page.tags.valueof(_PAGE_NAME)
    text = named if isinstance(named, str) else page.description
    text = text.strip("\0 \r\n\t")
    return text if len(text) <= _NAME_CHARACTERS and not any(sign in text for sign in "{<=\n") else ""


def _kind(page: Any) -> str:
    """Return the kind of image that a longer description of a page begins or ends with, as those of Aperio do."""
    lines = page.description.splitlines()
    return lines[1].strip()[:_NAME_CHARACTERS] if len(lines) > 1 and not lines[1][:1].isdigit() and "=" not in lines[1] else ""


def _stated_white(page: Any, described: OmeImage | None) -> int | None:
    """Return the largest value of a pixel by the bits that are used, or by the tag MaxSampleValue."""
    bits = [page.bitspersample, described.significant_bits if described else None]
    fewest = min((count for count in bits if count and count > 8), default=16)
    highest = _number(page, _MAX_SAMPLE_VALUE)
    return 2**fewest - 1 if fewest < 16 else highest or None


def _orientation(page: Any) -> int:
    value = _number(page, 274)
    return value if value in range(1, 9) else UPRIGHT


def _number(page: Any, tag: int) -> int:
    """Return the first number of a tag; 0 where there is none."""
    value = page.tags.valueof(tag)
    first = value[0] if isinstance(value, tuple) and value else value
    return int(first) if isinstance(first, int) else 0


def _size(page: Any) -> Size:
    return Size(page.imagelength, page.imagewidth)
