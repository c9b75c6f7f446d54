"""What every ``Workers`` must do. Inherit, and give ``workers``, at the work of the slide of ``subject``, as a fixture.

The slide has tiles of several sizes, and nuclei of both classes.
"""

import numpy as np
import pytest

from counterstain.cells.parts import part_path, read_part
from counterstain.cells.segment import CellOptions, areas_px, rules_for, segment_block
from counterstain.geometry import Box
from counterstain.inference.run import grid_of
from counterstain.inference.stopwatch import Stopwatch
from counterstain.passes.here import ThisProcess
from counterstain.passes.on_disk import begin_work, errand_for
from counterstain.passes.workers import CELLS

BLOCK_PX = 400


class WorkersConformance:
    @pytest.fixture
    def errand(self, subject, tmp_path):
        """A folder of work that has just begun."""
        errand = errand_for(subject, CellOptions(), tmp_path / "work")
        begin_work(subject, errand)
        (errand.work / CELLS).mkdir()
        return errand

    @pytest.fixture
    def alone(self, subject, tmp_path):
        """Finished maps, as this process makes them."""
        errand = errand_for(subject, CellOptions(), tmp_path / "alone")
        maps = begin_work(subject, errand)
        here = ThisProcess(slide=subject.slide, backend=subject.backend)
        [*here.infer([*grid_of(subject.slide, subject.backend.manifest)], errand, Stopwatch())]
        return maps

    def test_each_tile_comes_once_with_its_maps_written_and_judged(self, workers, subject, errand, alone):
        tiles = [*grid_of(subject.slide, subject.backend.manifest)]
        maps = begin_work(subject, errand)
        found = {}
        for tile, quality in workers.infer(tiles, errand, Stopwatch()):
            assert tile not in found
            found[tile] = quality
            for name, plane in alone.planes.items():
                np.testing.assert_array_equal(maps[name].as_bytes(tile.keep), plane.as_bytes(tile.keep))
        assert found.keys() == set(tiles)
        assert all(0 <= quality.tissue <= 1 for quality in found.values())

    def test_nuclei_are_measured_and_cut_as_their_maps_say(self, workers, subject, errand, alone):
        [*workers.infer([*grid_of(subject.slide, subject.backend.manifest)], errand, Stopwatch())]
        rules = rules_for(alone, CellOptions(), decoder="watershed")
        blocks = [*Box.whole(alone.size).split(BLOCK_PX)]
        sizes = np.concatenate([*workers.find_sizes(blocks, rules.decoder, errand)])
        expected = np.concatenate([areas_px(alone, block, rules.decoder) for block in blocks])
        assert sorted(sizes.tolist()) == sorted(expected.tolist())
        counts = dict(workers.cut(blocks, rules, errand))
        assert counts.keys() == set(blocks)
        for block, count in counts.items():
            table = read_part(part_path(errand.work / CELLS, block), rules.thresholds)
            own = segment_block(subject.slide, alone, block, rules)
            np.testing.assert_array_equal(table["cell_id"], own["cell_id"])
            assert count == len(own)

    def test_nothing_to_do_gives_nothing(self, workers, errand):
        assert [*workers.infer([], errand, Stopwatch())] == []
        assert [*workers.find_sizes([], None, errand)] == []
        assert [*workers.cut([], None, errand)] == []
