"""Which stains an image shows is told by its colours, whatever their strength and the light."""

import numpy as np
import pytest
from stained_fields import AEC, BLACK, EOSIN, FAST_RED, GREEN, METHYL_GREEN, stained_field

from counterstain.geometry import Box
from counterstain.images import DAB, HEMATOXYLIN
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.tiling.colours import as_stain
from counterstain.tiling.glass import find_tissue
from counterstain.tiling.stain_sample import BOX_PX, MOST_BOXES, stain_sample, stains_of
from counterstain.tiling.stains import HEMATOXYLIN_AND_DAB, LEAST_STAINED, find_stains, stain_warning

ON_A_DARK_GROUND = 255 - stained_field(side=200)


def test_hematoxylin_and_dab_are_known():
    stains = find_stains(stained_field())
    assert (stains.verdict, stains.hues, stains.reason) == ("known", ("blue", "brown"), "")


def test_the_stain_vectors_are_those_that_the_field_was_drawn_with():
    stains = find_stains(stained_field())
    assert np.allclose(stains.counterstain_od, np.array(HEMATOXYLIN) / np.linalg.norm(HEMATOXYLIN), atol=0.05)
    assert np.allclose(stains.chromogen_od, np.array(DAB) / np.linalg.norm(DAB), atol=0.05)


@pytest.mark.parametrize(
    ("chromogen", "counterstain", "hue"),
    [
        (AEC, HEMATOXYLIN, "red"),
        (FAST_RED, HEMATOXYLIN, "red"),
        (GREEN, HEMATOXYLIN, "green"),
        (BLACK, HEMATOXYLIN, "black"),
        (DAB, METHYL_GREEN, "green"),
        (FAST_RED, None, "red"),
    ],
)
def test_another_stain_is_unknown_and_named(chromogen, counterstain, hue):
    stains = find_stains(stained_field(chromogen, counterstain))
    assert stains.verdict == "unknown"
    assert hue in stains.hues
    assert hue in stain_warning(stains, HEMATOXYLIN_AND_DAB)


def test_eosin_tells_h_and_e_from_tissue_without_positive_nuclei():
    assert find_stains(stained_field(HEMATOXYLIN)).verdict == "known"
    assert find_stains(stained_field(HEMATOXYLIN, ground=EOSIN)).verdict == "unknown"


@pytest.mark.parametrize("strength", [0.4, 0.8, 1.4])
@pytest.mark.parametrize("white", [(240, 240, 240), (250, 230, 185), (205, 222, 240), (150, 150, 150)])
def test_neither_strength_nor_light_makes_a_known_stain_unknown(strength, white):
    assert find_stains(stained_field(strength=strength, white=white)).verdict == "known"


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((64, 64, 3), 240, np.uint8),
        np.random.default_rng(1).integers(236, 244, (90, 70, 3)).astype(np.uint8),
        stained_field()[:13, :13],
        np.zeros((1, 1, 3), np.uint8) + 255,
    ],
    ids=["glass", "noise", "part of a nucleus", "one pixel"],
)
def test_too_little_stain_is_no_fault(pixels):
    stains = find_stains(pixels)
    assert stains.verdict == "undetermined"
    assert stain_warning(stains, HEMATOXYLIN_AND_DAB) is None


def test_some_nuclei_of_another_colour_are_too_little_to_tell():
    few = stained_field(AEC)[:30, :30]
    assert 0.1 < find_stains(few).stained_share < LEAST_STAINED / 30**2
    assert find_stains(few).verdict == "undetermined"
    assert find_stains(stained_field(AEC)).verdict == "unknown"


@pytest.mark.parametrize("chromogen", [DAB, HEMATOXYLIN], ids=["all positive", "all negative"])
def test_one_stain_alone_is_known(chromogen):
    assert find_stains(stained_field(chromogen, chromogen)).verdict == "known"


def test_a_dark_ground_is_no_bright_field_image():
    assert find_stains(ON_A_DARK_GROUND).verdict == "not_bright_field"


def test_a_dark_ground_may_be_a_little_brown():
    assert find_stains(255 - stained_field(side=200, white=(165, 178, 190))).verdict == "not_bright_field"


def test_a_grey_image_is_no_bright_field_image():
    grey = np.repeat(stained_field().mean(axis=2).astype(np.uint8)[..., None], 3, axis=2)
    assert find_stains(grey).verdict == "not_bright_field"


def test_a_black_frame_does_not_make_a_dark_ground():
    pixels = stained_field(side=200)
    pixels[:60] = pixels[-60:] = 0
    assert find_stains(pixels).verdict == "known"


def test_a_model_of_another_stain_knows_that_and_not_dab():
    assert find_stains(stained_field(AEC), ("hematoxylin", "AEC")).verdict == "known"
    assert find_stains(stained_field(DAB), ("hematoxylin", "AEC")).verdict == "unknown"


def test_a_point_of_the_plane_of_colours_is_a_stain_of_length_one():
    red, green, blue = (value / np.mean(DAB) for value in DAB)
    assert np.allclose(as_stain((red - 1, (green - blue) / np.sqrt(3))), np.array(DAB) / np.linalg.norm(DAB), atol=0.001)


def test_a_small_slide_is_looked_at_whole():
    slide = ArraySlide(stained_field(), name="a", resolution=Resolution(0.5, "option"))
    assert stain_sample(slide, find_tissue(slide)).shape == (80, 80, 3)


def test_a_large_slide_is_looked_at_in_boxes_of_its_tissue():
    pixels = np.full((3000, 2000, 3), 240, np.uint8)
    pixels[1024:1536, 1024:1536] = np.tile(stained_field(side=192), (3, 3, 1))[:512, :512]
    slide = ArraySlide(pixels, name="a", resolution=Resolution(1.0, "option"))
    sample = stain_sample(slide, find_tissue(slide))
    assert sample.shape == (MOST_BOXES * BOX_PX, BOX_PX, 3)
    assert (sample.reshape(MOST_BOXES, -1).min(axis=1) < 200).all()
    assert stains_of(slide, find_tissue(slide), HEMATOXYLIN_AND_DAB).verdict == "known"


@pytest.mark.parametrize("shape", [(40, 9000), (9000, 40), (700, 600)])
def test_a_slide_of_any_shape_gives_a_sample(shape):
    slide = ArraySlide(np.full((*shape, 3), 20, np.uint8), name="a", resolution=Resolution(1.0, "option"))
    sample = stain_sample(slide, find_tissue(slide))
    assert sample.shape[1] == min(BOX_PX, shape[1])
    assert sample.max() == 20  # nothing beyond the slide, which would be white
    assert Box.whole(slide.size).size.area >= sample.size // 3
