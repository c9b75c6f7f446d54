"""What a file states of its pixel size against what the user says and what can be believed."""

import numpy as np
import pytest
import tifffile

from counterstain.errors import MissingResolutionError, UnsupportedSlideError
from counterstain.slides.base import Resolution
from counterstain.slides.opening import open_slide
from counterstain.slides.pixel_size import Stated, nominal, resolution_of, stated

RGB = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


def taken(path, found, *, option=None, assumed=None):
    return resolution_of(path, found, option=option, assumed=assumed)


@pytest.mark.parametrize("option", [0.25, 0.2551, 0.2449])
def test_an_option_that_agrees_with_the_file_gives_no_warning(tmp_path, option):
    assert taken(tmp_path, stated((0.25, 0.25)), option=option).warning == ""


@pytest.mark.parametrize(("option", "times"), [(0.5, "2 and areas 4"), (0.23, "0.92 and areas 0.846"), (0.27, "1.08 and a")])
def test_an_option_that_contradicts_the_file_is_taken_with_a_warning_that_says_how_much(tmp_path, option, times):
    resolution = taken(tmp_path, stated((0.25, 0.25)), option=option)
    assert resolution == Resolution(option, "option")
    assert f"{option:g} um per pixel was given and is taken, but the file states 0.25" in resolution.warning
    assert f"lengths are {times}" in resolution.warning


def test_the_name_of_an_objective_is_contradicted_only_by_much(tmp_path):
    assert taken(tmp_path, nominal(40), option=0.2271).warning == ""
    assert "the file states 0.25" in taken(tmp_path, nominal(40), option=0.5).warning


def test_an_option_keeps_the_shape_of_pixels_that_are_not_square(tmp_path):
    resolution = taken(tmp_path, stated((0.5, 0.25)), option=0.36)
    assert resolution.sides[0] / resolution.sides[1] == pytest.approx(2)
    assert resolution.mpp == 0.36


def test_pixels_of_no_scanner_are_refused_and_square_where_the_user_says_their_size(tmp_path):
    found = stated((2.5, 0.25))
    with pytest.raises(UnsupportedSlideError, match=r"2\.5 x 0\.25 um, which no scanner makes"):
        taken(tmp_path, found)
    resolution = taken(tmp_path, found, option=0.25)
    assert resolution == Resolution(0.25, "option")
    assert "square ones of 0.25 um are taken" in resolution.warning


@pytest.mark.parametrize(
    ("sides", "reason"),
    [
        ((0.0227, 0.0227), "states 0.0227 um per pixel, which no microscope has"),
        ((352.8, 352.8), "states 352.8 um per pixel, which is that of a screen or printer"),
        ((1.0, 1.0), "states exactly 1 um per pixel, which programs write that know no pixel size"),
    ],
)
def test_what_is_not_believed_is_said_with_the_reason(tmp_path, sides, reason):
    found = stated(sides)
    assert found.sides is None
    with pytest.raises(MissingResolutionError, match=reason):
        taken(tmp_path, found)
    assert taken(tmp_path, found, assumed=0.25).warning.startswith(f"the file {reason}; 0.25 um per pixel is assumed")


def test_an_option_in_place_of_what_is_not_believed_says_so_but_not_for_the_dots_of_a_printer(tmp_path):
    assert "which no microscope has; 0.25 was given" in taken(tmp_path, stated((0.02, 0.02)), option=0.25).warning
    assert taken(tmp_path, stated((84.7, 84.7)), option=0.25).warning == ""


def test_a_size_that_is_believed_beside_one_that_is_not_is_taken_with_a_warning(tmp_path):
    resolution = taken(tmp_path, Stated(sides=(0.5, 0.5), doubt="states 0.01 um per pixel, which no microscope has"))
    assert resolution == Resolution(0.5, "metadata")
    assert resolution.warning.endswith("0.5, which it states elsewhere, is taken")


def test_nothing_stated_is_assumed_for_a_flat_image_and_refused_for_a_slide(tmp_path):
    assert taken(tmp_path, Stated(), assumed=0.25).warning.startswith("the pixel size is not stated in the file; 0.25")
    with pytest.raises(MissingResolutionError, match="does not state its pixel size"):
        taken(tmp_path, Stated())


@pytest.mark.parametrize(("mpp", "text"), [(0.0227, "no microscope"), (1.0, "exactly 1 um")])
def test_a_tiff_that_states_what_is_not_believed_opens_with_that_in_words(tmp_path, mpp, text):
    metadata = {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
    tifffile.imwrite(tmp_path / "a.ome.tif", RGB, ome=True, metadata=metadata, photometric="rgb")
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert slide.resolution == Resolution(0.25, "assumed")
        assert text in slide.resolution.warning


def test_resolution_tags_are_believed_where_the_ome_metadata_are_not(tmp_path):
    metadata = {"PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0}
    options = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "a.ome.tif", RGB, ome=True, metadata=metadata, photometric="rgb", **options)
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert slide.resolution == Resolution(pytest.approx(0.5), "metadata")
        assert "exactly 1 um" in slide.resolution.warning
