import dataclasses

import numpy as np
import pytest
from PIL import Image
from stained_fields import AEC, stained_field

from counterstain.outputs.images.pictures import _with_headline, write_modality, write_overlay, write_segmentation
from counterstain.tiling.stains import find_stains

LETTERS = {(0, 0, 0): ".", (255, 0, 0): "R", (0, 0, 255): "B", (0, 255, 0): "g", (240, 240, 240): " ", (255, 255, 255): "w"}


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


def drawn(path):
    pixels = pixels_of(path)
    return ["".join(LETTERS[tuple(map(int, pixel))] for pixel in row) for row in pixels]


def test_the_segmentation_is_red_blue_within_green_lines(analysis, tmp_path):
    write_segmentation(analysis, tmp_path / "s.png")
    assert drawn(tmp_path / "s.png") == [
        "................",
        ".gggggggg.......",
        ".gRRggBBg.......",
        ".gRRggBBg.......",
        ".gggggggg.......",
        "................",
        "................",
        "................",
        "..........gggggg",
        "..........gRRRRR",
        "..........gRRRRR",
        "..........gRRRRR",
    ]


def test_the_overlay_is_the_slide_with_outlines_in_a_light_casing(analysis, tmp_path):
    write_overlay(dataclasses.replace(analysis, outline_px=1), tmp_path / "o.png")
    assert drawn(tmp_path / "o.png")[:6] == [
        "wwwwwwwwww      ",
        "wRRRRBBBBw      ",
        "wR  RB  Bw      ",
        "wR  RB  Bw      ",
        "wRRRRBBBBw      ",
        "wwwwwwwwww      ",
    ]


def test_outlines_are_two_pixels_wide_unless_told_otherwise(analysis, tmp_path):
    write_overlay(analysis, tmp_path / "o.png")
    assert drawn(tmp_path / "o.png")[9:] == [
        "         wRRRRRR",
        "         wRR    ",
        "         wRR    ",
    ]


def test_a_stain_that_the_model_does_not_know_stands_on_the_overlay(make_analysis, tmp_path):
    plain = make_analysis()
    write_overlay(plain, tmp_path / "plain.png")
    write_overlay(dataclasses.replace(plain, stains=find_stains(stained_field(AEC))), tmp_path / "odd.png")
    assert (pixels_of(tmp_path / "odd.png") != pixels_of(tmp_path / "plain.png")).any()


def rows_written(side, text):
    grey = np.full((side, side, 3), 128, np.uint8)
    return int((_with_headline(grey, text) != grey).any(axis=(1, 2)).sum())


@pytest.mark.parametrize("side", [300, 1000, 3000])
def test_a_headline_wider_than_the_picture_goes_on_in_another_line(side):
    one, two = rows_written(side, "many words"), rows_written(side, "many words " * 12)
    assert one < two < side / 4
    assert one > side / 60  # letters that are read when the whole picture is looked at


def test_a_headline_on_a_picture_narrower_than_a_word_is_no_fault():
    assert 0 < rows_written(12, "many words") <= 12


@pytest.mark.parametrize(("maps_mpp", "factor"), [(0.125, 2), (0.25, 1)])
def test_pictures_have_the_size_of_the_maps(make_analysis, squares, tmp_path, maps_mpp, factor):
    scaled = make_analysis(maps_mpp=maps_mpp)
    write_segmentation(scaled, tmp_path / "s.png")
    write_overlay(scaled, tmp_path / "o.png")
    segmentation, overlay = pixels_of(tmp_path / "s.png"), pixels_of(tmp_path / "o.png")
    assert segmentation.shape == overlay.shape == (12 * factor, 16 * factor, 3)
    painted = segmentation.any(axis=2).sum()
    assert painted == sum(box.size.area for box in squares) * factor**2


def test_a_modality_is_shown_in_the_colour_of_its_channel(analysis, tmp_path):
    write_modality(analysis, tmp_path / "lap2.png", "lap2")
    write_modality(analysis, tmp_path / "hematoxylin.png", "hematoxylin")
    assert pixels_of(tmp_path / "lap2.png")[0, 0].tolist() == [0, 30, 0]
    assert pixels_of(tmp_path / "hematoxylin.png")[0, 0].tolist() == [10, 10, 10]
