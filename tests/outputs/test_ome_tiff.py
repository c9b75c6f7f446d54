import contextlib
import dataclasses
import errno
import tracemalloc
import uuid
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import block_reduce

from counterstain.errors import OutputError
from counterstain.geometry import Box, Size
from counterstain.outputs.images import ome_tiff
from counterstain.outputs.images.levels import BLOCK_PX, halved
from counterstain.outputs.images.ome_tiff import write_ome_tiff
from counterstain.outputs.images.ome_tiff_maps import read_ome_tiff
from counterstain.panel import DEFAULT_PANEL, Panel
from counterstain.stitching.maps import Maps, Plane

OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"


def resized(analysis, size):
    planes = {
        channel.name: Plane(np.random.default_rng(0).integers(0, 255, (size.height, size.width, channel.planes), np.uint8))
        for channel in DEFAULT_PANEL.channels
    }
    return dataclasses.replace(analysis, maps=Maps(size=size, mpp=0.25, panel=DEFAULT_PANEL, planes=planes))


def test_all_planes_are_read_back_with_names_colours_and_pixel_size(analysis, tmp_path):
    write_ome_tiff(resized(analysis, Size(12, 16)), tmp_path / "m.ome.tiff")
    with tifffile.TiffFile(tmp_path / "m.ome.tiff") as file:
        pixels = ET.fromstring(file.ome_metadata)  # noqa: S314 (our own)
        pixels = pixels.find(f"{OME}Image/{OME}Pixels")
        assert file.series[0].axes == "CYX"
        assert file.series[0].shape == (10, 12, 16)
        assert file.pages[0].is_tiled
        assert file.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
    assert float(pixels.get("PhysicalSizeX")) == float(pixels.get("PhysicalSizeY")) == 0.25
    channels = {channel.get("Name"): int(channel.get("Color")) for channel in pixels.findall(f"{OME}Channel")}
    assert list(channels) == [
        "Hematoxylin red",
        "Hematoxylin green",
        "Hematoxylin blue",
        "DAPI",
        "LAP2beta",
        "Marker",
        "Segmentation positive",
        "Segmentation boundary",
        "Segmentation negative",
        "Distance inside the nucleus",
    ]
    assert channels["DAPI"] == -1  # white, opaque
    assert channels["LAP2beta"] == 0x00FF00FF
    assert channels["Segmentation positive"] == 0xFF0000FF - 2**32


def test_equal_maps_give_equal_bytes_that_say_nothing_of_the_machine(analysis, tmp_path):
    big = resized(analysis, Size(12, 16))
    for name in ("one", "two"):
        write_ome_tiff(big, tmp_path / f"{name}.ome.tiff")
    assert (tmp_path / "one.ome.tiff").read_bytes() == (tmp_path / "two.ome.tiff").read_bytes()
    with tifffile.TiffFile(tmp_path / "one.ome.tiff") as file:
        named = ET.fromstring(file.ome_metadata).get("UUID")  # noqa: S314 (our own)
    assert uuid.UUID(named).version == 5


def test_planes_hold_what_was_inferred(analysis, tmp_path):
    big = resized(analysis, Size(30, 40))
    write_ome_tiff(big, tmp_path / "m.ome.tiff")
    written = tifffile.imread(tmp_path / "m.ome.tiff")
    np.testing.assert_array_equal(written[3], big.maps["dapi"].stored[:, :, 0])
    np.testing.assert_array_equal(written[8], big.maps["segmentation"].stored[:, :, 2])


def test_the_maps_are_read_back(analysis, tmp_path):
    big = resized(analysis, Size(30, 40))
    write_ome_tiff(big, tmp_path / "m.ome.tiff")
    maps = read_ome_tiff(tmp_path / "m.ome.tiff", DEFAULT_PANEL, 0.25)
    assert (maps.size, maps.mpp, list(maps.planes)) == (big.maps.size, 0.25, list(big.maps.planes))
    for name, plane in maps.planes.items():
        np.testing.assert_array_equal(plane.stored[:, :], big.maps[name].stored)


def test_every_level_of_every_plane_is_the_one_before_halved(analysis, tmp_path):
    big = resized(analysis, Size(300, 4100))
    write_ome_tiff(big, tmp_path / "m.ome.tiff")
    level = np.concatenate([np.moveaxis(plane.stored, 2, 0) for plane in big.maps.planes.values()])
    with tifffile.TiffFile(tmp_path / "m.ome.tiff") as file:
        written = [part.asarray() for part in file.series[0].levels]
    assert len(written) == 3
    for pixels in written:
        np.testing.assert_array_equal(pixels, level)
        level = halved(level)


def blank(analysis, side):
    few = Panel(channels=DEFAULT_PANEL.channels[1:2])
    planes = {"dapi": Plane(np.broadcast_to(np.uint8(7), (side, side, 1)))}
    return dataclasses.replace(analysis, maps=Maps(size=Size(side, side), mpp=0.25, panel=few, planes=planes))


