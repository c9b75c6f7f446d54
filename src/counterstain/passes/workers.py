"""Who does the tiles and blocks of a slide, and the folder that they share.

Whoever does them, this process (``here``) or others (``counterstain.cluster``), they lie in the folder of work afterwards.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.decoders.base import Decoder
from counterstain.cells.segment import Rules
from counterstain.errors import SlideError
from counterstain.extras import require
from counterstain.geometry import Box
from counterstain.inference.bundle import Manifest
from counterstain.inference.run import grid_of
from counterstain.inference.stopwatch import Stopwatch
from counterstain.panel import Panel
from counterstain.slides.base import Slide
from counterstain.stitching.maps import Maps
from counterstain.stitching.work import Settings
from counterstain.tiling.grid import Tile
from counterstain.tiling.quality import TileQuality

MAPS, CELLS = "maps", "cells"
"""Subfolders of the folder of work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a process needs to work in the folder of work of a slide, which it may share with others."""

    work: Path
    settings: Settings
    """The settings that the folder must state."""
    panel: Panel
    """The maps that are kept."""


class Workers(Protocol):
    """Whoever does the tiles and blocks of one slide, with access to its file and its folder of work."""

    @property
    def needs_folder(self) -> bool:
        """Whether they work in a folder even where the slide fits in memory, as there is nothing else that they share."""

    def infer(
        self, tiles: Sequence[Tile], errand: Errand, stopwatch: Stopwatch
    ) -> Generator[tuple[Tile, TileQuality], None, None]:
        """Yield each of the tiles, in any order, as soon as its maps are written, with what is wrong with it.

        Parameters
        ----------
        stopwatch : gets the seconds spent waiting, as ``read`` and ``network`` where the two can be told apart.
        """

    def find_sizes(self, blocks: Sequence[Box], decoder: Decoder, errand: Errand) -> Generator[NDArray[np.int64], None, None]:
        """Yield, for each of the blocks, in any order, the (n,) int64 sizes in pixels of its nuclei."""

    def cut(self, blocks: Sequence[Box], rules: Rules, errand: Errand) -> Generator[tuple[Box, int], None, None]:
        """Yield each of the blocks, in any order, as soon as its table is written, with the number of its nuclei."""


def open_maps(slide: Slide, manifest: Manifest, errand: Errand) -> Maps:
    """Return the maps in the folder of work of a slide; those that are not there yet are made.

    Raises
    ------
    SlideError
        zarr is not installed.
    OutputError
        The maps are damaged.
    """
    require(f"{slide.name} does not fit in memory, so its maps lie on disk, which", ["zarr"], "slides", SlideError)
    from counterstain.stitching.store import open_stored_maps

    grid = grid_of(slide, manifest)
    return open_stored_maps(errand.work / MAPS, size=grid.size, mpp=manifest.mpp, panel=errand.panel, chunk_px=grid.core_px)
