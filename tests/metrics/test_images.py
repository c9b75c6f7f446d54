import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from counterstain.metrics.images import psnr, ssim


def pictures(shape=(24, 31, 3), seed=3):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 256, shape, dtype=np.uint8)
    noise = generator.integers(-20, 21, shape)
    return truth, np.clip(truth + noise, 0, 255).astype(np.uint8)


def ssim_by_definition(x, y):
    def blur(image):
        return gaussian_filter(image, 1.5, truncate=3.5)

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y, cov = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2, blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    field = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return field[5:-5, 5:-5].mean()


def test_ssim_equals_its_definition():
    truth, predicted = (image.astype(float) / 255 for image in pictures((24, 31)))
    assert ssim(truth, predicted) == pytest.approx(ssim_by_definition(truth, predicted), abs=1e-9)


def test_psnr_equals_its_definition():
    truth, predicted = pictures()
    error = ((truth.astype(float) - predicted) ** 2).mean()
    assert psnr(truth, predicted) == pytest.approx(10 * np.log10(255**2 / error))


@pytest.mark.parametrize("shape", [(24, 31), (24, 31, 3)])
def test_bytes_and_unit_floats_give_the_same_numbers(shape):
    truth, predicted = pictures(shape)
    unit = (truth / 255, predicted / 255)
    assert ssim(*unit) == pytest.approx(ssim(truth, predicted), abs=1e-6)
    assert psnr(*unit) == pytest.approx(psnr(truth, predicted))


def test_equal_images_are_perfect():
    truth, _ = pictures()
    assert ssim(truth, truth) == pytest.approx(1.0)
    assert psnr(truth, truth) == float("inf")


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        (np.zeros((20, 20), np.uint8), np.zeros((20, 21), np.uint8), "one shape"),
        (np.zeros((20, 20), np.uint8), np.zeros((20, 20)), "both be uint8"),
        (np.zeros((20, 20)), np.full((20, 20), 255.0), r"\[0, 1\]"),
        (np.zeros((20, 20)), np.full((20, 20), np.nan), r"\[0, 1\]"),
        (np.zeros((0, 5)), np.zeros((0, 5)), "at least one pixel"),
        (np.zeros((10, 20)), np.zeros((10, 20)), "11 x 11"),
    ],
)
def test_images_that_cannot_be_compared_are_refused(truth, predicted, message):
    with pytest.raises(ValueError, match=message):
        ssim(truth, predicted)
