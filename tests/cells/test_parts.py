import numpy as np
import pytest
from tables import assert_same_cells

from counterstain.cells import parts as parts_module
from counterstain.cells.parts import read_part, segment_kept, write_part
from counterstain.cells.seams import blocks, joined
from counterstain.cells.segment import CellOptions, rules_for, segment
from counterstain.errors import OutputError
from counterstain.geometry import Size
from counterstain.panel import DEFAULT_PANEL
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.stitching.maps import Maps, Plane

BLOCK_PX = 32


def lattice(maps):
    return [*blocks(maps.size, BLOCK_PX)]


@pytest.fixture
def maps():
    """Squares of 10 px, 20 px apart."""
    planes = {channel.name: np.zeros((96, 96, channel.planes), np.uint8) for channel in DEFAULT_PANEL.channels}
    for row in range(4, 90, 20):
        for col in range(4, 90, 20):
            planes["segmentation"][row : row + 10, col : col + 10, (row + col) // 20 % 2 * 2] = 255
            planes["distance"][row + 2 : row + 8, col + 2 : col + 8] = 200
    return Maps(size=Size(96, 96), mpp=0.25, panel=DEFAULT_PANEL, planes={name: Plane(plane) for name, plane in planes.items()})


@pytest.fixture
def slide():
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    return ArraySlide(pixels, resolution=Resolution(0.25, "option"))


@pytest.fixture
def rules(maps):
    return rules_for(maps, CellOptions(), decoder="watershed", block_px=BLOCK_PX)


def test_kept_blocks_give_the_table_of_the_whole(tmp_path, slide, maps, rules):
    found = segment_kept(slide, maps, lattice(maps), rules, tmp_path)
    assert len(found) == 25
    assert_same_cells(found, segment(slide, maps, CellOptions(), decoder="watershed"))
    assert len(list(tmp_path.iterdir())) == 9


def test_finished_blocks_are_not_cut_again(tmp_path, slide, maps, rules, monkeypatch):
    first = segment_kept(slide, maps, lattice(maps), rules, tmp_path)
    (tmp_path / "32_64.npz").unlink()
    cut = []
    segment_block = parts_module.segment_block
    monkeypatch.setattr(parts_module, "segment_block", lambda *args: cut.append(args[2]) or segment_block(*args))
    assert_same_cells(segment_kept(slide, maps, lattice(maps), rules, tmp_path), first)
    assert [(block.row, block.col) for block in cut] == [(32, 64)]


def test_a_table_is_read_as_it_was_written(tmp_path, slide, maps, rules):
    for cells in (joined([], rules.thresholds), segment(slide, maps, CellOptions(), decoder="watershed")):
        write_part(tmp_path / "a.npz", cells)
        assert_same_cells(read_part(tmp_path / "a.npz", rules.thresholds), cells)


@pytest.mark.parametrize("length", [0, 10, 500, 3000])
def test_a_part_that_is_damaged_or_missing_is_none(tmp_path, slide, maps, rules, length):
    path = tmp_path / "a.npz"
    assert read_part(path, {}) is None
    write_part(path, segment(slide, maps, CellOptions(), decoder="watershed"))
    path.write_bytes(path.read_bytes()[:length])
    assert read_part(path, {}) is None


def test_several_threads_keep_the_same_table(tmp_path, slide, maps, rules):
    found = segment_kept(slide, maps, lattice(maps), rules, tmp_path, threads=3)
    assert_same_cells(found, segment(slide, maps, CellOptions(), decoder="watershed", block_px=BLOCK_PX, threads=3))
    assert_same_cells(found, segment(slide, maps, CellOptions(), decoder="watershed"))


def test_no_more_than_a_row_of_blocks_is_in_memory_at_once(tmp_path, slide, maps, rules):
    parts = [*segment_kept(slide, maps, lattice(maps), rules, tmp_path).parts()]
    assert [len(part) for part in parts] == [10, 5, 10]
    assert (np.diff(np.concatenate([part["cell_id"] for part in parts])) > 0).all()


def test_a_slide_without_any_block_has_an_empty_table(tmp_path, slide, maps, rules):
    found = segment_kept(slide, maps, [], rules, tmp_path)
    assert (len(found), found["area_um2"].shape, [*found.parts()]) == (0, (0,), [])


def test_a_part_that_is_taken_away_afterwards_is_named(tmp_path, slide, maps, rules):
    found = segment_kept(slide, maps, lattice(maps), rules, tmp_path)
    (tmp_path / "32_64.npz").unlink()
    with pytest.raises(OutputError, match=r"32_64\.npz was removed"):
        [*found.parts()]
    with pytest.raises(OutputError, match=r"32_64\.npz was removed"):
        found["area_um2"]
