"""What every ``Slide`` must do. Inherit, and give ``slide`` as a fixture: an open slide of at least 24 x 24 pixels."""

import numpy as np
import pytest

from counterstain.geometry import Box
from counterstain.slides.base import Slide, size_at

LABEL = (255, 0, 255)
"""Colour of the labels and overviews of slides that a test makes, which may show a name and are never read."""

FACTORS = (1.0, 1.1, 1.524, 2.0, 3.7, 0.72, 0.5)


class SlideConformance:
    def test_it_has_a_name_a_size_and_a_resolution(self, slide: Slide):
        assert slide.name
        assert "/" not in slide.name
        assert slide.size.area > 0
        assert slide.resolution.mpp > 0
        assert slide.resolution.source in ("metadata", "option", "assumed")

    @pytest.mark.parametrize("factor", FACTORS)
    def test_a_box_is_read_as_rgb_of_exactly_its_size(self, slide: Slide, factor: float):
        pixels = slide.read(Box(3, 2, 5, 7), slide.resolution.mpp * factor)
        assert (pixels.shape, pixels.dtype) == ((5, 7, 3), np.uint8)

    def test_a_box_without_area_is_read_as_no_pixels(self, slide: Slide):
        assert slide.read(Box(1, 1, 0, 4), slide.resolution.mpp).shape == (0, 4, 3)

    @pytest.mark.parametrize("factor", FACTORS)
    def test_outside_is_white(self, slide: Slide, factor: float):
        mpp = slide.resolution.mpp * factor
        size = size_at(slide, mpp)
        for box in (
            Box(-9, 0, 9, 9),
            Box(0, -9, 9, 9),
            Box(size.height, 0, 9, 9),
            Box(0, size.width, 9, 9),
            Box(-50, -50, 3, 3),
        ):
            assert (slide.read(box, mpp) == 255).all()

    @pytest.mark.parametrize("factor", FACTORS)
    def test_reading_across_the_border_gives_the_inside_and_white(self, slide: Slide, factor: float):
        mpp = slide.resolution.mpp * factor
        size = size_at(slide, mpp)
        wide = slide.read(Box.whole(size).grown(3), mpp)
        assert _difference(wide[3:-3, 3:-3], slide.read(Box.whole(size), mpp)) <= 1
        wide[3:-3, 3:-3] = 255
        assert (wide == 255).all()

    @pytest.mark.parametrize("factor", FACTORS)
    def test_pieces_are_the_pixels_of_the_whole(self, slide: Slide, factor: float):
        mpp = slide.resolution.mpp * factor
        whole = Box.whole(size_at(slide, mpp))
        pixels = slide.read(whole, mpp)
        joined = np.zeros_like(pixels)
        for piece in whole.split(11):
            joined[piece.slices] = slide.read(piece, mpp)
        difference = np.abs(joined.astype(int) - pixels)
        assert difference.max() <= (0 if factor == 1 else 2)
        assert (difference > 1).mean() < 1e-4

    @pytest.mark.parametrize("factor", [1, 2, 4, 8])
    def test_no_pixel_is_of_a_label(self, slide: Slide, factor: float):
        mpp = slide.resolution.mpp * factor
        assert not (slide.read(Box.whole(size_at(slide, mpp)).grown(5), mpp) == LABEL).all(axis=2).any()

    def test_it_is_a_context_manager(self, slide: Slide):
        with slide as same:
            assert same is slide

    def test_closing_twice_is_harmless(self, slide: Slide):
        slide.close()
        slide.close()


def _difference(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other).max())
