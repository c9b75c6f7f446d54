"""Slides whose pixels are not square: the network sees square ones, positions are in the slide's own."""

import json

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from conformance.slide import SlideConformance
from hypothesis import given, settings
from hypothesis import strategies as st

from counterstain.cli.main import main
from counterstain.geometry import Box, Size
from counterstain.inference.classical import ClassicalBackend
from counterstain.outputs.images.drawing import painted_labels
from counterstain.pipeline import analyze
from counterstain.scoring.region_files import read_regions
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution, size_at, stated_resolution
from counterstain.slides.pyramid import level_of, read_pyramid
from counterstain.training.synthesis.render import synthetic_field

sides = st.floats(0.1, 1.0)


def smooth(height=48, width=60):
    rows, cols = np.mgrid[:height, :width]
    waves = [np.sin(rows / 7), np.cos(cols / 5), np.sin((rows + cols) / 9)]
    return np.uint8(128 + 100 * np.stack(waves, axis=-1))


def flattened(image, rows=1, cols=1):
    """Average groups of pixels: what a scanner with larger pixels records."""
    height, width = image.shape[0] // rows, image.shape[1] // cols
    return image.reshape(height, rows, width, cols, 3).mean(axis=(1, 3)).round().astype(np.uint8)


class TestOblongArray(SlideConformance):
    @pytest.fixture
    def slide(self):
        pixels = np.random.default_rng(0).integers(0, 256, (31, 43, 3), dtype=np.uint8)
        return ArraySlide(pixels, name="noise", resolution=stated_resolution((0.5, 0.4)))

    def test_pieces_are_the_pixels_of_the_whole(self, slide):
        """No factor copies pixels here, so to one grey level for each axis."""
        whole = Box.whole(size_at(slide, 0.3))
        pixels = slide.read(whole, 0.3).astype(int)
        for piece in whole.split(11):
            assert np.abs(slide.read(piece, 0.3) - pixels[piece.slices]).max() <= 1


@given(sides, sides)
def test_the_sides_of_a_pixel_give_its_area_and_come_back(height, width):
    resolution = stated_resolution((height, width))
    assert resolution.sides == pytest.approx((height, width))
    assert resolution.mpp**2 == pytest.approx(height * width)
    assert resolution.source == "metadata"


@given(sides)
def test_a_square_pixel_has_its_own_side_to_the_last_bit(side):
    assert stated_resolution((side, side)) == Resolution(side, "metadata")
    assert Resolution(side, "metadata").sides == (side, side)


@given(sides, sides, st.floats(0.1, 1.0))
def test_a_slide_has_the_same_size_in_micrometres_at_any_resolution(height, width, mpp):
    slide = ArraySlide(np.zeros((40, 50, 3), np.uint8), resolution=stated_resolution((height, width)))
    size = size_at(slide, mpp)
    assert size.height * mpp == pytest.approx(40 * height, abs=mpp)
    assert size.width * mpp == pytest.approx(50 * width, abs=mpp)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([(2, 1), (1, 2), (3, 1), (3, 2)]), st.floats(0.8, 3), st.integers(0, 8), st.integers(0, 8))
def test_oblong_pixels_show_the_picture_of_square_ones(groups, mpp, row, col):
    rows, cols = groups
    image = smooth()
    square = ArraySlide(image, resolution=Resolution(0.25, "metadata"))
    oblong = ArraySlide(flattened(image, rows, cols), resolution=stated_resolution((0.25 * rows, 0.25 * cols)))
    inside = Box(row, col, 9, 9).intersection(Box.whole(size_at(square, mpp)).grown(-2))
    difference = oblong.read(inside, mpp).astype(int) - square.read(inside, mpp)
    assert np.abs(difference).sum() <= 8 * difference.size


