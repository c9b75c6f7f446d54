"""Cell data of the published DeepLIIF software, versions 3 to 6: read, written, and made of a label image.

Versions 3 and 5 are objects, versions 4 and 6 strings of base-92 digits; 3 and 4 hold the marker of a cell, 5 and 6 its optical
density. Positions are (x, y) in pixels.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from counterstain.analysis import Analysis
from counterstain.cells.contours import STEPS, chains, runs
from counterstain.cells.decoders.deepliif import NOISE_SIZE, SEGMENTATION_THRESHOLD
from counterstain.cells.deepliif_counts import density_image
from counterstain.errors import OutputError
from counterstain.files import replacing
from counterstain.geometry import Box
from counterstain.outputs.images.drawing import painted_labels
from counterstain.slides.base import size_at

Version = Literal[3, 4, 5, 6]
Point = tuple[int, int]

WRITTEN_VERSION: Version = 3
BASE, FIRST = 92, 35
"""Digits are the characters from number 35, most significant first."""

LONGEST_RUN = 10
"""Longer runs of a contour are split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedCell:
    """One cell as the published software describes it."""

    size: int
    """Pixels, holes included."""
    positive: bool
    value: int
    """Highest marker, 0-255, or mean optical density, 0-722, by the version."""
    bbox: tuple[Point, Point]
    """First and last pixel of the box, both inside."""
    centroid: Point
    boundary: tuple[Point, ...]
    """Where the contour turns, clockwise from the first pixel."""


def write_deepliif_cells(analysis: Analysis, path: Path) -> None:
    """Write the final cells as version 3, in pixels of the slide at full size."""
    found = list(published_cells(analysis, WRITTEN_VERSION))
    settings = {
        "default_size_thresh": 0,
        "noise_thresh": NOISE_SIZE,
        "large_noise_thresh": None,
        "seg_thresh": SEGMENTATION_THRESHOLD,
        "default_marker_thresh": None,
    }
    with replacing(path) as hidden:
        hidden.write_text(json.dumps(encoded(found, settings, WRITTEN_VERSION)), encoding="utf-8", newline="\n")


def encoded(cells: list[PublishedCell], settings: dict[str, Any], version: Version) -> dict[str, Any]:
    """Return the document of a version, made of JSON's own types alone."""
    encode = _packed if version in (4, 6) else _as_object
    name = "marker" if version in (3, 4) else "od"
    return {"cells": [encode(cell, name) for cell in cells], "settings": settings, "dataVersion": version}


def decoded(document: dict[str, Any]) -> list[PublishedCell]:
    """Return the cells of a document of any of the versions.

    Raises
    ------
    OutputError
        It is of another version, or not what its version says.
    """
    version = document.get("dataVersion")
    if version not in (3, 4, 5, 6):
        raise OutputError(f"cell data of version {version!r} are not read; expected dataVersion 3, 4, 5 or 6")
    name = "marker" if version in (3, 4) else "od"
    try:
        return [_unpacked(cell) if version in (4, 6) else _from_object(cell, name) for cell in document["cells"]]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise OutputError(f"the cell data are not those of version {version}: {error!r}") from error


def published_cells(analysis: Analysis, version: Version) -> Iterator[PublishedCell]:
    """Yield the final cells of an analysis, drawn in pixels of the slide at full size.

    A cell without a pixel centre of its own, because it is smaller than a pixel or covered by another, is left out. The optical
    density (versions 5 and 6) is of the slide's own pixels.
    """
    cells = analysis.cells
    labels = painted_labels(cells, Box.whole(analysis.slide.size), 1.0)
    if version in (3, 4):
        value = np.rint(np.nan_to_num(cells["marker_max"]) * 255).astype(np.int64)
    else:
        value = _mean_density_of(analysis)
    yield from cells_in(labels, cells["is_positive"], value)


def cells_in(labels: NDArray[np.int32], positive: NDArray[np.bool_], value: NDArray[np.int64]) -> Iterator[PublishedCell]:
    """Yield the cells of a label image in the order of their labels; labels without a pixel are left out.

    Parameters
    ----------
    labels : (h, w) int32; 1 to n are cells, anything else is not.
    positive, value : (n,).
    """
    count, width = len(positive), labels.shape[1]
    flat = labels.ravel()
    pixels = np.flatnonzero(flat > 0)
    owner = flat[pixels] - 1
    first = np.full(count, -1)
    first[owner[::-1]] = pixels[::-1]
    sizes = np.bincount(owner, minlength=count)
    there = np.flatnonzero(sizes)
    renumbered = np.zeros(count + 1, np.int32)
    renumbered[there + 1] = np.arange(1, len(there) + 1)
    contours = chains(renumbered[np.maximum(labels, 0)], first[there])
    rows, cols = np.divmod(pixels, width)
    top, left = (_extremes(owner, axis, count, np.minimum, np.iinfo(np.int64).max) for axis in (rows, cols))
    low, right = (_extremes(owner, axis, count, np.maximum, 0) for axis in (rows, cols))
    x, y = (np.rint(np.bincount(owner, axis, count) / np.maximum(sizes, 1)).astype(int) for axis in (cols, rows))
    for cell, chain in zip(there.tolist(), contours, strict=True):
        row, col = divmod(int(first[cell]), width)
        yield PublishedCell(
            size=int(sizes[cell]),
            positive=bool(positive[cell]),
            value=int(value[cell]),
            bbox=((int(left[cell]), int(top[cell])), (int(right[cell]), int(low[cell]))),
            centroid=(int(x[cell]), int(y[cell])),
            boundary=_corners(col, row, *runs(chain)),
        )


