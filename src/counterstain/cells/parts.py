"""The tables of finished blocks on disk: after a crash they need not be cut again, and none of them stays in memory.

A part is an ``.npz`` of the columns, all outlines one after the other, and the number of points of each. It is there as a whole
or not at all.
"""

import os
import secrets
import zipfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.seams import joined
from counterstain.cells.segment import Rules, segment_block
from counterstain.cells.table import COLUMNS, Cells, Thresholds
from counterstain.cells.threads import in_threads
from counterstain.errors import OutputError
from counterstain.geometry import Box
from counterstain.progress import OnProgress, PartsDone, unheard
from counterstain.slides.base import Slide
from counterstain.slides.taking_turns import TakingTurns
from counterstain.stitching.maps import Maps

Content = TypeVar("Content")

Cut = Callable[[Sequence[Box]], Generator[tuple[Box, int], None, None]]
"""Writes the tables of blocks and yields each block, in any order, with the number of its nuclei."""

_POINTS, _LENGTHS = "outline_points", "outline_lengths"
_DAMAGES = (FileNotFoundError, zipfile.BadZipFile, EOFError, KeyError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCells:
    """A ``CellTable`` over the tables of all blocks of a slide; only columns that were asked for are in memory.

    Raises
    ------
    OutputError
        A table of a block was removed or damaged in the meantime.
    """

    folder: Path
    blocks: tuple[Box, ...]
    """Of one lattice, row by row."""
    thresholds: Thresholds
    count: int
    _columns: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, column: str) -> NDArray[Any]:
        if column not in self._columns:
            parts = [self._column(row, column) for row in _rows(self.blocks)]
            self._columns[column] = np.concatenate([np.empty(0, COLUMNS[column]), *parts], dtype=COLUMNS[column])
        return self._columns[column]

    def parts(self) -> Iterator[Cells]:
        """Yield the nuclei of one row of blocks after the other; each belongs to the row that holds its first pixel."""
        for row in _rows(self.blocks):
            paths = [part_path(self.folder, block) for block in row]
            yield joined([_there(read_part(path, self.thresholds), path) for path in paths], self.thresholds)

    def within(self, box: Box) -> Cells:
        """Return the nuclei that reach into a box; all blocks are looked through, as a nucleus may reach beyond its own."""
        return joined([part.within(box) for part in self.parts()], self.thresholds)

    def _column(self, row: Sequence[Box], column: str) -> NDArray[Any]:
        """Return a column of the nuclei of one row of blocks, in the order of ``cell_id``."""
        paths = [part_path(self.folder, block) for block in row]
        pairs = [_there(_read_columns(path, ("cell_id", column)), path) for path in paths]
        order = np.argsort(np.concatenate([cell_ids for cell_ids, _ in pairs]), kind="stable")
        values: NDArray[Any] = np.concatenate([values for _, values in pairs])[order]
        return values


def segment_kept(
    slide: Slide,
    maps: Maps,
    blocks: Sequence[Box],
    rules: Rules,
    folder: Path,
    *,
    threads: int = 1,
    tell: OnProgress = unheard,
) -> KeptCells:
    """Cut some blocks and return the table of their nuclei; a block whose table is in the folder is not cut again.

    Parameters
    ----------
    blocks : of one lattice, row by row, each of maps that are finished.
    folder : made when missing; gets the table of each block as soon as it is cut.
    threads : blocks that are cut at the same time.
    tell : called after each block.
    """
    cut = lambda missing: cut_blocks(slide, maps, missing, rules, folder, threads=threads)  # noqa: E731
    return keep_cells(folder, blocks, rules.thresholds, cut, tell=tell)


def keep_cells(folder: Path, blocks: Sequence[Box], thresholds: Thresholds, cut: Cut, *, tell: OnProgress) -> KeptCells:
    """Return the table of the nuclei of some blocks; blocks without a table in the folder are cut first, by ``cut``.

    Parameters
    ----------
    folder : made when missing; gets the table of each block as soon as it is cut.
    blocks : of one lattice, row by row.
    cut : writes the tables of some of the blocks into the folder.
    tell : called after each block.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counts = _counts(folder, blocks, thresholds)
    count = PartsDone("cells", blocks, tell)
    count.before(counts)
    with closing(cut([block for block in blocks if block not in counts])) as done:
        for block, nuclei in done:
            counts[block] = nuclei
            count.add(block)
    return KeptCells(folder=folder, blocks=tuple(blocks), thresholds=thresholds, count=sum(counts.values()))


def _counts(folder: Path, blocks: Sequence[Box], thresholds: Thresholds) -> dict[Box, int]:
    """Return the number of nuclei of each block whose table is in the folder and readable."""
    found = ((block, read_part(part_path(folder, block), thresholds)) for block in blocks)
    return {block: len(part) for block, part in found if part is not None}


def cut_blocks(
    slide: Slide, maps: Maps, blocks: Sequence[Box], rules: Rules, folder: Path, *, threads: int = 1
) -> Generator[tuple[Box, int], None, None]:
    """Cut blocks and write the table of each into a folder; yield each, with the number of its nuclei, in their order."""
    shared = TakingTurns(slide)

    def cut_and_write(block: Box) -> tuple[Box, int]:
        cells = segment_block(shared, maps, block, rules)
        write_part(part_path(folder, block), cells)
        return block, len(cells)

    yield from in_threads(cut_and_write, blocks, threads)


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


def read_part(path: Path, thresholds: Thresholds) -> Cells | None:
    """Return the table that ``write_part`` wrote, or None when there is none that can be read."""
    found = _read_columns(path, (*COLUMNS, _POINTS, _LENGTHS))
    if found is None:
        return None
    *columns, points, lengths = found
    try:
        return Cells(columns=dict(zip(COLUMNS, columns, strict=True)), outlines=_rings(points, lengths), thresholds=thresholds)
    except ValueError:
        return None


def _read_columns(path: Path, names: Sequence[str]) -> list[NDArray[Any]] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            return [content[name] for name in names]
    except _DAMAGES:
        return None


def _there(content: Content | None, path: Path) -> Content:
    if content is None:
        raise OutputError(f"{path} was removed or damaged by another program; run the command again")
    return content


def _rows(blocks: Sequence[Box]) -> Iterator[list[Box]]:
    """Yield the blocks of each row of the lattice."""
    for _, row in groupby(blocks, key=lambda block: block.row):
        yield [*row]


def _rings(points: NDArray[np.float64], lengths: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    return np.split(points, np.cumsum(lengths)[:-1]) if len(lengths) else []
