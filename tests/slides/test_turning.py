"""The orientation tag, for all its eight values, as Pillow follows that of JPEG."""

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from counterstain.geometry import Box, Size
from counterstain.slides.opening import open_slide
from counterstain.slides.tiffs.tiled import TiledTiffSlide
from counterstain.slides.turning import stored_box, turned, turned_size

RGB = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
ORIENTATIONS = range(1, 9)


def as_pillow_turns(image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(image)
    picture.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(picture))


def oriented(orientation):
    return {"extratags": [(274, "H", 1, orientation, True)]}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_pixels_are_turned_as_pillow_turns_them(orientation):
    np.testing.assert_array_equal(turned(RGB, orientation), as_pillow_turns(RGB, orientation))
    assert turned_size(Size(40, 56), orientation) == Size(*turned(RGB, orientation).shape[:2])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("box", [Box(0, 0, 3, 5), Box(7, 2, 10, 11), Box(39, 20, 1, 20)])
def test_a_box_of_what_is_shown_is_where_its_pixels_are_stored(orientation, box):
    shown = turned(RGB, orientation)
    stored = stored_box(box, Size(*shown.shape[:2]), orientation)
    np.testing.assert_array_equal(turned(RGB[stored.slices], orientation), shown[box.slices])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}])
def test_a_flat_tiff_is_turned_and_its_pixel_size_with_it(tmp_path, orientation, options):
    resolution = {"resolution": (1e4 / 0.5, 1e4 / 0.25), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", **options, **oriented(orientation), **resolution)
    with open_slide(tmp_path / "a.tif") as slide:
        np.testing.assert_array_equal(slide._pixels, as_pillow_turns(RGB, orientation))
        across, down = (0.25, 0.5) if orientation > 4 else (0.5, 0.25)
        assert slide.resolution.sides == pytest.approx((down, across))
        assert slide.origin.orientation == orientation
        assert bool(slide.origin.warnings) == (orientation != 1)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_pyramid_is_turned_at_every_level(tmp_path, orientation):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for step in (1, 2):
            options = {"tile": (16, 16), "photometric": "rgb", "metadata": None, "subfiletype": int(step > 1)}
            writer.write(RGB[::step, ::step], **options, **oriented(orientation))
    with open_slide(tmp_path / "a.tif", mpp=0.25) as slide:
        assert isinstance(slide, TiledTiffSlide)
        assert slide.size == turned_size(Size(40, 56), orientation)
        np.testing.assert_array_equal(slide.read(Box.whole(slide.size), 0.25), as_pillow_turns(RGB, orientation))
        box = Box(3, 5, 7, 9)
        half = as_pillow_turns(np.ascontiguousarray(RGB[::2, ::2]), orientation)
        np.testing.assert_array_equal(slide.read(box, 0.5), half[box.slices])


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_one_rule_holds_for_all_formats_and_is_said(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if suffix != "tif" else {"tiffinfo": {274: 6}}
    Image.fromarray(RGB).save(tmp_path / f"a.{suffix}", **options)
    with open_slide(tmp_path / f"a.{suffix}") as slide:
        assert (slide.size, slide.origin.orientation) == (Size(56, 40), 6)
        assert "is turned as its orientation tag (6) says" in slide.origin.warnings[0]


def test_an_orientation_that_does_not_exist_is_as_stored(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", **oriented(9))
    with open_slide(tmp_path / "a.tif") as slide:
        np.testing.assert_array_equal(slide._pixels, RGB)
