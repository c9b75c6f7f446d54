"""OME-Zarr images of both versions, in folders and zip files, that the tests make with zarr."""

import bz2
import importlib.util
import json
import os
import pickle
import re
import shutil
import zlib

import numcodecs
import numpy as np
import pytest
import zarr
from conformance.slide import SlideConformance
from zarr_slides import MPP, attributes, tissue, write, write_image, zipped

from counterstain.errors import MissingResolutionError, SlideError, UnreadableSlideError, UnsupportedSlideError
from counterstain.geometry import Box, Size
from counterstain.jobs.inputs import find_inputs
from counterstain.slides.base import Resolution
from counterstain.slides.opening import open_slide, slide_name
from counterstain.slides.zarrs import ome_zarr, stores
from counterstain.slides.zarrs.ome_zarr import OmeZarrSlide

WAYS = {
    "0.4": {"version": "0.4"},
    "0.5": {"version": "0.5"},
    "0.5 in shards": {"version": "0.5", "shards": True},
    "five axes": {"version": "0.4", "axes": "tczyx"},
    "channels last": {"version": "0.4", "axes": "yxc"},
}


@pytest.fixture(scope="module", params=[*WAYS, "zip", "bioformats2raw"])
def path(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores") / "a.ome.zarr"
    if request.param == "zip":
        return zipped(write(folder, "0.5"))
    if request.param == "bioformats2raw":
        return write_series(folder)
    return write(folder, **WAYS[request.param])


def write_series(folder):
    """Write the layout of bioformats2raw: the slide as image 0, its label, which states no pixel size, as image 1."""
    root = zarr.open_group(folder, mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    write_image(root.create_group("0"), "0.4", tissue(), axes="tczyx")
    write_image(
        root.create_group("1"), "0.4", np.full((40, 40, 3), (255, 0, 255), np.uint8), axes="tczyx", steps=(1,), unit=None
    )
    return folder


@pytest.fixture(scope="module", params=["0.4", "0.5 in shards"])
def stored(request, tmp_path_factory):
    return write(tmp_path_factory.mktemp("stores") / "a.zarr", **WAYS[request.param])


class TestOmeZarrSlide(SlideConformance):
    @pytest.fixture
    def slide(self, stored):
        with open_slide(stored) as slide:
            assert isinstance(slide, OmeZarrSlide)
            yield slide


def test_every_box_of_level_zero_is_exact(path):
    with open_slide(path) as slide:
        assert slide.name == "a"
        assert slide.size == Size(101, 131)
        assert slide.resolution == Resolution(MPP, "metadata")
        for box in (Box(0, 0, 101, 131), Box(47, 95, 2, 2), Box(100, 130, 1, 1), Box(5, 90, 60, 41)):
            np.testing.assert_array_equal(slide.read(box, MPP), tissue()[box.slices])


@pytest.mark.parametrize(("factor", "level"), [(1, 0), (1.9, 0), (2, 1), (3, 1), (4, 2), (9, 2)])
def test_only_the_level_that_fits_is_decoded(path, monkeypatch, factor, level):
    with open_slide(path) as slide:
        slide._tile.clear()
        decoded, decode = [], slide._tile._decode
        monkeypatch.setattr(slide._tile, "_decode", lambda *tile: decoded.append(tile) or decode(*tile))
        slide.read(Box(2, 2, 9, 9), MPP * factor)
        assert {number for number, _ in decoded} == {level}


def test_another_image_of_the_store_is_never_read(tmp_path):
    """A label, which may show a name, can be gone and nobody misses it."""
    folder = write_series(tmp_path / "a.zarr")
    shutil.rmtree(folder / "1")
    with open_slide(folder) as slide:
        np.testing.assert_array_equal(slide.read(Box.whole(slide.size), MPP), tissue())


def test_sixteen_bits_become_eight_and_twelve_in_sixteen_are_refused(tmp_path):
    wide = tissue().astype(np.uint16)
    with open_slide(write(tmp_path / "a.zarr", image=wide * 257)) as slide:
        np.testing.assert_array_equal(slide.read(Box.whole(slide.size), MPP), tissue())
    with pytest.raises(UnsupportedSlideError, match="12-bit camera"):
        open_slide(write(tmp_path / "b.zarr", image=wide * 16))


@pytest.mark.parametrize(
    ("unit", "scale", "expected"),
    [("micrometer", 0.5, 0.5), ("nanometer", 250, 0.25), ("millimeter", 0.00025, 0.25), ("meter", 2.5e-7, 0.25), ("µm", 2, 2)],
)
def test_the_pixel_size_is_read_in_any_unit(tmp_path, unit, scale, expected):
    with open_slide(write(tmp_path / "a.zarr", unit=unit, scale=(scale, scale))) as slide:
        assert slide.resolution == Resolution(pytest.approx(expected), "metadata")


def test_a_scale_of_the_whole_image_multiplies_that_of_its_levels(tmp_path):
    def scaled(described):
        described["multiscales"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [1, 0.25, 0.25]}]
        return described

    with open_slide(write(tmp_path / "a.zarr", scale=(1, 1), changes=scaled)) as slide:
        assert slide.resolution.mpp == 0.25


def test_pixels_that_are_not_square_keep_both_sides(tmp_path):
    with open_slide(write(tmp_path / "a.zarr", scale=(0.5, 0.25))) as slide:
        assert slide.resolution.sides == pytest.approx((0.5, 0.25))


@pytest.mark.parametrize("options", [{"unit": None}, {"unit": "parsec"}, {"scale": (9e9, 9e9)}, {"scale": ("a", "b")}])
def test_an_image_without_pixel_size_is_refused_with_the_option_that_gives_it(tmp_path, options):
    options = options if "unit" in options else {**options, "steps": (1,)}
    path = write(tmp_path / "a.zarr", **options)
    with pytest.raises(MissingResolutionError, match=r"mpp 0\.25"):
        open_slide(path)
    with open_slide(path, mpp=0.5) as slide:
        assert slide.resolution == Resolution(0.5, "option")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_corrupt_chunk_is_named_and_the_others_are_read(tmp_path, monkeypatch, version):
    monkeypatch.setattr(ome_zarr, "TILE_PX", 1)
    folder = write(tmp_path / "a.zarr", version)
    name = "0/0.1.2" if version == "0.4" else "0/c/0/1/2"
    (folder / name).write_bytes(b"no chunk")
    with open_slide(folder) as slide:
        np.testing.assert_array_equal(slide.read(Box(0, 0, 48, 131), MPP), tissue()[:48])
        message = r"cannot decode rows 48 to 95, columns 96 to 130 of level 0 \(0\) of .*a\.zarr"
        assert (slide.read(Box(50, 100, 5, 5), MPP) == 255).all()
        (damage,) = slide.damage(Box(40, 90, 20, 20), MPP)
        assert damage.box == Box(48, 96, 12, 14)
        assert re.search(message, damage.reason)
        assert not slide.damage(Box(0, 0, 48, 131), MPP)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("in_zip", [False, True])
def test_a_chunk_that_is_not_stored_is_damage_whatever_the_value_that_the_array_names(tmp_path, monkeypatch, version, in_zip):
    monkeypatch.setattr(ome_zarr, "TILE_PX", 1)
    folder = write(tmp_path / "a.zarr", version)
    (folder / ("0/0.1.2" if version == "0.4" else "0/c/0/1/2")).unlink()
    path = zipped(folder) if in_zip else folder
    with open_slide(path) as slide:
        assert (slide.read(Box(50, 100, 5, 5), MPP) == 255).all()
        (damage,) = slide.damage(Box(50, 100, 5, 5), MPP)
        assert "is not in the store" in damage.reason


def test_a_chunk_that_is_not_stored_in_one_colour_only_is_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(ome_zarr, "TILE_PX", 1)
    folder = write(tmp_path / "a.zarr", steps=(1,))
    stated = json.loads((folder / "0/.zarray").read_text())
    (folder / "0/.zarray").write_text(json.dumps(stated | {"fill_value": 255}))
    (folder / "0/1.0.0").unlink()
    expected = tissue()
    expected[:48, :48] = 255
    with open_slide(folder) as slide:
        np.testing.assert_array_equal(slide.read(Box.whole(slide.size), MPP), expected)
        assert [damage.box for damage in slide.damage(Box.whole(slide.size), MPP)] == [Box(0, 0, 48, 48)]


@pytest.mark.parametrize("chunks", [[3, 64, False], [3, 0, 64], [3, 64, -64]])
def test_chunks_without_a_size_are_refused(tmp_path, chunks):
    folder = write(tmp_path / "a.zarr", steps=(1,))
    stated = json.loads((folder / "0/.zarray").read_text())
    (folder / "0/.zarray").write_text(json.dumps(stated | {"chunks": chunks}))
    with pytest.raises(UnreadableSlideError, match=r"a\.zarr"):
        open_slide(folder)


def packed_zeros(codec, length):
    """Return zeros, packed, as little as the codec makes of them."""
    if codec in ("zlib", "gzip"):
        packer = zlib.compressobj(9, wbits=31 if codec == "gzip" else 15)
        return packer.compress(bytes(length)) + packer.flush()
    if codec == "bz2":
        return bz2.compress(bytes(length))
    return {"zstd": numcodecs.Zstd(), "blosc": numcodecs.Blosc(), "lz4": numcodecs.LZ4()}[codec].encode(bytes(length))


@pytest.mark.parametrize("in_zip", [False, True])
@pytest.mark.parametrize("codec", ["zlib", "gzip", "bz2", "zstd", "blosc", "lz4"])
def test_a_chunk_that_unpacks_to_far_more_than_a_chunk_is_damage_before_it_is_unpacked(tmp_path, codec, in_zip):
    folder = write(tmp_path / "a.zarr", steps=(1,))
    stated = json.loads((folder / "0/.zarray").read_text())
    (folder / "0/.zarray").write_text(json.dumps(stated | {"compressor": {"id": codec}}))
    for channel in "012":
        for row, col in np.ndindex(3, 3):
            (folder / f"0/{channel}.{row}.{col}").write_bytes(packed_zeros(codec, 48 * 48))
    (folder / "0/1.0.0").write_bytes(packed_zeros(codec, 40_000_000))
    with open_slide(zipped(folder) if in_zip else folder) as slide:
        slide.read(Box(0, 0, 10, 10), MPP)
        (damage,) = slide.damage(Box(0, 0, 10, 10), MPP)
        assert "unpacks to more than the 2,304 bytes of a chunk" in damage.reason


class TestFaults:
    """Each fault names the place and says what it is."""

    def refused(self, folder, error, message):
        with pytest.raises(error, match=message) as caught:
            open_slide(folder, mpp=MPP)
        assert folder.name in str(caught.value)

    def changed(self, folder, **changes):
        write(folder, changes=lambda described: described | changes)
        return folder

    def test_no_multiscales(self, tmp_path):
        self.refused(self.changed(tmp_path / "a.zarr", multiscales=[]), UnreadableSlideError, "not an OME-Zarr image")

    def test_old_axes(self, tmp_path):
        old = [{"datasets": [{"path": "0"}], "axes": {"c": 0, "y": 1, "x": 2}}]
        self.refused(self.changed(tmp_path / "a.zarr", multiscales=old), UnsupportedSlideError, "0.4 or 0.5")

    def test_a_plate(self, tmp_path):
        self.refused(self.changed(tmp_path / "a.zarr", plate={}), UnsupportedSlideError, "plate of many images")

    def test_maps_of_an_earlier_run(self, tmp_path):
        self.refused(self.changed(tmp_path / "maps.ome.zarr", counterstain={}), UnsupportedSlideError, "original image")

    def test_channels_in_the_colours_of_stains(self, tmp_path):
        channels = [{"color": colour} for colour in ("0000FF", "00FF00", "FF0000")]
        folder = self.changed(tmp_path / "a.zarr", omero={"channels": channels})
        self.refused(folder, UnsupportedSlideError, "separate fluorescence channels")

    @pytest.mark.parametrize("level", ["../b", "/etc", "0/../../b", ".hidden", "", 3, "a" * 201, "C:\\x"])
    def test_a_level_outside_the_store(self, tmp_path, level):
        described = attributes("0.4")["multiscales"]
        described[0]["datasets"][0]["path"] = level
        self.refused(self.changed(tmp_path / "a.zarr", multiscales=described), UnreadableSlideError, "not a place within it")

    def test_four_channels(self, tmp_path):
        image = np.concatenate([tissue(), tissue()[..., :1]], axis=-1)
        self.refused(write(tmp_path / "a.zarr", image=image), UnsupportedSlideError, "expected one RGB image")

    def test_real_numbers(self, tmp_path):
        self.refused(write(tmp_path / "a.zarr", image=tissue() / 255), UnsupportedSlideError, "float64 pixels")

    def test_a_missing_level(self, tmp_path):
        folder = write(tmp_path / "a.zarr")
        shutil.rmtree(folder / "1")
        self.refused(folder, UnreadableSlideError, "level 1 of .*missing or damaged")

    @pytest.mark.parametrize("name", [".zattrs", ".zgroup", "0/.zarray"])
    def test_damaged_metadata(self, tmp_path, name):
        folder = write(tmp_path / "a.zarr")
        (folder / name).write_text("{ no JSON")
        self.refused(folder, UnreadableSlideError, "cannot read")

    def test_metadata_without_end(self, tmp_path, monkeypatch):
        monkeypatch.setattr(stores, "MAX_METADATA_BYTES", 1000)
        folder = write(tmp_path / "a.zarr")
        (folder / ".zgroup").write_text(" " * 1001)
        self.refused(folder, UnreadableSlideError, r"\.zgroup has 1,001 bytes")

    def test_chunks_that_are_too_large(self, tmp_path, monkeypatch):
        folder = write(tmp_path / "a.zarr")
        stated = json.loads((folder / "0/.zarray").read_text())
        (folder / "0/.zarray").write_text(json.dumps(stated | {"chunks": [3, 2**15, 2**15]}))
        self.refused(folder, UnreadableSlideError, "more than is decoded at once")

    def test_a_size_beyond_reason(self, tmp_path):
        folder = write(tmp_path / "a.zarr")
        stated = json.loads((folder / "0/.zarray").read_text())
        (folder / "0/.zarray").write_text(json.dumps(stated | {"shape": [3, 10**9, 10**9]}))
        self.refused(folder, UnreadableSlideError, "expected sides of 1 to")

    def test_a_member_of_a_zip_that_unpacks_to_more_than_a_chunk(self, tmp_path, monkeypatch):
        monkeypatch.setattr(stores, "MAX_CHUNK_BYTES", 48 * 48 * 3)
        path = write(tmp_path / "a.zarr", chunk=48)
        (path / "0/0.0.0").write_bytes(bytes(10_000))
        with open_slide(zipped(path)) as slide, pytest.raises(UnreadableSlideError, match=r"0/0\.0\.0 .* has 10,000 bytes"):
            slide.read(Box(0, 0, 5, 5), MPP)

    def test_a_zip_that_is_cut_off(self, tmp_path):
        path = zipped(write(tmp_path / "a.zarr"))
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(UnreadableSlideError, match=r"a\.zarr\.zip"):
            open_slide(path)


class _Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("place", ["compressor", "filters"])
def test_a_pickle_among_the_codecs_is_refused_and_not_run(tmp_path, place):
    folder, touched = write(tmp_path / "a.zarr", steps=(1,), chunk=200), tmp_path / "touched"
    stated, codec = json.loads((folder / "0/.zarray").read_text()), {"id": "pickle", "protocol": 5}
    delta = {"id": "delta", "dtype": "|u1", "astype": "|u1"}
    changes = {"compressor": codec} if place == "compressor" else {"compressor": None, "filters": [delta, codec]}
    (folder / "0/.zarray").write_text(json.dumps(stated | changes))
    for channel in "012":
        (folder / f"0/{channel}.0.0").write_bytes(pickle.dumps(_Touch(touched)))
    with pytest.raises(SlideError, match="pickle"):
        open_slide(folder)
    assert not touched.exists()


@pytest.mark.parametrize("codec", ["base64", "json2", "vlen-utf8"])
def test_codecs_that_do_more_than_unpack_numbers_are_refused(tmp_path, codec):
    folder = write(tmp_path / "a.zarr")
    stated = json.loads((folder / "0/.zarray").read_text())
    (folder / "0/.zarray").write_text(json.dumps(stated | {"compressor": {"id": codec}}))
    with pytest.raises(SlideError, match=codec):
        open_slide(folder)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no links")
def test_a_link_that_leads_out_of_the_store_is_not_followed(tmp_path):
    folder = write(tmp_path / "a.zarr", steps=(1,))
    secret = tmp_path / "secret"
    shutil.move(folder / "0/1.1.1", secret)
    (folder / "0/1.1.1").symlink_to(secret)
    with open_slide(folder) as slide, pytest.raises(UnreadableSlideError, match="leads out of"):
        slide.read(Box.whole(slide.size), MPP)


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no links")
def test_the_store_itself_may_be_a_link(tmp_path):
    (tmp_path / "b.zarr").symlink_to(write(tmp_path / "a.zarr"))
    with open_slide(tmp_path / "b.zarr") as slide:
        np.testing.assert_array_equal(slide.read(Box.whole(slide.size), MPP), tissue())


def test_without_zarr_the_message_says_what_to_install(tmp_path, monkeypatch):
    folder = write(tmp_path / "a.zarr")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedSlideError, match=r'pip install "counterstain\[slides\]"'):
        open_slide(folder)


def test_listings_take_the_folders_that_hold_an_image(tmp_path):
    write(tmp_path / "a.ome.zarr")
    write(tmp_path / "b.zarr", "0.5")
    zarr.open_group(tmp_path / "table.zarr", mode="w", zarr_format=2)
    (tmp_path / "c.zarr").mkdir()
    found, faults = find_inputs((str(tmp_path),))
    assert [item.path.name for item in found] == ["a.ome.zarr", "b.zarr"]
    assert not faults
    named, faults = find_inputs((str(tmp_path / "a.ome.zarr"), str(tmp_path / "*.zarr")))
    assert [item.name for item in named] == ["a", "b"]
    assert not faults


@pytest.mark.parametrize("name", ["a.zarr", "a.ome.zarr", "a.ome.zarr.zip", "a.zarr.zip", "a.ozx"])
def test_a_store_is_named_without_its_suffixes(tmp_path, name):
    assert slide_name(tmp_path / name) == "a"
