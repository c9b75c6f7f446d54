"""The slide of the benchmark is what it says, and is analysed as every slide is."""

import numpy as np
import openslide
import pytest
import slides
import tifffile

from counterstain.geometry import Box, Size
from counterstain.slides.opening import open_slide
from counterstain.slides.tiffs.tiled import TiledTiffSlide
from counterstain.tiling.glass import find_tissue

SIDE = 2560


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    fields = slides.FIELDS
    slides.FIELDS = 2
    yield slides.make_slide(tmp_path_factory.mktemp("slides") / "made.tif", SIDE)
    slides.FIELDS = fields


def test_it_opens_everywhere_with_its_size_pixel_size_and_levels(path):
    with open_slide(path) as slide:
        assert isinstance(slide, TiledTiffSlide)
        assert slide.size == Size(SIDE, SIDE)
        assert slide.resolution.mpp == pytest.approx(slides.MPP)
    with openslide.OpenSlide(path) as slide:
        assert slide.level_dimensions == ((2560, 2560), (640, 640), (160, 160))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(slides.MPP)
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.series[0].levels) == 3


def test_every_level_shows_the_same_picture(path):
    with open_slide(path) as slide:
        fine = slide.read(Box(1024, 1024, 512, 512), slide.resolution.mpp)
        coarse = slide.read(Box(256, 256, 128, 128), slide.resolution.mpp * 4)
        reduced = fine.reshape(128, 4, 128, 4, 3).mean(axis=(1, 3))
        assert fine.std() > 10
        assert np.abs(coarse - reduced).mean() < 0.6 * np.abs(np.roll(coarse, 8, axis=0) - reduced).mean()


def test_tissue_covers_about_a_third_and_the_corners_are_glass(path):
    with open_slide(path) as slide:
        tissue = find_tissue(slide)
        assert tissue.area_mm2 == pytest.approx(slides.TISSUE_SHARE * (SIDE * slides.MPP / 1000) ** 2, rel=0.3)
        assert not tissue.touches(Box(0, 0, 500, 500), slides.MPP)
        assert tissue.touches(Box(SIDE // 2, SIDE // 2, 100, 100), slides.MPP)


def test_reads_are_timed_for_both_readers(path, monkeypatch):
    monkeypatch.setattr(slides, "READS", 2)
    assert all(rate > 0 for rate in slides.read_rates(path).values())
