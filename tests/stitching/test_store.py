import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterstain.errors import OutputError
from counterstain.geometry import Box, Size
from counterstain.panel import SEGMENTATION, Channel, Panel
from counterstain.stitching.canvas import put, stitch
from counterstain.stitching.store import open_stored_maps
from counterstain.tiling.grid import TileGrid

PANEL = Panel(channels=(Channel(name="hematoxylin", planes=3), Channel(name="dapi"), SEGMENTATION))
GRID = TileGrid(size=Size(70, 90), tile_px=40, margin_px=4)


def values_of(tile, seed=0):
    """Return random values of a tile, the same for the same tile."""
    generator = np.random.default_rng((seed, tile.keep.row, tile.keep.col))
    shape = (tile.read.height, tile.read.width)
    return {channel.name: generator.random((*shape, channel.planes), dtype=np.float32) for channel in PANEL.channels}


def on_disk(folder, size=GRID.size, chunk_px=GRID.core_px):
    return open_stored_maps(folder, size=size, mpp=0.25, panel=PANEL, chunk_px=chunk_px)


@settings(max_examples=25, deadline=None)
@given(chosen=st.sets(st.integers(0, len(GRID) - 1)))
def test_maps_on_disk_are_those_in_memory(tmp_path_factory, chosen):
    tiles = [(tile, values_of(tile)) for number, tile in enumerate(GRID) if number in chosen]
    memory, disk = stitch(tiles, size=GRID.size, mpp=0.25, panel=PANEL), on_disk(tmp_path_factory.mktemp("maps"))
    for tile, values in tiles:
        put(disk, tile, values)
    for name in memory.planes:
        assert disk[name].shape == memory[name].shape
        for box in (Box.whole(GRID.size), Box(3, 30, 50, 41)):
            np.testing.assert_array_equal(disk[name].as_bytes(box), memory[name].as_bytes(box))
            np.testing.assert_array_equal(disk[name][box.slices], memory[name][box.slices])


def test_each_tile_writes_chunks_of_its_own(tmp_path):
    maps = on_disk(tmp_path)
    for number, tile in enumerate(GRID, start=1):
        put(maps, tile, values_of(tile))
        assert len([path for path in (tmp_path / "dapi" / "c").rglob("*") if path.is_file()]) == number


def test_glass_is_white_in_stained_images_and_black_in_the_others(tmp_path):
    whole = Box.whole(GRID.size)
    for maps in (on_disk(tmp_path), stitch([], size=GRID.size, mpp=0.25, panel=PANEL)):
        assert (maps["hematoxylin"].as_bytes(whole) == 255).all()
        assert not maps["dapi"].as_bytes(whole).any()
        assert not maps["segmentation"].as_bytes(whole).any()


def test_maps_are_there_again_after_they_were_closed(tmp_path):
    tile = next(iter(GRID))
    put(on_disk(tmp_path), tile, values_of(tile))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = on_disk(tmp_path)
    assert again["dapi"].as_bytes(tile.keep).any()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_maps_of_another_size_are_not_written_over(tmp_path):
    on_disk(tmp_path)
    with pytest.raises(OutputError, match="remove the folder"):
        on_disk(tmp_path, size=Size(70, 91))


@pytest.mark.parametrize("content", ["{", "{}"])
def test_damaged_maps_are_named(tmp_path, content):
    on_disk(tmp_path)
    (tmp_path / "dapi" / "zarr.json").write_text(content)
    with pytest.raises(OutputError, match=r"dapi are damaged"):
        on_disk(tmp_path)


def test_a_damaged_part_is_named_when_it_is_read(tmp_path):
    maps, tile = on_disk(tmp_path), next(iter(GRID))
    put(maps, tile, values_of(tile))
    chunk = next(path for path in (tmp_path / "dapi" / "c").rglob("*") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:5])
    with pytest.raises(OutputError, match="dapi are damaged"):
        maps["dapi"].as_bytes(tile.keep)
    assert maps["segmentation"].as_bytes(tile.keep).any()


def test_a_narrowed_tile_writes_its_chunk_whole_over_what_a_killed_process_left(tmp_path):
    size, grid = Size(70, 90), TileGrid(size=Size(70, 90), tile_px=40, margin_px=4, stride_px=8)
    tile = grid.narrowed(next(iter(grid)), Box(9, 17, 6, 6))
    assert tile.keep == Box(8, 16, 8, 8)
    maps = on_disk(tmp_path, size)
    put(maps, tile, values_of(tile))
    (chunk,) = (path for path in (tmp_path / "dapi" / "c").rglob("*") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:7])
    put(maps, tile, values_of(tile))
    expected = stitch([(tile, values_of(tile))], size=size, mpp=0.25, panel=PANEL)
    for name in expected.planes:
        np.testing.assert_array_equal(maps[name].as_bytes(Box.whole(size)), expected[name].as_bytes(Box.whole(size)))
