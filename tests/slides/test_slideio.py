"""CZI slides that the tests make, by slideio where they are compressed by JPEG XR, else by OpenSlide."""

import importlib
import importlib.util
import re

import numpy as np
import pytest
from conformance.slide import LABEL, SlideConformance
from czi_slides import JPEG_XR, UNCOMPRESSED, write_czi

from counterstain.errors import MissingResolutionError, UnreadableSlideError, UnsupportedSlideError
from counterstain.geometry import Box, Size
from counterstain.slides.base import Resolution
from counterstain.slides.opening import open_slide
from counterstain.slides.openslide import OpenSlideSlide

slideio = pytest.importorskip("slideio", reason="slideio has no wheels for Linux on ARM")
slideio_module = importlib.import_module("counterstain.slides.slideio")

MPP = 0.4
WHOLE = Box(0, 0, 128, 192)


def picture(height=128, width=192):
    rows, cols = np.mgrid[:height, :width]
    waves = [np.sin(rows / 19), np.cos(cols / 23), np.sin((rows + cols) / 29)]
    return np.uint8(128 + 70 * np.stack(waves, axis=-1) + np.random.default_rng(0).integers(0, 40, (height, width, 3)))


@pytest.fixture
def path(tmp_path):
    return write_czi(tmp_path / "slide.czi", picture(), MPP)


@pytest.fixture
def untouched(monkeypatch):
    """Fail where an associated image is asked for."""
    for part in (slideio.Slide, slideio.Scene):
        for name in ("get_aux_image", "get_aux_image_names", "get_aux_image_raster"):
            monkeypatch.setattr(part, name, lambda *args: pytest.fail("an associated image was read"), raising=False)


class TestSlideioSlide(SlideConformance):
    @pytest.fixture
    def slide(self, path, untouched):
        with open_slide(path) as slide:
            assert type(slide).__name__ == "SlideioSlide"
            yield slide


def test_the_writer_makes_a_label_that_could_be_read(path):
    slide = slideio.open_slide(str(path), "CZI")
    assert slide.get_aux_image_names() == ["Label"]
    assert np.abs(slide.get_aux_image_raster("Label")[5, 5].astype(int) - LABEL).max() <= 3


@pytest.mark.parametrize("corner", [(0, 0), (1000, -5000), (30, 70)])
def test_every_pixel_is_that_of_the_file(tmp_path, untouched, corner):
    with open_slide(write_czi(tmp_path / "slide.czi", picture(), MPP, corner=corner)) as slide:
        assert slide.name == "slide"
        assert slide.size == Size(128, 192)
        assert slide.resolution == Resolution(pytest.approx(MPP), "metadata")
        np.testing.assert_array_equal(slide.read(WHOLE, slide.resolution.mpp), picture())
        np.testing.assert_array_equal(slide.read(Box(60, 63, 5, 70), slide.resolution.mpp), picture()[60:65, 63:133])


@pytest.mark.parametrize(("factor", "level"), [(1, 0), (1.9, 0), (2, 1), (3, 1)])
def test_a_coarse_read_comes_from_the_level_that_fits(path, monkeypatch, factor, level):
    with open_slide(path) as slide:
        asked, stored = [], slide._read_stored
        monkeypatch.setattr(slide, "_read_stored", lambda box, number: asked.append(number) or stored(box, number))
        pixels = slide.read(Box(0, 0, 20, 30), slide.resolution.mpp * factor)
    assert asked == [level]
    if factor == 2:
        np.testing.assert_array_equal(pixels, picture()[:40:2, :60:2])


def test_pixels_that_are_not_square_keep_both_sides(tmp_path):
    with open_slide(write_czi(tmp_path / "slide.czi", picture(), MPP, sides=(0.5, 0.25))) as slide:
        assert slide.resolution.sides == pytest.approx((0.5, 0.25))


def test_a_slide_without_pixel_size_is_refused_with_the_option_that_gives_it(tmp_path):
    path = write_czi(tmp_path / "slide.czi", picture(), None)
    with pytest.raises(MissingResolutionError, match=r"mpp 0\.25"):
        open_slide(path)
    with open_slide(path, mpp=0.5) as slide:
        assert slide.resolution == Resolution(0.5, "option")


