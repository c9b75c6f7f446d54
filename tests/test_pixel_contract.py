import numpy as np
import pytest
from hypothesis import given
from skimage.color import hdx_from_rgb, rgb_from_hdx, separate_stains
from strategies import arrays

from counterstain.images import check_rgb, optical_density, to_bytes, to_rgb, to_unit, unmix

GREY = np.array([[0, 128], [200, 255]], np.uint8)


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 1), (2, 2, 4)])
def test_only_three_samples_are_rgb(shape):
    with pytest.raises(ValueError, match=r"\(h, w, 3\) uint8"):
        check_rgb(np.zeros(shape, np.uint8))


def test_floats_are_not_an_image():
    with pytest.raises(ValueError, match="float32"):
        check_rgb(np.zeros((2, 2, 3), np.float32))


@pytest.mark.parametrize("array", [GREY, GREY[..., None], GREY.astype(np.uint16) * 257])
def test_grey_becomes_three_equal_channels(array):
    np.testing.assert_array_equal(to_rgb(array), np.stack([GREY] * 3, axis=-1))


def test_sixteen_bits_are_rounded_to_the_nearest_grey():
    values = np.arange(65536, dtype=np.uint16)[np.newaxis]
    np.testing.assert_array_equal(to_rgb(values)[0, :, 0], np.rint(np.arange(65536) / 257))


def test_one_bit_is_black_and_white():
    np.testing.assert_array_equal(to_rgb(np.array([[False, True]]))[0, :, 0], [0, 255])


@given(arrays(np.uint8, 4))
def test_alpha_is_composited_on_white(rgba):
    alpha = rgba[..., 3:] / 255
    expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(to_rgb(rgba) - expected).max() <= 0.5 + 1e-6


def test_transparent_grey_is_white():
    np.testing.assert_array_equal(to_rgb(np.array([[[7, 0]]], np.uint8)), [[[255, 255, 255]]])


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2), np.float32), np.zeros((2, 2), np.int16), np.zeros((2, 2, 5), np.uint8), np.zeros(3)]
)
def test_what_would_be_a_guess_is_refused(array):
    with pytest.raises(ValueError, match="expected"):
        to_rgb(array)


def test_bytes_to_unit_and_back_is_the_identity():
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_bytes(to_unit(values)), values)
    assert to_unit(values).dtype == np.float32


def test_halves_go_to_even_and_the_rest_is_clipped():
    np.testing.assert_array_equal(to_bytes(np.array([-1, 0.5 / 255, 1.5 / 255, 1, 9])), [0, 0, 2, 255, 255])


def test_nan_is_not_a_pixel():
    with pytest.raises(ValueError, match="NaN"):
        to_bytes(np.array([0.5, np.nan]))


def test_optical_density_of_white_grey_and_black():
    density = optical_density(np.array([[[255, 25, 0]]], np.uint8))
    np.testing.assert_allclose(density[0, 0], [0, np.log10(255 / 25), np.log10(255)], rtol=1e-6)
    assert density.dtype == np.float32


@given(arrays(np.uint8, 3))
def test_optical_density_of_bytes_and_of_units_agree(image):
    np.testing.assert_allclose(optical_density(to_unit(image)), optical_density(image), atol=1e-6)


def test_unmixing_agrees_with_scikit_image_up_to_scale():
    image = np.random.default_rng(0).integers(1, 256, (20, 20, 3), dtype=np.uint8)
    reference = separate_stains(image, hdx_from_rgb)[..., :2] * 6  # scikit-image divides by log(1e-6)
    np.testing.assert_allclose(unmix(image), reference * np.linalg.norm(rgb_from_hdx[:2], axis=1), atol=2e-4)


def test_unmixing_returns_what_was_mixed():
    amounts = np.array([[0.3, 0.0], [0.0, 0.8], [0.4, 0.5]])
    stains = np.array([(0.650, 0.704, 0.286), (0.268, 0.570, 0.776)])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    image = 10 ** -(amounts @ stains)[np.newaxis]
    np.testing.assert_allclose(unmix(image)[0], amounts, atol=1e-5)
