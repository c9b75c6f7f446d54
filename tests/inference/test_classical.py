import numpy as np
import pytest
from conformance.backend import BackendConformance

from counterstain.images import DAB, HEMATOXYLIN
from counterstain.inference.classical import REACH_PX, ClassicalBackend, infer_image


class TestClassicalBackend(BackendConformance):
    @pytest.fixture
    def backend(self):
        return ClassicalBackend()


def _disc(stain, density, side=64, radius=12):
    """Return a disc of one stain on white."""
    rows, cols = np.mgrid[:side, :side] - side // 2
    inside = rows**2 + cols**2 < radius**2
    return np.uint8(np.rint(255 * 10 ** -(inside[..., None] * density * np.array(stain)))), inside


@pytest.mark.parametrize(("stain", "plane"), [(HEMATOXYLIN, 2), (DAB, 0)])
@pytest.mark.parametrize("density", [0.4, 0.9, 1.6])
def test_a_brown_nucleus_is_positive_and_a_blue_one_negative(stain, plane, density):
    image, inside = _disc(stain, density)
    segmentation = infer_image(image)["segmentation"]
    found = segmentation[plane] > 0.5
    assert (found & inside).sum() / (found | inside).sum() > 0.75
    assert segmentation[2 - plane].max() < 0.6


def test_only_a_positive_nucleus_has_marker():
    assert infer_image(_disc(HEMATOXYLIN, 0.9)[0])["marker"].max() < 0.02
    assert infer_image(_disc(DAB, 0.9)[0])["marker"].max() > 0.9


def test_brown_is_gone_from_the_hematoxylin_image():
    assert infer_image(_disc(DAB, 1.0)[0])["hematoxylin"].min() > 0.95
    blue = infer_image(_disc(HEMATOXYLIN, 1.0)[0])["hematoxylin"][:, 32, 32]
    np.testing.assert_allclose(blue, 10 ** -np.array(HEMATOXYLIN), atol=0.02)


def test_the_rim_is_brightest_at_the_edge_and_the_distance_at_the_centre():
    image, inside = _disc(HEMATOXYLIN, 0.9)
    maps = infer_image(image)
    assert maps["lap2"][0, 32, 32] < 0.05
    edge = inside & ~np.roll(inside, 1, axis=0)
    assert maps["lap2"][0][edge].mean() > 0.6
    assert maps["distance"][0, 32, 32] == 1
    assert maps["distance"][0, 0, 0] == 0


@pytest.mark.parametrize("level", [0, 128, 255])
def test_one_colour_gives_flat_maps(level):
    for values in infer_image(np.full((40, 40, 3), level, np.uint8)).values():
        assert np.ptp(values, axis=(1, 2)).max() < 1e-6


def test_a_pixel_changes_nothing_beyond_the_reach():
    image = np.random.default_rng(0).integers(100, 256, (120, 120, 3), dtype=np.uint8)
    changed = image.copy()
    changed[60, 60] = 0
    before, after = infer_image(image), infer_image(changed)
    for name, values in before.items():
        rows, cols = np.nonzero((values != after[name]).any(axis=0))
        assert np.abs(rows - 60).max(initial=0) < REACH_PX
        assert np.abs(cols - 60).max(initial=0) < REACH_PX