def test_of_several_scenes_one_must_be_named(tmp_path):
    other = np.full((64, 64, 3), 90, np.uint8)
    path = write_czi(tmp_path / "slide.czi", picture(), MPP, other=other)
    with pytest.raises(UnsupportedSlideError, match=r"2 images of full size: series 0 .*64 x 64 px.*, series 1 .*192 x 128 px"):
        open_slide(path)
    with open_slide(path, series=1) as slide:
        assert slide.size == Size(128, 192)
        np.testing.assert_array_equal(slide.read(WHOLE, slide.resolution.mpp), picture())
    with open_slide(path, series=0) as slide:
        assert (slide.size, slide.origin.series, slide.origin.images) == (Size(64, 64), 0, 2)
        assert slide.origin.col_px == -5000


def test_what_was_not_scanned_is_white(tmp_path):
    expected = picture()
    expected[:64, 64:128] = 255
    with open_slide(write_czi(tmp_path / "slide.czi", picture(), MPP, steps=(1,), gap=1)) as slide:
        np.testing.assert_array_equal(slide.read(WHOLE, slide.resolution.mpp), expected)


@pytest.mark.parametrize("name", ["slide.czi", "slide.dat"])
def test_a_czi_without_jpeg_xr_is_read_by_openslide_whatever_its_name(tmp_path, name):
    with open_slide(write_czi(tmp_path / name, picture(), MPP, compression=UNCOMPRESSED, corner=(-30, -70))) as slide:
        assert isinstance(slide, OpenSlideSlide)
        assert slide.resolution == Resolution(pytest.approx(MPP), "metadata")
        np.testing.assert_array_equal(slide.read(WHOLE, slide.resolution.mpp), picture())


def test_tiles_that_slideio_puts_in_wrong_places_are_refused(tmp_path):
    """When this fails because the pixels are right, slideio is mended and the check can go."""
    path = write_czi(tmp_path / "slide.czi", picture(), MPP, corner=(-64, 0))
    with pytest.raises(UnsupportedSlideError, match=r"negative rows .* export it as OME-TIFF"):
        open_slide(path)
    wrong = slideio.open_slide(str(path), "CZI").get_scene(0).read_block()
    assert (wrong[..., ::-1] != picture()).any()


def test_separate_channels_are_refused(tmp_path):
    path = write_czi(tmp_path / "slide.czi", picture(), MPP, pixels="Gray8")
    with pytest.raises(UnsupportedSlideError, match="expected one RGB image"):
        open_slide(path)


def test_blocks_are_decoded_once(path, monkeypatch):
    monkeypatch.setattr(slideio_module, "BLOCK_PX", 50)
    with open_slide(path) as slide:
        asked, stored = [], slide._read_stored
        monkeypatch.setattr(slide, "_read_stored", lambda box, number: asked.append((box, number)) or stored(box, number))
        for box in WHOLE.split(20):
            np.testing.assert_array_equal(slide.read(box, slide.resolution.mpp), picture()[box.slices])
        assert len(asked) == len(set(asked)) == 3 * 4


def test_a_corrupt_tile_is_named_with_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(slideio_module, "BLOCK_PX", 64)
    path = write_czi(tmp_path / "slide.czi", picture(), MPP)
    content = bytearray(path.read_bytes())
    starts = [at for at in range(len(content)) if content[at : at + 4] == b"II\xbc\x01"]
    content[starts[4] : starts[4] + 300] = b"\xff" * 300
    path.write_bytes(content)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(Box(0, 0, 40, 192), slide.resolution.mpp), picture()[:40])
        assert (slide.read(Box(70, 80, 10, 10), slide.resolution.mpp) == 255).all()
        (damage,) = slide.damage(Box(0, 0, 128, 192), slide.resolution.mpp)
        assert damage.box == Box(64, 64, 64, 64)
        assert re.search(r"rows 64 to 127, columns 64 to 127 of level 0 of .*slide\.czi", damage.reason)


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.5])
def test_a_truncated_slide_is_unreadable(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: max(12, int(len(content) * share))])
    with pytest.raises(UnreadableSlideError, match=r"slide\.czi.*past the end") as caught:
        open_slide(path)
    assert ".cpp" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.czi", "a.vsi", "a.zvi"])
def test_a_file_that_only_has_the_name_is_unreadable(tmp_path, name):
    (tmp_path / name).write_bytes(b"II*\0" + bytes(500))
    with pytest.raises(UnreadableSlideError, match=name):
        open_slide(tmp_path / name)


@pytest.mark.parametrize("name", ["slide.czi", "slide.dat"])
def test_without_slideio_the_message_says_what_to_install(tmp_path, monkeypatch, name):
    path, find = write_czi(tmp_path / name, picture(), MPP, compression=JPEG_XR), importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "slideio" else find(name))
    with pytest.raises(UnsupportedSlideError, match=r'pip install "counterstain\[czi\]"'):
        open_slide(path)
