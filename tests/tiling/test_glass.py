import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers, sampled_from
from scipy import ndimage
from strategies import boxes

from counterstain.geometry import Box, Size
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.slides.thumbnail import thumbnail
from counterstain.tiling.glass import TISSUE_MPP, Tissue, find_tissue, tiles_with_tissue, with_nuclei
from counterstain.tiling.grid import TileGrid

MASK = np.random.default_rng(0).random((12, 15)) > 0.9


@settings(max_examples=200, deadline=None)
@given(boxes(reach=70, largest=50))
def test_a_box_touches_tissue_when_any_of_its_pixels_lies_on_it(box):
    fine = np.kron(MASK, np.ones((4, 4), bool))
    inside = box.intersection(Box(0, 0, *fine.shape))
    assert Tissue(mask=MASK, mpp=8.0).touches(box, 2.0) == fine[inside.slices].any()


def test_the_area_is_that_of_the_pixels():
    mask = np.zeros((200, 200), bool)
    mask[:125, :125] = True  # 125 pixels of 8 um are a millimetre
    assert Tissue(mask=mask, mpp=8.0).area_mm2 == pytest.approx(1.0)


def test_tissue_is_found_where_it_was_drawn():
    pixels = np.full((400, 400, 3), 245, np.uint8)
    pixels[100:200, 200:300] = np.random.default_rng(0).integers(90, 200, (100, 100, 3))
    slide = ArraySlide(pixels, resolution=Resolution(4.0, "option"))
    tissue = find_tissue(slide)
    assert tissue.mpp == TISSUE_MPP
    assert tissue.area_mm2 == pytest.approx(0.16, rel=0.25)
    assert tissue.touches(Box(150, 250, 10, 10), 4.0)
    assert not tissue.touches(Box(0, 0, 80, 400), 4.0)


def test_a_slide_coarser_than_the_mask_is_taken_as_it_is():
    slide = ArraySlide(np.full((30, 30, 3), 240, np.uint8), resolution=Resolution(20.0, "option"))
    assert find_tissue(slide).mpp == 20.0
    assert find_tissue(slide).area_mm2 == 0


def test_a_thumbnail_is_read_in_pieces_and_shows_the_whole(monkeypatch):
    pixels = np.kron(np.random.default_rng(1).integers(0, 256, (60, 50, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
    slide, read = ArraySlide(pixels, resolution=Resolution(1.0, "option")), []

    class Watched:
        size, resolution = slide.size, slide.resolution

        def read(self, box, mpp):
            read.append(box)
            return slide.read(box, mpp)

    monkeypatch.setattr("counterstain.slides.thumbnail.PIECE_PX", 80)
    small = thumbnail(Watched(), 4.0)
    assert small.shape == (60, 50, 3)
    assert len(read) == 3 * 3
    assert np.abs(small.astype(int) - slide.read(Box(0, 0, 60, 50), 4.0)).max() <= 1


@settings(max_examples=200, deadline=None)
@given(boxes(reach=70, largest=50))
def test_the_extent_is_the_smallest_box_with_all_tissue_in_it(box):
    fine = np.zeros((200, 200), bool)
    fine[70:118, 70:130] = np.kron(MASK, np.ones((4, 4), bool))  # shifted so that no index is negative
    part = np.zeros_like(fine)
    within = np.s_[max(0, box.row + 70) : max(0, box.stop_row + 70), max(0, box.col + 70) : max(0, box.stop_col + 70)]
    part[within] = fine[within]
    extent = Tissue(mask=MASK, mpp=8.0).extent(box, 2.0)
    if not part.any():
        assert extent is None
        return
    rows, cols = np.nonzero(part)
    assert (extent.row, extent.stop_row) == (rows.min() - 70, rows.max() - 69)
    assert (extent.col, extent.stop_col) == (cols.min() - 70, cols.max() - 69)


def strip_of_tissue():
    """Return tissue in one column of mask pixels, 8 um wide, from 80 to 88 um."""
    mask = np.zeros((125, 100), bool)
    mask[:, 10] = True
    return Tissue(mask=mask, mpp=8.0)


def test_tiles_are_narrowed_to_what_is_near_tissue():
    grid = TileGrid(size=Size(1000, 800), tile_px=512, margin_px=64, stride_px=32)
    tiles = [*tiles_with_tissue(grid, strip_of_tissue(), mpp=1.0)]
    assert [tile.keep for tile in tiles] == [Box(row, 32, height, 96) for row, height in ((0, 384), (384, 384), (768, 232))]
    assert {tile.read.col for tile in tiles} == {0}
    assert {tile.read.width for tile in tiles} == {32 + 96 + 64}


def test_tiles_of_a_fixed_size_stay_whole():
    grid = TileGrid(size=Size(1000, 800), tile_px=512, margin_px=64)
    tiles = [*tiles_with_tissue(grid, strip_of_tissue(), mpp=1.0)]
    assert tiles == [tile for tile in grid if tile.keep.col == 0]


@settings(max_examples=50, deadline=None)
@given(seed=integers(0, 10**6), stride=sampled_from([None, 8, 32]))
def test_every_pixel_near_tissue_is_kept_by_one_tile_alone(seed, stride):
    mask = np.random.default_rng(seed).random((20, 24)) > 0.985
    grid = TileGrid(size=Size(157, 190), tile_px=96, margin_px=16, stride_px=stride)
    covered = np.zeros((157, 190), int)
    for tile in tiles_with_tissue(grid, Tissue(mask=mask, mpp=8.0), mpp=1.0):
        covered[tile.keep.slices] += 1
        assert tile.read.height * tile.read.width > 0
        assert stride is None or tile.read.height % stride == tile.read.width % stride == 0
    near = ndimage.maximum_filter(np.kron(mask, np.ones((8, 8), bool)), 65)[:157, :190]
    assert covered.max(initial=0) <= 1
    assert covered[near].all()


def test_a_slide_that_is_all_tissue_is_cut_into_the_tiles_of_the_grid():
    grid = TileGrid(size=Size(157, 190), tile_px=96, margin_px=16, stride_px=8)
    everything = Tissue(mask=np.ones((20, 24), bool), mpp=8.0)
    assert [*tiles_with_tissue(grid, everything, mpp=1.0)] == [*grid]


def test_the_ground_around_nuclei_beside_the_tissue_is_tissue_and_that_within_it_stays_as_it_is():
    mask = np.zeros((20, 30), bool)
    mask[:, :10] = True
    tissue = Tissue(mask=mask, mpp=8.0)
    assert with_nuclei(tissue, np.array([40.0]), np.array([79.9])) == tissue
    found = with_nuclei(tissue, np.array([84.0, 80.0]), np.array([164.0, 1e6])).mask  # one beyond the mask by rounding
    rows, cols = np.nonzero(found & ~mask)
    assert (found[mask].all(), found[10, 17:24].all(), found[10, 24]) == (True, True, False)
    assert {*zip(rows.tolist(), cols.tolist(), strict=True)} == {
        (row, col)
        for row in range(20)
        for col in range(10, 30)
        if abs(row - 10) + abs(col - 20) <= 3 or abs(row - 10) + abs(col - 29) <= 3
    }


def test_no_nuclei_and_no_pixels_change_nothing():
    none = np.zeros(0)
    for shape in ((0, 0), (4, 4)):
        assert with_nuclei(Tissue(mask=np.zeros(shape, bool), mpp=8.0), none, none).area_mm2 == 0
