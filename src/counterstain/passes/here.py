"""Do the tiles and blocks of one slide in this process: all of them, or those that a process of a cluster is given."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.decoders.base import Decoder
from counterstain.cells.parts import cut_blocks
from counterstain.cells.segment import Rules, areas_px
from counterstain.cells.threads import in_threads
from counterstain.files import explained
from counterstain.geometry import Box
from counterstain.inference.ahead import ahead
from counterstain.inference.backend import Backend
from counterstain.inference.run import grid_of, infer
from counterstain.inference.stopwatch import Stopwatch
from counterstain.passes.workers import CELLS, Errand, open_maps
from counterstain.slides.base import Slide
from counterstain.stitching.canvas import put
from counterstain.tiling.grid import Tile
from counterstain.tiling.quality import TileQuality


@dataclass(frozen=True, slots=True, kw_only=True)
class ThisProcess:
    """The ``Workers`` of a slide that is worked on by the process that asks."""

    slide: Slide
    """Open."""
    backend: Backend
    batch_size: int = 1
    """Tiles that the model sees at once; no result depends on it."""
    cutting_threads: int = 1
    """Blocks that are cut at the same time."""

    @property
    def needs_folder(self) -> bool:
        """False: this process shares its own memory."""
        return False

    def infer(
        self, tiles: Sequence[Tile], errand: Errand, stopwatch: Stopwatch
    ) -> Generator[tuple[Tile, TileQuality], None, None]:
        """Yield each tile when its maps are written; the network goes on meanwhile. See ``Workers.infer``."""
        maps = open_maps(self.slide, self.backend.manifest, errand)
        qualities: dict[Tile, TileQuality] = {}
        inferred = infer(
            self.slide,
            self.backend,
            grid_of(self.slide, self.backend.manifest),
            tiles=tiles,
            batch_size=self.batch_size,
            on_tile=qualities.__setitem__,
            stopwatch=stopwatch,
        )
        with closing(inferred), closing(ahead(inferred)) as made:
            for tile, values in made:
                with explained(errand.work):
                    put(maps, tile, values)
                yield tile, qualities.pop(tile)

    def find_sizes(self, blocks: Sequence[Box], decoder: Decoder, errand: Errand) -> Generator[NDArray[np.int64], None, None]:
        """Yield the sizes of the nuclei of each block; see ``Workers.find_sizes``."""
        maps = open_maps(self.slide, self.backend.manifest, errand)
        yield from in_threads(lambda block: areas_px(maps, block, decoder), blocks, self.cutting_threads)

    def cut(self, blocks: Sequence[Box], rules: Rules, errand: Errand) -> Generator[tuple[Box, int], None, None]:
        """Yield each block when its table is written; see ``Workers.cut``."""
        maps, folder = open_maps(self.slide, self.backend.manifest, errand), errand.work / CELLS
        with explained(folder):
            yield from cut_blocks(self.slide, maps, blocks, rules, folder, threads=self.cutting_threads)
