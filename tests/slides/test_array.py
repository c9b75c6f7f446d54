import numpy as np
import pytest
from conformance.slide import SlideConformance
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from strategies import boxes, images

from counterstain.geometry import Box, Size
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution, size_at


class TestArraySlide(SlideConformance):
    @pytest.fixture
    def slide(self):
        pixels = np.random.default_rng(0).integers(0, 256, (31, 43, 3), dtype=np.uint8)
        return ArraySlide(pixels, name="noise", resolution=Resolution(0.5, "option"))


def test_an_array_that_is_not_rgb_is_refused():
    with pytest.raises(ValueError, match="RGB"):
        ArraySlide(np.zeros((4, 4), np.uint8))


@given(images(), boxes())
def test_at_its_own_resolution_pixels_are_copied(image, box):
    slide = ArraySlide(image)
    expected = np.pad(image, ((60, 120), (60, 120), (0, 0)), constant_values=255)[box.shifted(60, 60).slices]
    np.testing.assert_array_equal(slide.read(box, 0.25 * (1 + 1e-8)), expected)


@settings(max_examples=60, deadline=None)
@given(images(largest=70), st.floats(0.3, 8), boxes(reach=70, largest=90))
def test_resampled_pieces_agree_with_the_whole_to_one_grey_level(image, factor, box):
    slide = ArraySlide(image)
    whole = Box.whole(size_at(slide, 0.25 * factor))
    inside = box.intersection(whole)
    piece = slide.read(inside, 0.25 * factor).astype(int)
    difference = np.abs(piece - slide.read(whole, 0.25 * factor)[inside.slices])
    assert difference.max(initial=0) <= 1


def test_pieces_of_a_large_image_agree_with_the_whole():
    image = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    slide, mpp = ArraySlide(image, resolution=Resolution(0.2271, "metadata")), 0.25
    pixels = slide.read(Box.whole(size_at(slide, mpp)), mpp).astype(int)
    for box in (Box(416, 416, 200, 300), Box(3, 700, 600, 20), Box(600, 1, 20, 700)):
        assert np.abs(slide.read(box, mpp) - pixels[box.slices]).max() <= 1


@pytest.mark.parametrize("factor", [0.4, 0.8, 1.3, 2.0, 5.5])
def test_one_colour_stays_that_colour_to_the_border(factor):
    slide = ArraySlide(np.full((41, 30, 3), (10, 120, 240), np.uint8))
    pixels = slide.read(Box.whole(size_at(slide, 0.25 * factor)), 0.25 * factor)
    assert (pixels == (10, 120, 240)).all()


def test_halving_agrees_with_pillow():
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    reference = np.asarray(Image.fromarray(image).resize((40, 30), Image.Resampling.BICUBIC))
    halved = ArraySlide(image).read(Box(0, 0, 30, 40), 0.5)
    assert np.abs(halved[3:-3, 3:-3].astype(int) - reference[3:-3, 3:-3]).max() <= 1  # borders are extended differently


@pytest.mark.parametrize("shape", [(1, 1), (50, 3), (3, 50)])
@pytest.mark.parametrize("mpp", [0.1, 0.25, 3.0])
def test_the_smallest_slides_can_be_read_at_any_resolution(shape, mpp):
    slide = ArraySlide(np.zeros((*shape, 3), np.uint8))
    size = size_at(slide, mpp)
    assert size.height >= 1
    assert size.width >= 1
    assert (slide.read(Box.whole(size), mpp) == 0).all()


def test_the_default_resolution_says_that_it_is_assumed():
    slide = ArraySlide(np.zeros((2, 3, 3), np.uint8))
    assert slide.resolution == Resolution(0.25, "assumed")
    assert slide.size == Size(2, 3)
