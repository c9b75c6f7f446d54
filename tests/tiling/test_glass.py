import numpy as np
import pytest
from hypothesis import given, settings
from strategies import boxes

from counterstain.geometry import Box
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.slides.thumbnail import thumbnail
from counterstain.tiling.glass import TISSUE_MPP, Tissue, find_tissue

MASK = np.random.default_rng(0).random((12, 15)) > 0.9


@settings(max_examples=200, deadline=None)
@given(boxes(reach=70, largest=50))
def test_a_box_touches_tissue_when_any_of_its_pixels_lies_on_it(box):
    fine = np.kron(MASK, np.ones((4, 4), bool))
    inside = box.intersection(Box(0, 0, *fine.shape))
    assert Tissue(mask=MASK, mpp=8.0).touches(box, 2.0) == fine[inside.slices].any()


def test_the_area_is_that_of_the_pixels():
    mask = np.zeros((200, 200), bool)
    mask[:125, :125] = True  # 125 pixels of 8 um are a millimetre
    assert Tissue(mask=mask, mpp=8.0).area_mm2 == pytest.approx(1.0)


def test_tissue_is_found_where_it_was_drawn():
    pixels = np.full((400, 400, 3), 245, np.uint8)
    pixels[100:200, 200:300] = np.random.default_rng(0).integers(90, 200, (100, 100, 3))
    slide = ArraySlide(pixels, resolution=Resolution(4.0, "option"))
    tissue = find_tissue(slide)
    assert tissue.mpp == TISSUE_MPP
    assert tissue.area_mm2 == pytest.approx(0.16, rel=0.25)
    assert tissue.touches(Box(150, 250, 10, 10), 4.0)
    assert not tissue.touches(Box(0, 0, 80, 400), 4.0)


def test_a_slide_coarser_than_the_mask_is_taken_as_it_is():
    slide = ArraySlide(np.full((30, 30, 3), 240, np.uint8), resolution=Resolution(20.0, "option"))
    assert find_tissue(slide).mpp == 20.0
    assert find_tissue(slide).area_mm2 == 0


def test_a_thumbnail_is_read_in_pieces_and_shows_the_whole(monkeypatch):
    pixels = np.kron(np.random.default_rng(1).integers(0, 256, (60, 50, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
    slide, read = ArraySlide(pixels, resolution=Resolution(1.0, "option")), []

    class Watched:
        size, resolution = slide.size, slide.resolution

        def read(self, box, mpp):
            read.append(box)
            return slide.read(box, mpp)

    monkeypatch.setattr("counterstain.slides.thumbnail.PIECE_PX", 80)
    small = thumbnail(Watched(), 4.0)
    assert small.shape == (60, 50, 3)
    assert len(read) == 3 * 3
    assert np.abs(small.astype(int) - slide.read(Box(0, 0, 60, 50), 4.0)).max() <= 1
