"""Slides of every vendor whose format a test can write, through OpenSlide."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile
import vendor_slides as vendors
from conformance.slide import LABEL, SlideConformance
from czi_slides import UNCOMPRESSED, write_czi

from counterstain.geometry import Box, Size
from counterstain.slides import openslide as openslide_module
from counterstain.slides.base import Resolution
from counterstain.slides.opening import open_slide
from counterstain.slides.openslide import OpenSlideSlide

MPP = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    write: Any
    format: str
    tolerance: int = 0
    """Grey levels by which the compression changes pixels."""
    associated: frozenset[str] = frozenset()
    corner: tuple[int, int] = (0, 0)
    """Row and column of the scanned part on the glass, where the file says it."""


def write_zeiss(stem, image, mpp):
    return write_czi(stem.with_suffix(".czi"), image, mpp, compression=UNCOMPRESSED, corner=(-64, -300))


BOTH = frozenset({"label", "macro"})
VENDORS = {
    "Aperio SVS": Vendor(write=vendors.write_aperio, format="aperio", associated=BOTH),
    "Leica SCN": Vendor(
        write=vendors.write_leica, format="leica", associated=frozenset({"macro"}), corner=vendors.LEICA_CORNER
    ),
    "Philips TIFF": Vendor(write=vendors.write_philips, format="philips", associated=BOTH),
    "Trestle": Vendor(write=vendors.write_trestle, format="trestle"),
    "Ventana BIF": Vendor(write=vendors.write_ventana, format="ventana", tolerance=4, associated=frozenset({"macro"})),
    "Hamamatsu NDPI": Vendor(
        write=vendors.write_hamamatsu_ndpi, format="hamamatsu", tolerance=4, associated=frozenset({"macro"})
    ),
    "Hamamatsu VMS": Vendor(
        write=vendors.write_hamamatsu_vms, format="hamamatsu", tolerance=4, associated=frozenset({"macro"})
    ),
    "MIRAX": Vendor(write=vendors.write_mirax, format="mirax", associated=frozenset({"macro"})),
    "ZEISS CZI": Vendor(write=write_zeiss, format="zeiss", associated=frozenset({"label"})),
    "DICOM": Vendor(write=vendors.write_dicom, format="dicom", associated=frozenset({"label"})),
}


def picture(height=128, width=192):
    rows, cols = np.mgrid[:height, :width]
    waves = [np.sin(rows / 19), np.cos(cols / 23), np.sin((rows + cols) / 29)]
    return np.uint8(128 + 70 * np.stack(waves, axis=-1) + np.random.default_rng(0).integers(0, 40, (height, width, 3)))


@pytest.fixture(scope="module", params=VENDORS)
def vendor(request):
    return VENDORS[request.param]


@pytest.fixture(scope="module")
def path(vendor, tmp_path_factory):
    return vendor.write(tmp_path_factory.mktemp("slides") / "slide", picture(), MPP)


@pytest.fixture
def untouched(monkeypatch):
    """Fail where an associated image is asked for, by OpenSlide's Python interface or below it."""
    monkeypatch.setattr(openslide.OpenSlide, "associated_images", property(lambda self: pytest.fail("listed")))
    for name in ("read_associated_image", "get_associated_image_names", "get_associated_image_dimensions"):
        monkeypatch.setattr(openslide.lowlevel, name, lambda *args: pytest.fail("an associated image was read"))


class TestVendorSlide(SlideConformance):
    @pytest.fixture
    def slide(self, path, untouched):
        with open_slide(path) as slide:
            assert isinstance(slide, OpenSlideSlide)
            yield slide


def test_each_writer_makes_the_format_that_it_says_with_labels_that_could_be_read(vendor, path):
    assert openslide.OpenSlide.detect_format(path) == vendor.format
    with openslide.OpenSlide(path) as slide:
        assert set(slide.associated_images) == vendor.associated
        for image in slide.associated_images.values():
            assert np.abs(np.asarray(image)[5, 5, :3].astype(int) - LABEL).max() <= 3


def test_size_and_pixel_size_are_those_of_the_file(vendor, path):
    with open_slide(path) as slide:
        assert slide.size == Size(*picture().shape[:2])
        assert slide.resolution == Resolution(pytest.approx(MPP), "metadata")


def test_a_slide_is_the_scanned_part_of_the_glass_and_says_where_that_lies(vendor, path):
    with openslide.OpenSlide(path) as whole, open_slide(path) as slide:
        assert (slide.origin.row_px, slide.origin.col_px) == vendor.corner
        shown = [int(whole.properties.get(f"openslide.bounds-{axis}", 0)) for axis in "yx"]
        assert shown == [*vendor.corner]


def test_every_pixel_is_that_of_the_file(vendor, path, untouched):
    with open_slide(path) as slide:
        pixels = slide.read(Box.whole(slide.size), slide.resolution.mpp).astype(int)
        assert np.abs(pixels - picture()).max() <= vendor.tolerance


