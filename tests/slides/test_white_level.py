"""16-bit images of cameras of fewer bits."""

import numpy as np
import pytest
import tifffile

from counterstain.errors import UnsupportedSlideError
from counterstain.geometry import Box
from counterstain.slides.opening import open_slide
from counterstain.slides.white_level import FULL, WhiteLevel, scaled, white_level

RGB = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
GLASS = np.maximum(RGB, 1)
GLASS[0, 0] = 255


def of_bits(bits):
    return np.uint16(np.rint(GLASS * ((2**bits - 1) / 255)))


def check_is_bright(path, *, value, says):
    with open_slide(path, mpp=0.25) as slide:
        assert np.abs(slide.read(Box.whole(slide.size), 0.25).astype(int) - GLASS).max() <= 1
        assert slide.origin.white == value
        assert any(says in warning for warning in slide.origin.warnings) if says else not slide.origin.warnings


@pytest.mark.parametrize("bits", [10, 12, 14, 15])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}])
def test_an_image_that_ends_at_the_white_of_a_camera_is_scaled_by_it_and_says_so(tmp_path, bits, options):
    tifffile.imwrite(tmp_path / "a.tif", of_bits(bits), photometric="rgb", **options)
    check_is_bright(tmp_path / "a.tif", value=2**bits - 1, says=f"{2**bits - 1:,} ({bits} bits) is taken")


def test_significant_bits_of_ome_are_taken_without_a_warning(tmp_path):
    metadata = {"axes": "YXS", "SignificantBits": 12}
    tifffile.imwrite(tmp_path / "a.ome.tif", of_bits(12), ome=True, photometric="rgb", metadata=metadata)
    check_is_bright(tmp_path / "a.ome.tif", value=4095, says="")


def test_the_tag_of_the_largest_value_is_taken_without_a_warning(tmp_path):
    image = np.uint16(GLASS.astype(int) * 100)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", extratags=[(281, "H", 3, (25_500,) * 3, True)])
    check_is_bright(tmp_path / "a.tif", value=25_500, says="")


def test_values_above_what_the_file_states_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", of_bits(14), photometric="rgb", extratags=[(281, "H", 3, (4095,) * 3, True)])
    with pytest.raises(UnsupportedSlideError, match="says that its values end at 4,095, but they reach 16,383"):
        open_slide(tmp_path / "a.tif")


@pytest.mark.parametrize("highest", [1, 500, 3000, 9000, 20_000, 30_000])
def test_values_that_end_at_no_white_are_refused(tmp_path, highest):
    with pytest.raises(UnsupportedSlideError, match=f"values end at {highest} "):
        white_level(highest, tmp_path)


@pytest.mark.parametrize("highest", [0, 2**15, 2**16 - 1])
def test_black_and_more_than_half_of_the_range_are_full_range(tmp_path, highest):
    assert white_level(highest, tmp_path) == FULL


def test_white_and_what_is_above_it_is_255():
    samples = np.array([0, 2047, 2048, 4095, 5000], np.uint16)
    assert scaled(samples, WhiteLevel(4095)).tolist() == [0, 127, 128, 255, 255]


def test_every_value_of_full_range_is_scaled_as_before():
    samples = np.arange(2**16, dtype=np.uint16)
    np.testing.assert_array_equal(scaled(samples, FULL), (samples.astype(np.uint32) + 128) // 257)