def peak_bytes(analysis, path):
    tracemalloc.start()
    write_ome_tiff(analysis, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_writing_four_times_as_much_takes_no_more_memory_than_a_block_more(analysis, tmp_path):
    peaks = [peak_bytes(blank(analysis, side), tmp_path / f"{side}.ome.tiff") for side in (2049, 4097)]
    assert peaks[1] < peaks[0] + BLOCK_PX**2
    assert peaks[1] < 4097 * 4097 / 2


def test_a_part_that_is_read_back_takes_memory_for_itself(analysis, tmp_path):
    write_ome_tiff(blank(analysis, 2049), tmp_path / "m.ome.tiff")
    maps = read_ome_tiff(tmp_path / "m.ome.tiff", DEFAULT_PANEL, 0.25)
    tracemalloc.start()
    part = maps["dapi"].as_bytes(Box(1990, 300, 59, 100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (part.shape, np.unique(part).tolist()) == ((59, 100, 1), [7])
    assert peak < 2**20


def test_any_part_is_read_as_numpy_slices_it(analysis, tmp_path):
    big = resized(analysis, Size(530, 300))
    write_ome_tiff(big, tmp_path / "m.ome.tiff")
    written = read_ome_tiff(tmp_path / "m.ome.tiff", DEFAULT_PANEL, 0.25)["segmentation"].stored
    whole = big.maps["segmentation"].stored
    corners = np.random.default_rng(0).integers(0, (530, 530, 300, 400), (50, 4))
    for part in [(slice(*sorted(row[:2])), slice(*sorted(row[2:]))) for row in corners.tolist()]:
        np.testing.assert_array_equal(written[part], whole[part])
    np.testing.assert_array_equal(written[:, :], whole)


def test_maps_that_were_not_kept_are_left_out(analysis, tmp_path):
    big = resized(analysis, Size(30, 40))
    few = Panel(channels=DEFAULT_PANEL.channels[1:], marker="marker")
    write_ome_tiff(dataclasses.replace(analysis, maps=dataclasses.replace(big.maps, panel=few)), tmp_path / "m.ome.tiff")
    read = read_ome_tiff(tmp_path / "m.ome.tiff", DEFAULT_PANEL, 0.25)
    assert (list(read.planes), read.panel.marker) == (["dapi", "lap2", "marker", "segmentation", "distance"], "marker")
    np.testing.assert_array_equal(read["dapi"].stored[:, :], big.maps["dapi"].stored)


def test_a_file_that_was_cut_off_is_refused(analysis, tmp_path):
    path = tmp_path / "m.ome.tiff"
    write_ome_tiff(resized(analysis, Size(30, 40)), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cut off"):
        read_ome_tiff(path, DEFAULT_PANEL, 0.25)


@pytest.mark.parametrize("written", [0, 7, 255])
def test_whatever_byte_is_damaged_of_what_the_file_says_of_its_planes_ends_in_no_traceback(analysis, tmp_path, written):
    path = tmp_path / "m.ome.tiff"
    write_ome_tiff(resized(analysis, Size(30, 40)), path)
    with tifffile.TiffFile(path) as file:
        first, entries = file.pages[0].offset, len(file.pages[0].tags)
    whole, refused = path.read_bytes(), 0
    for place in range(first, first + 2 + 12 * entries):
        path.write_bytes(whole[:place] + bytes([written]) + whole[place + 1 :])
        with contextlib.suppress(ValueError, OSError):
            read_ome_tiff(path, DEFAULT_PANEL, 0.25)
            continue
        refused += 1
    assert refused > 20


def test_a_full_disk_is_named_and_leaves_nothing(analysis, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(ome_tiff, "_compressed", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_ome_tiff(resized(analysis, Size(30, 40)), tmp_path / "m.ome.tiff")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_tile_is_named_when_it_is_read(analysis, tmp_path):
    path = tmp_path / "m.ome.tiff"
    write_ome_tiff(resized(analysis, Size(30, 40)), path)
    with tifffile.TiffFile(path) as file:
        start, length = file.pages[3].dataoffsets[0], file.pages[3].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes(length)
    path.write_bytes(content)
    maps = read_ome_tiff(path, DEFAULT_PANEL, 0.25)
    assert maps["hematoxylin"].shape == (30, 40, 3)
    with pytest.raises(OutputError, match=r"m.ome.tiff are damaged"):
        maps["dapi"].as_bytes(Box(0, 0, 30, 40))


def test_maps_of_another_panel_are_refused(analysis, tmp_path):
    write_ome_tiff(resized(analysis, Size(30, 40)), tmp_path / "m.ome.tiff")
    with pytest.raises(ValueError, match="not those of the model"):
        read_ome_tiff(tmp_path / "m.ome.tiff", Panel(channels=DEFAULT_PANEL.channels[:-1]), 0.25)


@pytest.mark.parametrize(("size", "levels"), [(Size(40, 2048), 1), (Size(40, 2049), 2), (Size(4097, 30), 3)])
def test_an_image_longer_than_2048_px_has_smaller_levels(analysis, tmp_path, size, levels):
    write_ome_tiff(resized(analysis, size), tmp_path / "m.ome.tiff")
    with tifffile.TiffFile(tmp_path / "m.ome.tiff") as file:
        shapes = [level.shape for level in file.series[0].levels]
    assert len(shapes) == levels
    assert shapes[-1][1:] == (-(-size.height // 2 ** (levels - 1)), -(-size.width // 2 ** (levels - 1)))


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_a_half_size_level_is_the_mean_of_two_by_two_pixels(half_height, half_width, seed):
    level = np.random.default_rng(seed).integers(0, 256, (2, 2 * half_height, 2 * half_width), np.uint8)
    expected = np.floor(block_reduce(level, (1, 2, 2), np.mean) + 0.5)
    np.testing.assert_array_equal(halved(level), expected)


def test_an_odd_last_column_is_kept():
    assert halved(np.array([[[0, 0, 9]]], np.uint8)).tolist() == [[[0, 9]]]