def _extremes(
    owner: NDArray[np.int32], values: NDArray[np.int64], count: int, extreme: np.ufunc, start: int
) -> NDArray[np.int64]:
    found = np.full(count, start, dtype=np.int64)
    extreme.at(found, owner, values)
    return found


def _mean_density_of(analysis: Analysis) -> NDArray[np.int64]:
    """Return (n,) int64: the mean density of each cell, on square pixels of the area of the slide's own."""
    cells, slide, mpp = analysis.cells, analysis.slide, analysis.slide.resolution.mpp
    whole, (down, across) = Box.whole(size_at(slide, mpp)), slide.resolution.factors(mpp)
    return mean_density(painted_labels(cells, whole, (1 / down, 1 / across)), density_image(slide.read(whole, mpp)), len(cells))


def mean_density(labels: NDArray[np.int32], density: NDArray[np.uint16], count: int) -> NDArray[np.int64]:
    """Return (count,) int64: the rounded mean of a density image over each label; 0 where there is no pixel."""
    inside = labels > 0
    totals = np.bincount(labels[inside], density[inside], count + 1)[1:]
    sizes = np.bincount(labels[inside], minlength=count + 1)[1:]
    return np.rint(totals / np.maximum(sizes, 1)).astype(np.int64)


def _corners(x: int, y: int, directions: NDArray[np.int8], lengths: NDArray[np.int64]) -> tuple[Point, ...]:
    """Return where each run begins; without a run, the one pixel."""
    moves = STEPS[directions] * lengths[:, None]
    starts = np.array((y, x)) + np.vstack([np.zeros((1, 2), np.int64), np.cumsum(moves, axis=0)])
    return tuple((int(col), int(row)) for row, col in starts[: max(1, len(moves))])


def _as_object(cell: PublishedCell, name: str) -> dict[str, Any]:
    return {
        "size": cell.size,
        "positive": cell.positive,
        name: cell.value,
        "bbox": [list(point) for point in cell.bbox],
        "centroid": list(cell.centroid),
        "boundary": [list(point) for point in cell.boundary],
    }


def _from_object(cell: dict[str, Any], name: str) -> PublishedCell:
    first, last = (_point(point) for point in cell["bbox"])
    return PublishedCell(
        size=int(cell["size"]),
        positive=bool(cell["positive"]),
        value=int(cell[name]),
        bbox=(first, last),
        centroid=_point(cell["centroid"]),
        boundary=tuple(_point(point) for point in cell["boundary"]),
    )


def _point(values: Any) -> Point:
    x, y = values
    return int(x), int(y)


def _packed(cell: PublishedCell, _: str) -> str:
    """Return a cell as digits: their numbers, size, class, first corner, then the rest relative to that corner."""
    (left, top), last = cell.bbox
    near = [value for x, y in (last, cell.centroid, cell.boundary[0]) for value in (x - left, y - top)]
    lengths = [_digits_needed(cell.size), _digits_needed(max(left, top)), _digits_needed(max(near))]
    head = (lengths[0] - 1) * 16 + (lengths[1] - 1) * 4 + lengths[2] - 1
    numbers = [(head, 1), (cell.size, lengths[0]), (cell.value * 2 + cell.positive, 2)]
    numbers += [(value, lengths[1]) for value in (left, top)] + [(value, lengths[2]) for value in near]
    return "".join(_digits(value, length) for value, length in numbers) + _freeman(cell.boundary)


def _unpacked(text: str) -> PublishedCell:
    head = ord(text[0]) - FIRST
    lengths = [head // 16 + 1, head // 4 % 4 + 1, head % 4 + 1]
    widths = [lengths[0], 2, *[lengths[1]] * 2, *[lengths[2]] * 6]
    stops = np.cumsum([1, *widths]).tolist()
    size, kind, left, top, *near = [_number(text[start:stop]) for start, stop in pairwise(stops)]
    last, centroid, start = ((left + near[at], top + near[at + 1]) for at in (0, 2, 4))
    return PublishedCell(
        size=size,
        positive=bool(kind % 2),
        value=kind // 2,
        bbox=((left, top), last),
        centroid=centroid,
        boundary=_boundary(start, text[stops[-1] :]),
    )


def _freeman(boundary: tuple[Point, ...]) -> str:
    """Return one character per run of at most ten steps: length * 8 + direction."""
    found = []
    for (x, y), (next_x, next_y) in pairwise(boundary):
        length = max(abs(next_x - x), abs(next_y - y))
        step = ((next_y > y) - (next_y < y), (next_x > x) - (next_x < x))
        direction = next(number for number, known in enumerate(STEPS.tolist()) if tuple(known) == step)
        parts = [LONGEST_RUN] * (length // LONGEST_RUN) + ([length % LONGEST_RUN] if length % LONGEST_RUN else [])
        found += [chr(part * 8 + direction + FIRST) for part in parts]
    return "".join(found)


def _boundary(start: Point, text: str) -> tuple[Point, ...]:
    """Join the runs that were split, and return where each begins and the last ends."""
    lengths, directions = np.divmod(np.array([ord(character) - FIRST for character in text], np.int64), 8)
    chain, steps = runs(np.repeat(directions, lengths).astype(np.int8))
    x, y = start
    return (start, *_corners(x, y, np.append(chain, 0).astype(np.int8), np.append(steps, 1))[1:]) if text else (start,)


def _digits_needed(value: int) -> int:
    return 1 if value < BASE else 1 + _digits_needed(value // BASE)


def _digits(value: int, length: int) -> str:
    places = [value // BASE**place % BASE for place in reversed(range(length))]
    return "".join(chr(digit + FIRST) for digit in places)


def _number(text: str) -> int:
    value = 0
    for character in text:
        value = value * BASE + ord(character) - FIRST
    return value
