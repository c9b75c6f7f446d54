"""The tables of finished blocks on disk, so that a run that is killed need not cut them again.

A part is an ``.npz`` of the columns, the outlines strung together and the number of points of each. It appears as a whole.
"""

import os
import secrets
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.seams import joined
from counterstain.cells.segment import Rules, segment_block
from counterstain.cells.table import COLUMNS, Cells
from counterstain.geometry import Box
from counterstain.slides.base import Slide
from counterstain.stitching.maps import Maps

_POINTS, _LENGTHS = "outline_points", "outline_lengths"


def segment_kept(
    slide: Slide,
    maps: Maps,
    blocks: Sequence[Box],
    rules: Rules,
    folder: Path,
    *,
    on_block: Callable[[int, int], None] | None = None,
) -> Cells:
    """Return the table of the nuclei of some blocks, taking those that are in the folder from there.

    Parameters
    ----------
    blocks : of one lattice, each of maps that are finished.
    folder : made when missing; gets the table of each block as soon as it is cut.
    on_block : called with the number of blocks done and of all blocks after each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for done, block in enumerate(blocks, start=1):
        path = part_path(folder, block)
        part = read_part(path, rules.thresholds)
        if part is None:
            part = segment_block(slide, maps, block, rules)
            write_part(path, part)
        parts.append(part)
        if on_block:
            on_block(done, len(blocks))
    return joined(parts, rules.thresholds)


def part_path(folder: Path, block: Box) -> Path:
    """Return where the table of a block lies."""
    return folder / f"{block.row}_{block.col}.npz"


def write_part(path: Path, cells: Cells) -> None:
    """Write a table. Two processes may write the same one at once: each has a hidden file of its own until it is whole."""
    lengths = np.array([len(ring) for ring in cells.outlines], np.int64)
    points = np.concatenate([np.empty((0, 2)), *cells.outlines])
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with hidden.open("wb") as file:
        np.savez(file, **{**cells.columns, _POINTS: points, _LENGTHS: lengths})  # type: ignore[arg-type]
    os.replace(hidden, path)  # noqa: PTH105 (the one call that disk-full tests intercept)


def read_part(path: Path, thresholds: dict[str, float | str | None]) -> Cells | None:
    """Return the table that ``write_part`` wrote, or None when there is none that can be read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            columns = {name: content[name] for name in COLUMNS}
            return Cells(columns=columns, outlines=_rings(content[_POINTS], content[_LENGTHS]), thresholds=thresholds)
    except (FileNotFoundError, zipfile.BadZipFile, EOFError, KeyError, ValueError):
        return None


def _rings(points: NDArray[np.float64], lengths: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    return np.split(points, np.cumsum(lengths)[:-1]) if len(lengths) else []