def test_the_level_is_the_coarsest_that_neither_axis_enlarges():
    full, seen = Size(96, 48), []
    levels = [level_of(Size(96 // step, 48 // step), full) for step in (1, 2, 4)]

    def read(box, level):
        seen.append(level)
        return np.zeros((box.height, box.width, 3), np.uint8)

    for factors in ((4.0, 2.0), (4.0, 1.5), (4.1, 4.0), (2.0, 8.0)):
        read_pyramid(read, levels, factors, Box(0, 0, 4, 4))
    assert seen == [1, 0, 2, 1]


@pytest.fixture(scope="module")
def field():
    return synthetic_field(seed=3, side=256).image


def test_nuclei_lie_where_they_lie_in_square_pixels(field):
    oblong = ArraySlide(flattened(field, 2, 1), name="oblong", resolution=stated_resolution((0.5, 0.25)))
    square = ArraySlide(field, name="square", resolution=Resolution(0.25, "metadata"))
    found, expected = (analyze(slide, ClassicalBackend()).cells for slide in (oblong, square))
    np.testing.assert_allclose(found["row_um"], found["row_px"] * 0.5)
    np.testing.assert_allclose(found["col_um"], found["col_px"] * 0.25)
    assert found["row_px"].max() < 128 < expected["row_px"].max()
    places = [np.column_stack([cells["row_um"], cells["col_um"]]) for cells in (found, expected)]
    nearest = np.hypot(*(places[1][:, None] - places[0][None]).transpose(2, 0, 1)).min(axis=1)
    assert np.median(nearest) < 1.0
    assert np.median(found["area_um2"]) == pytest.approx(np.median(expected["area_um2"]), rel=0.15)


def test_outlines_hold_the_area_of_the_nucleus_in_pixels_of_the_slide(field):
    slide = ArraySlide(flattened(field, 2, 1), name="oblong", resolution=stated_resolution((0.5, 0.25)))
    analysis = analyze(slide, ClassicalBackend())
    drawn = painted_labels(analysis.cells, Box.whole(analysis.maps.size), (2.0, 1.0))
    areas = np.bincount(drawn.ravel(), minlength=len(analysis.cells) + 1)[1:] * analysis.maps.mpp**2
    assert np.median(np.abs(areas / analysis.cells["area_um2"] - 1)) < 0.05


def test_boxes_in_micrometres_become_pixels_by_each_side(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("row_um,col_um,height_um,width_um\n10,10,20,20\n")
    (region,) = read_regions(path, (1.0, 0.5)).parts
    ((ring,),) = region.polygons
    np.testing.assert_array_equal(ring, [[10, 20], [10, 60], [30, 60], [30, 20]])
    assert region.area_px() * stated_resolution((1.0, 0.5)).mpp ** 2 == pytest.approx(400)


def test_the_command_line_keeps_both_sides_from_image_to_scores(field, tmp_path):
    """A box in micrometres that covers the upper half holds the same nuclei whichever command scores it."""
    image = flattened(field, 2, 1)
    tagged = {"resolution": (40_000, 20_000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "oblong.tif", image, photometric="rgb", **tagged)
    regions = tmp_path / "half.csv"
    regions.write_text("name,row_um,col_um,height_um,width_um\nhalf,0,0,32,64\n")
    results = [tmp_path / name for name in ("analysed", "segmented")]
    run = CliRunner().invoke
    options = ["--bundle", "classical", "--regions", str(regions), "--format", "csv", "--format", "ome-tiff"]
    assert run(main, ["analyze", str(tmp_path / "oblong.tif"), "--out", str(results[0]), *options]).exit_code == 0
    again = ["segment", str(results[0]), "--out", str(results[1]), "--regions", str(regions)]
    assert run(main, [*again, "--format", "csv"]).exit_code == 0
    assert run(main, ["score", str(results[0]), "--regions", str(regions)]).exit_code == 0
    files = [results[0] / "oblong/analysis.json", results[1] / "oblong/analysis.json", results[0] / "oblong/scores.json"]
    records = [json.loads(file.read_text()) for file in files]
    slide = records[0]["slide"]
    assert (slide["pixel_height_um"], slide["pixel_width_um"]) == pytest.approx((0.5, 0.25))
    assert (slide["height_px"], slide["width_px"], slide["analysed_height_px"]) == (128, 256, 256)
    scores = [[score for score in record["scores"] if score["region"] == "half"] for record in records]
    assert scores[0] == scores[1] == scores[2]
    density = next(score for score in scores[0] if score["name"] == "density")
    assert density["area_mm2"] == pytest.approx(32 * 64 / 1e6)
    rows = (results[0] / "oblong/cells.csv").read_text().splitlines()
    cells = [dict(zip(rows[0].split(","), row.split(","), strict=True)) for row in rows[1:]]
    assert density["counts"]["nuclei"] == sum(float(cell["row_px"]) + 0.5 < 64 for cell in cells) > 0
