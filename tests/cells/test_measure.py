import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops_table

from counterstain.cells.decoders.base import numbered_by_first_pixel
from counterstain.cells.measure import gather, perimeters, shapes


def label_image(seed, shape=(45, 60), smoothing=2.0):
    """Return random labels in pieces of all sizes, some of them in several parts or touching the border."""
    generator = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(generator.normal(size=shape), smoothing)
    labels, _ = ndimage.label(field > 0)
    split = labels * 2 - (np.indices(shape)[1] % 17 < 9) * (labels > 0)
    return numbered_by_first_pixel(split.astype(np.int32))[0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("smoothing", [0.7, 2.0])
def test_every_measurement_equals_scikit_image(seed, smoothing):
    labels = label_image(seed, smoothing=smoothing)
    count = labels.max()
    plane = np.random.default_rng(seed).random(labels.shape, dtype=np.float32)
    pixels = gather(labels, count)
    found = shapes(labels, pixels)
    names = ("area", "centroid", "perimeter", "eccentricity", "mean_intensity", "max_intensity", "bbox")
    expected = regionprops_table(labels, plane, properties=names)
    np.testing.assert_array_equal(found.area_px, expected["area"])
    np.testing.assert_allclose(found.row, expected["centroid-0"])
    np.testing.assert_allclose(found.col, expected["centroid-1"])
    np.testing.assert_allclose(found.perimeter_px, expected["perimeter"])
    np.testing.assert_allclose(found.eccentricity, expected["eccentricity"], atol=1e-6)
    np.testing.assert_allclose(pixels.means(plane), expected["mean_intensity"], rtol=1e-6)
    np.testing.assert_array_equal(pixels.maxima(plane), expected["max_intensity"])
    np.testing.assert_array_equal(found.first_row, expected["bbox-0"])
    at_border = (expected["bbox-0"] == 0) | (expected["bbox-1"] == 0)
    at_border |= (expected["bbox-2"] == labels.shape[0]) | (expected["bbox-3"] == labels.shape[1])
    np.testing.assert_array_equal(found.touches_border, at_border)


def test_the_first_pixel_is_the_topmost_rows_leftmost():
    labels = np.array([[0, 0, 1], [2, 1, 1], [2, 2, 0]], np.int32)
    found = shapes(labels, gather(labels, 2))
    assert found.first_row.tolist() == [0, 1]
    assert found.first_col.tolist() == [2, 0]


def test_one_pixel_has_no_perimeter_and_no_eccentricity():
    labels = np.ones((1, 1), np.int32)
    found = shapes(labels, gather(labels, 1))
    assert found.area_px.tolist() == [1]
    assert found.perimeter_px.tolist() == [0]
    assert found.eccentricity.tolist() == [0]
    assert found.touches_border.tolist() == [True]


def test_a_line_has_eccentricity_one():
    labels = np.ones((1, 9), np.int32)
    assert shapes(labels, gather(labels, 1)).eccentricity.tolist() == [1.0]


def test_an_image_without_nuclei_has_empty_measurements():
    labels = np.zeros((5, 6), np.int32)
    pixels = gather(labels, 0)
    found = shapes(labels, pixels)
    assert len(found.area_px) == len(found.perimeter_px) == len(found.touches_border) == 0
    assert pixels.means(labels).shape == (0,)
    assert perimeters(labels, 0).shape == (0,)
