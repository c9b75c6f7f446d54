import numpy as np
import pytest
from hypothesis import given
from strategies import boxes, grids

from counterstain.geometry import Box, Size
from counterstain.tiling.grid import Tile, TileGrid


@pytest.mark.parametrize(("tile_px", "margin_px"), [(8, 4), (8, 9), (8, -1), (0, 0)])
def test_a_tile_without_a_core_is_refused(tile_px, margin_px):
    with pytest.raises(ValueError, match="no core"):
        TileGrid(size=Size(9, 9), tile_px=tile_px, margin_px=margin_px)


@pytest.mark.parametrize("stride_px", [0, -4, 3])
def test_a_stride_that_does_not_divide_the_tile_is_refused(stride_px):
    with pytest.raises(ValueError, match="not a multiple"):
        TileGrid(size=Size(9, 9), tile_px=8, margin_px=1, stride_px=stride_px)


def test_with_a_stride_an_image_hardly_larger_than_a_core_costs_little_more_than_a_tile():
    grid = TileGrid(size=Size(512, 512), tile_px=512, margin_px=32, stride_px=16)
    assert sum(tile.read.size.area for tile in grid) < 1.6 * 512**2


@given(grids())
def test_the_keeps_partition_the_slide(grid):
    canvas = np.zeros((grid.size.height, grid.size.width), int)
    for tile in grid:
        canvas[tile.keep.slices] += 1
    assert (canvas == 1).all()


@given(grids())
def test_every_keep_has_its_margin_within_its_tile(grid):
    tiles = list(grid)
    assert len(tiles) == len(grid)
    for tile in tiles:
        if grid.stride_px is None:
            assert tile.read.size == Size(grid.tile_px, grid.tile_px)
        else:
            assert tile.read.height % grid.stride_px == 0
            assert tile.read.width % grid.stride_px == 0
            assert max(tile.read.height, tile.read.width) <= grid.tile_px
        context = tile.keep.grown(grid.margin_px).intersection(Box.whole(grid.size))
        assert tile.read.intersection(context) == context


def test_a_slide_as_large_as_a_core_is_one_tile_without_margins():
    (tile,) = TileGrid(size=Size(512, 500), tile_px=640, margin_px=64, stride_px=32)
    assert tile == Tile(read=Box(0, 0, 512, 512), keep=Box(0, 0, 512, 500))


@given(grids(), boxes())
def test_a_region_gives_the_tiles_of_the_grid_whose_core_meets_it(grid, region):
    expected = [tile for tile in grid if tile.keep.intersection(region).size.area]
    assert list(grid.within(region)) == expected


def test_a_slide_without_pixels_has_no_tiles():
    grid = TileGrid(size=Size(0, 5), tile_px=4, margin_px=1)
    assert (len(grid), list(grid)) == (0, [])


def test_tiles_come_row_by_row():
    grid = TileGrid(size=Size(4, 5), tile_px=5, margin_px=1)
    assert [tile.keep for tile in grid] == [Box(0, 0, 3, 3), Box(0, 3, 3, 2), Box(3, 0, 1, 3), Box(3, 3, 1, 2)]