@pytest.mark.parametrize(("factor", "level"), [(1, 0), (1.9, 0), (2, 1), (3, 1)])
def test_a_coarse_read_comes_from_the_level_that_fits(vendor, path, monkeypatch, factor, level):
    asked, read = [], openslide.OpenSlide.read_region
    monkeypatch.setattr(openslide.OpenSlide, "read_region", lambda self, *args: asked.append(args[1]) or read(self, *args))
    with open_slide(path) as slide:
        pixels = slide.read(Box(10, 20, 20, 30), MPP * factor)
        assert asked == [level]
    stop = [round(side * factor) for side in (10, 20, 30, 50)]
    whole = picture()[stop[0] : stop[2], stop[1] : stop[3]]
    assert np.abs(pixels.mean(axis=(0, 1)) - whole.mean(axis=(0, 1))).max() < 4


def test_a_slide_whose_pixel_size_cannot_be_believed_has_that_of_its_objective(tmp_path):
    with open_slide(vendors.write_trestle(tmp_path / "slide", picture(), 25_000)) as slide:
        assert slide.resolution == Resolution(0.5, "metadata")


def damage_tile(path, level, number):
    """Overwrite one tile of a level."""
    with tifffile.TiffFile(path) as tiff:
        page = [page for page in tiff.pages if page.is_tiled][level]
        start, count = page.dataoffsets[number], page.databytecounts[number]
    content = bytearray(path.read_bytes())
    content[start : start + count] = b"\xff" * count
    path.write_bytes(content)


TILED = ((vendors.write_aperio, 32), (vendors.write_philips, 16), (vendors.write_ventana, 32))


@pytest.mark.parametrize(("writer", "side"), TILED)
def test_a_corrupt_tile_is_named_and_white_and_the_others_are_read_before_and_after(tmp_path, monkeypatch, writer, side):
    monkeypatch.setattr(openslide_module, "TILE_PX", side)  # of a format that does not state it
    path = writer(tmp_path / "slide", picture(), MPP)
    with open_slide(path) as slide:
        whole = slide.read(Box.whole(slide.size), MPP)
    damage_tile(path, 0, -1)
    tile = Box(128 - side, 192 - side, side, side)
    expected = whole.copy()
    expected[tile.slices] = 255
    with open_slide(path) as slide:
        for _ in range(2):
            np.testing.assert_array_equal(slide.read(Box.whole(slide.size), MPP), expected)
            (damage,) = slide.damage(Box.whole(slide.size), MPP)
            assert damage.box == tile
            assert f"rows {tile.row} to 127, columns {tile.col} to 191 of level 0 of " in damage.reason
            np.testing.assert_array_equal(slide.read(Box(0, 0, 96, 192), MPP), whole[:96])
            assert not slide.damage(Box(0, 0, 96, 192), MPP)
        assert [damage.box for damage in slide.damage(Box(118, 150, 8, 36), MPP)] == [Box(118, tile.col, 8, 186 - tile.col)]


@pytest.mark.parametrize(("writer", "side"), TILED)
def test_a_corrupt_tile_of_a_smaller_level_is_made_from_the_larger_one_and_is_no_damage(tmp_path, monkeypatch, writer, side):
    monkeypatch.setattr(openslide_module, "TILE_PX", side)
    path = writer(tmp_path / "slide", picture(), MPP)
    damage_tile(path, 1, 0)
    with open_slide(path) as slide:
        half = Box(0, 0, 64, 96)
        pixels = slide.read(half, 2 * MPP)
        assert not slide.damage(half, 2 * MPP)
        mean = picture().reshape(64, 2, 96, 2, 3).mean(axis=(1, 3))
        assert np.abs(pixels[2:30, 2:30] - mean[2:30, 2:30]).mean() < 12
    damage_tile(path, 0, 0)
    with open_slide(path) as slide:
        assert (slide.read(half, 2 * MPP)[: side // 2 - 4, : side // 2 - 4] == 255).all()
        (damage,) = slide.damage(half, 2 * MPP)
        assert damage.box.intersection(Box(0, 0, side // 2, side // 2)) == Box(0, 0, side // 2, side // 2)
        assert damage.box.size.area < (side // 2 + 8) ** 2


@pytest.mark.parametrize("corner", [(16, 32), (17, 33), (5, 11)])
def test_a_part_of_the_glass_that_begins_at_any_pixel_is_read_at_every_level(tmp_path, monkeypatch, corner):
    monkeypatch.setattr(vendors, "LEICA_CORNER", corner)
    smooth = np.uint8(np.clip(picture().astype(int) * 0 + np.mgrid[:128, :192][0][..., None], 0, 255))
    with open_slide(vendors.write_leica(tmp_path / "slide", smooth, MPP)) as slide:
        assert (slide.origin.row_px, slide.origin.col_px) == corner
        np.testing.assert_array_equal(slide.read(Box.whole(slide.size), slide.resolution.mpp), smooth)
        half = slide.read(Box(4, 4, 56, 88), 2 * slide.resolution.mpp).astype(int)
        assert np.abs(half - smooth[8:120:2, 8:184:2]).max() <= 2
