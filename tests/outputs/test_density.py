import dataclasses

import numpy as np
import pytest
from PIL import Image

from counterstain.cells.table import COLUMNS, Cells
from counterstain.geometry import Size
from counterstain.outputs.images.density import (
    LONGEST_SIDE_PX,
    MAXIMUM,
    heated,
    nuclei_in_pixels,
    nuclei_per_mm2,
    write_density,
)
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution


def test_an_even_spread_of_nuclei_has_its_density_everywhere_also_at_the_border():
    rows, cols = (axis.ravel() for axis in np.mgrid[5:1000:10, 5:1000:10].astype(float))
    density = nuclei_per_mm2(nuclei_in_pixels(rows, cols, Size(100, 100), 10.0), 10.0)
    np.testing.assert_allclose(density, 1e6 / 100)


def test_the_densest_place_is_where_the_nuclei_are():
    density = nuclei_per_mm2(nuclei_in_pixels(np.full(5, 300.0), np.full(5, 800.0), Size(50, 100), 10.0), 10.0)
    assert np.unravel_index(density.argmax(), density.shape) == (30, 80)
    assert density.sum() * 100 / 1e6 == pytest.approx(5, rel=0.01)


def test_without_nuclei_the_picture_is_the_slide(analysis, tmp_path):
    pixels = np.full((4, 5, 3), 200, np.uint8)
    np.testing.assert_array_equal(heated(pixels, np.zeros((4, 5))), pixels)
    empty = Cells(columns={name: np.empty(0, kind) for name, kind in COLUMNS.items()}, outlines=[])
    write_density(dataclasses.replace(analysis, cells=empty), tmp_path / "d.png", only_positive=False)
    with Image.open(tmp_path / "d.png") as picture:
        assert np.unique(np.asarray(picture)).tolist() == [240]
        assert picture.text[MAXIMUM] == "0"


def test_a_picture_of_a_large_slide_is_a_thumbnail_and_says_its_maximum(analysis, tmp_path):
    slide = ArraySlide(np.full((100, 3000, 3), 240, np.uint8), resolution=Resolution(0.25, "option"))
    large = dataclasses.replace(analysis, slide=slide)
    maxima = []
    for only_positive in (False, True):
        write_density(large, tmp_path / "d.png", only_positive=only_positive)
        with Image.open(tmp_path / "d.png") as picture:
            assert max(picture.size) == LONGEST_SIDE_PX
            maxima.append(float(picture.text[MAXIMUM]))
    assert maxima[0] > maxima[1] > 0
