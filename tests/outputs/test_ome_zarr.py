import dataclasses
import json
import shutil

import numpy as np
import pytest
import zarr
from skimage.measure import block_reduce

from counterstain.errors import OutputError
from counterstain.geometry import Box, Size
from counterstain.outputs.images import levels
from counterstain.outputs.images.ome_zarr import read_ome_zarr, write_ome_zarr
from counterstain.panel import DEFAULT_PANEL, Panel
from counterstain.stitching.maps import Maps, Plane


def drawn(analysis, size, panel=DEFAULT_PANEL):
    generator = np.random.default_rng(0)
    planes = {
        channel.name: Plane(generator.integers(0, 255, (size.height, size.width, channel.planes), np.uint8))
        for channel in panel.channels
    }
    return dataclasses.replace(analysis, maps=Maps(size=size, mpp=0.25, panel=panel, planes=planes))


def test_the_metadata_are_those_of_ome_zarr_0_5(analysis, tmp_path, monkeypatch):
    monkeypatch.setattr(levels, "SMALLEST_LEVEL_PX", 20)
    write_ome_zarr(drawn(analysis, Size(30, 41)), tmp_path / "maps.ome.zarr")
    stored = json.loads((tmp_path / "maps.ome.zarr" / "zarr.json").read_text())
    assert (stored["zarr_format"], stored["node_type"]) == (3, "group")
    ome = stored["attributes"]["ome"]
    assert ome["version"] == "0.5"
    (image,) = ome["multiscales"]
    assert [(axis["name"], axis["type"], axis.get("unit")) for axis in image["axes"]] == [
        ("c", "channel", None),
        ("y", "space", "micrometer"),
        ("x", "space", "micrometer"),
    ]
    scales = {level["path"]: level["coordinateTransformations"] for level in image["datasets"]}
    assert scales == {str(n): [{"type": "scale", "scale": [1.0, 0.25 * 2**n, 0.25 * 2**n]}] for n in range(3)}
    channels = ome["omero"]["channels"]
    assert [channel["label"] for channel in channels][3:6] == ["DAPI", "LAP2beta", "Marker"]
    assert channels[4]["color"] == "00FF00"
    assert channels[0]["window"] == {"min": 0, "max": 255, "start": 0, "end": 255}
    for path in scales:
        array = json.loads((tmp_path / "maps.ome.zarr" / path / "zarr.json").read_text())
        assert array["dimension_names"] == ["c", "y", "x"]


def test_levels_are_halved_across_blocks_as_the_whole_is(analysis, tmp_path, monkeypatch):
    monkeypatch.setattr(levels, "SMALLEST_LEVEL_PX", 700)
    big = drawn(analysis, Size(1100, 1030))
    write_ome_zarr(big, tmp_path / "m")
    group = zarr.open_group(tmp_path / "m", mode="r")
    full, half = group["0"][:], group["1"][:]
    np.testing.assert_array_equal(full[3], big.maps["dapi"].stored[..., 0])
    np.testing.assert_array_equal(full[8], big.maps["segmentation"].stored[..., 2])
    np.testing.assert_array_equal(half, np.floor(block_reduce(full, (1, 2, 2), np.mean) + 0.5))


def test_the_maps_are_read_back_lazily(analysis, tmp_path):
    small = drawn(analysis, Size(30, 40))
    write_ome_zarr(small, tmp_path / "m")
    maps = read_ome_zarr(tmp_path / "m", DEFAULT_PANEL, 0.25)
    assert (maps.size, maps.mpp) == (small.maps.size, 0.25)
    part = (slice(5, 20), slice(3, 37))
    for name, plane in small.maps.planes.items():
        assert maps[name].shape == plane.shape
        np.testing.assert_array_equal(maps[name][part], plane[part])


def test_maps_that_were_not_kept_are_left_out(analysis, tmp_path):
    few = Panel(channels=tuple(c for c in DEFAULT_PANEL.channels if c.name != "hematoxylin"), marker="marker")
    write_ome_zarr(drawn(analysis, Size(30, 40), few), tmp_path / "m")
    assert list(read_ome_zarr(tmp_path / "m", DEFAULT_PANEL, 0.25).planes) == [channel.name for channel in few.channels]


def test_a_damaged_part_is_named_when_it_is_read(analysis, tmp_path):
    write_ome_zarr(drawn(analysis, Size(30, 40)), tmp_path / "m")
    (shard,) = (path for path in (tmp_path / "m" / "0" / "c").rglob("*") if path.is_file())
    shard.write_bytes(bytes(len(shard.read_bytes())))
    maps = read_ome_zarr(tmp_path / "m", DEFAULT_PANEL, 0.25)
    with pytest.raises(OutputError, match="are damaged"):
        maps["dapi"].as_bytes(Box(0, 0, 30, 40))


@pytest.mark.parametrize(
    "stated", [{"counterstain": []}, {"counterstain": {"channels": 5}}, {"counterstain": {"channels": None}}]
)
def test_maps_whose_names_are_damaged_are_refused(analysis, tmp_path, stated):
    write_ome_zarr(drawn(analysis, Size(30, 40)), tmp_path / "m")
    zarr.open_group(tmp_path / "m", mode="r+").attrs.update(stated)
    with pytest.raises(ValueError, match="is damaged"):
        read_ome_zarr(tmp_path / "m", DEFAULT_PANEL, 0.25)


def test_maps_whose_planes_are_not_there_are_refused(analysis, tmp_path):
    write_ome_zarr(drawn(analysis, Size(30, 40)), tmp_path / "m")
    shutil.rmtree(tmp_path / "m" / "0")
    with pytest.raises(ValueError, match="is damaged"):
        read_ome_zarr(tmp_path / "m", DEFAULT_PANEL, 0.25)
    zarr.open_group(tmp_path / "m" / "0", mode="w")
    with pytest.raises(ValueError, match="holds no planes"):
        read_ome_zarr(tmp_path / "m", DEFAULT_PANEL, 0.25)


def test_maps_of_another_model_are_refused(analysis, tmp_path):
    write_ome_zarr(drawn(analysis, Size(30, 40)), tmp_path / "m")
    with pytest.raises(ValueError, match="not those of the model"):
        read_ome_zarr(tmp_path / "m", Panel(channels=DEFAULT_PANEL.channels[1:4]), 0.25)
