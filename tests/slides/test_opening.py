import os
from itertools import cycle

import numpy as np
import openslide
import pytest
import tifffile
from conformance.slide import SlideConformance
from PIL import Image

from counterstain.errors import MissingResolutionError, UnreadableSlideError
from counterstain.geometry import Box, Size
from counterstain.slides import openslide as openslide_module
from counterstain.slides.base import Resolution
from counterstain.slides.opening import SLIDE_SUFFIXES, as_unicode, open_slide, slide_name
from counterstain.slides.openslide import OpenSlideSlide

RGB = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


class TestRasterSlide(SlideConformance):
    @pytest.fixture
    def slide(self, tmp_path):
        Image.fromarray(RGB).save(tmp_path / "a.png")
        return open_slide(tmp_path / "a.png")


class TestTiffSlide(SlideConformance):
    @pytest.fixture
    def slide(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", resolution=(40_000,) * 2, resolutionunit="CENTIMETER")
        return open_slide(tmp_path / "a.tif")


class TestWholeSlide(SlideConformance):
    """A tiled pyramid with the description by which OpenSlide knows an Aperio slide."""

    @pytest.fixture
    def slide(self, tmp_path):
        slide = open_slide(_aperio(tmp_path / "a.svs", "|AppMag = 20|MPP = 0.4990"))
        assert isinstance(slide, OpenSlideSlide)
        yield slide
        slide.close()

    def test_level_zero_is_read_exactly(self, slide):
        np.testing.assert_array_equal(slide.read(Box(5, 3, 20, 40), 0.499), _tissue()[5:25, 3:43])

    def test_a_coarse_read_comes_from_a_coarse_level(self, slide):
        reduced = slide.read(Box(0, 0, 24, 32), 0.499 * 4)
        reference = _tissue().reshape(24, 4, 32, 4, 3).mean(axis=(1, 3))
        assert np.abs(reduced[2:-2, 2:-2] - reference[2:-2, 2:-2]).mean() < 3

    def test_the_pixel_size_is_that_of_the_scanner(self, slide):
        assert slide.resolution == Resolution(0.499, "metadata")
        assert slide.size == Size(96, 128)


def _tissue() -> np.ndarray:
    rows, cols = np.mgrid[:96, :128]
    return np.uint8(np.stack([rows + 100, cols + 60, 180 + 40 * np.sin(rows / 9)], axis=-1))


def _aperio(path, properties, *, label=False):
    with tifffile.TiffWriter(path) as writer:
        for step, kind in ((1, 0), (2, 0)):
            description = f"Aperio Image Library v1\r\n128x96 [0,0 128x96] (16x16){properties}"
            writer.write(
                _tissue()[::step, ::step],
                photometric="rgb",
                tile=(16, 16),
                compression="zlib",
                description=description,
                subfiletype=kind,
                metadata=None,
            )
        if label:
            writer.write(
                np.full((40, 40, 3), (255, 0, 255), np.uint8),
                photometric="rgb",
                compression="lzw",
                description="Aperio Image Library v1\r\nlabel 40x40",
                subfiletype=1,
                rowsperstrip=40,
                metadata=None,
            )
    return path


def test_a_whole_slide_without_pixel_size_is_refused_with_the_option_that_gives_it(tmp_path):
    path = _aperio(tmp_path / "a.svs", "")
    with pytest.raises(MissingResolutionError, match=r"mpp 0\.25"):
        open_slide(path)
    with open_slide(path, mpp=0.5) as slide:
        assert slide.resolution == Resolution(0.5, "option")


def test_a_slide_that_states_its_objective_alone_has_the_pixels_of_the_convention(tmp_path):
    with open_slide(_aperio(tmp_path / "a.svs", "|AppMag = 20")) as slide:
        assert slide.resolution == Resolution(0.5, "metadata")


def test_a_whole_slide_keeps_both_sides_of_pixels_that_are_not_square(tmp_path, monkeypatch):
    path = _aperio(tmp_path / "a.svs", "|MPP = 0.5")
    sides = cycle((0.25, 0.5, 40.0))
    monkeypatch.setattr(openslide_module, "_positive", lambda _: next(sides))
    with open_slide(path) as slide:
        assert slide.resolution.sides == pytest.approx((0.25, 0.5))
        assert slide.resolution.source == "metadata"
    with open_slide(path, mpp=0.25) as slide:
        assert slide.resolution == Resolution(0.25, "option", 0.5)


@pytest.mark.parametrize("text", [None, "", "0", "-1", "nan", "inf", "about 0.25"])
def test_a_property_that_is_no_number_states_nothing(text):
    assert openslide_module._positive(text) is None


def test_labels_and_overviews_are_never_read(tmp_path, monkeypatch):
    path = _aperio(tmp_path / "a.svs", "|MPP = 0.5", label=True)
    with openslide.OpenSlide(path) as plain:
        assert "label" in plain.associated_images
    touched = property(lambda self: pytest.fail("an associated image was read"))
    monkeypatch.setattr(openslide.OpenSlide, "associated_images", touched)
    with open_slide(path) as slide:
        for factor in (1, 2, 4):
            pixels = slide.read(Box(0, 0, 20, 20), slide.resolution.mpp * factor)
            assert not (pixels == (255, 0, 255)).all(axis=2).any()


def test_a_truncated_whole_slide_is_unreadable(tmp_path):
    path = _aperio(tmp_path / "a.svs", "|MPP = 0.5")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(UnreadableSlideError, match=r"a\.svs"), open_slide(path) as slide:
        slide.read(Box.whole(slide.size), slide.resolution.mpp)


def test_the_content_not_the_suffix_says_what_a_file_is(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.tif", format="PNG")
    tifffile.imwrite(tmp_path / "b.png", RGB, photometric="rgb")
    for name in ("a.tif", "b.png"):
        np.testing.assert_array_equal(open_slide(tmp_path / name).read(Box(0, 0, 30, 40), 0.25), RGB)


def test_the_option_wins_over_the_file_and_the_file_over_the_default(tmp_path):
    tagged, plain = tmp_path / "a.tif", tmp_path / "b.tif"
    tifffile.imwrite(tagged, RGB, photometric="rgb", resolution=(20_000,) * 2, resolutionunit="CENTIMETER")
    tifffile.imwrite(plain, RGB, photometric="rgb")
    assert open_slide(tagged, mpp=0.3).resolution == Resolution(0.3, "option")
    assert open_slide(tagged).resolution == Resolution(pytest.approx(0.5), "metadata")
    assert open_slide(plain, default_mpp=0.4).resolution == Resolution(0.4, "assumed")


def test_the_option_overrules_the_size_of_pixels_that_are_not_square_and_keeps_their_shape(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", resolution=(40_000, 20_000), resolutionunit="CENTIMETER")
    assert open_slide(path).resolution.sides == pytest.approx((0.5, 0.25))
    assert open_slide(path, mpp=0.25).resolution == Resolution(0.25, "option", 2.0)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_the_dots_per_inch_of_a_flat_image_are_not_a_pixel_size(tmp_path, suffix):
    Image.fromarray(RGB).save(tmp_path / f"a.{suffix}", dpi=(101_600, 101_600) if suffix != "jpg" else (300, 300))
    assert open_slide(tmp_path / f"a.{suffix}").resolution == Resolution(0.25, "assumed")


@pytest.mark.parametrize("mpp", [0, -1, float("nan"), float("inf")])
def test_a_pixel_size_that_is_not_positive_is_refused(tmp_path, mpp):
    with pytest.raises(ValueError, match="positive"):
        open_slide(tmp_path / "a.png", mpp=mpp)


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(UnreadableSlideError, match=r"nowhere\.png does not exist"):
        open_slide(tmp_path / "nowhere.png")


def test_a_folder_is_not_an_image(tmp_path):
    with pytest.raises(UnreadableSlideError, match="directory"):
        open_slide(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.svs"])
def test_an_empty_file_says_so(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(UnreadableSlideError, match=r"empty \(0 bytes\)"):
        open_slide(tmp_path / name)


@pytest.mark.parametrize(
    "content", [b"x", b"II*\0", b"II*\0\x08\0\0\0\0\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", bytes(500), b"DICM" * 99]
)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.svs", "a.dcm"])
def test_a_file_with_nothing_in_it_is_unreadable(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableSlideError, match=name):
        open_slide(tmp_path / name)


@pytest.mark.parametrize("shape", [(1, 1), (50, 3)])
@pytest.mark.parametrize("level", [0, 255, 77])
def test_tiny_and_uniform_images_are_slides(tmp_path, shape, level):
    image = np.full((*shape, 3), level, np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    slide = open_slide(tmp_path / "a.png")
    np.testing.assert_array_equal(slide.read(Box.whole(slide.size), 0.25), image)


@pytest.mark.parametrize(("name", "expected"), [("a.png", "a"), ("x/a.b.ome.tif", "a.b"), (".ome.tif", ".ome"), ("a", "a")])
def test_a_slide_is_named_by_its_file(tmp_path, name, expected):
    assert slide_name(tmp_path / name) == expected


def test_a_name_that_is_not_utf_8_becomes_text_that_is(tmp_path):
    assert slide_name(tmp_path / os.fsdecode(b"b\xe9.png")) == "b\ufffd"
    assert as_unicode("a/\u00e9.png") == "a/\u00e9.png"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UnreadableSlideError, match="not a file"):
        open_slide(tmp_path / "a.png")


def test_listing_takes_images_and_whole_slides():
    assert {".png", ".tif", ".svs", ".ndpi"} <= SLIDE_SUFFIXES
    assert not {".csv", ".json", ".geojson"} & SLIDE_SUFFIXES


@pytest.mark.parametrize(("name", "size", "mpp"), [("OS-2-ndpi", 2202, 0.2271), ("OS-2-vsi", 1445, 0.3461)])
def test_real_ome_tiffs_open_with_their_pixel_size(data_dir, name, size, mpp):
    slide = open_slide(data_dir / "openslide-os2" / f"{name}.ome.tif")
    assert slide.name == name
    assert slide.size == Size(size, size)
    assert slide.resolution == Resolution(pytest.approx(mpp, abs=1e-4), "metadata")
    assert 100 < slide.read(Box(700, 700, 64, 64), 0.25).mean() < 250
