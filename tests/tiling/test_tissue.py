import numpy as np
import pytest
from skimage.data import immunohistochemistry

from counterstain.tiling.tissue import tissue_mask


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 160, 190), (250, 245, 250)])
def test_one_colour_is_no_tissue(colour):
    assert not tissue_mask(np.full((40, 50, 3), colour, np.uint8)).any()


def test_no_pixels_are_no_tissue():
    assert tissue_mask(np.zeros((0, 5, 3), np.uint8)).shape == (0, 5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (3, 3)])
def test_tiny_thumbnails_have_a_mask_of_their_size(shape):
    assert tissue_mask(np.zeros((*shape, 3), np.uint8)).shape == shape


def _field(density: float, seed: int = 0) -> np.ndarray:
    """Texture of a mean optical density."""
    values = np.random.default_rng(seed).normal(density, 0.3 * density, (100, 120, 3)).clip(0)
    return np.uint8(255 * 10**-values)


@pytest.mark.parametrize("density", [0.08, 0.2, 0.6])
def test_tissue_on_glass_is_found_however_pale(density):
    image = np.random.default_rng(1).integers(243, 248, (100, 120, 3), dtype=np.uint8)
    image[30:70, 40:90] = _field(density)[30:70, 40:90]
    mask = tissue_mask(image)
    truth = np.zeros_like(mask)
    truth[30:70, 40:90] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8


def test_noisy_glass_is_no_tissue():
    image = np.random.default_rng(1).integers(243, 248, (100, 120, 3), dtype=np.uint8)
    assert tissue_mask(image).mean() < 0.01


@pytest.mark.parametrize("density", [0.2, 0.6])
def test_a_field_full_of_tissue_is_all_tissue(density):
    assert tissue_mask(_field(density)).mean() > 0.99


def test_a_real_field_is_nearly_all_tissue():
    assert tissue_mask(immunohistochemistry()[::4, ::4]).mean() > 0.9
