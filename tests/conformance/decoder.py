"""What every ``Decoder`` must do. Inherit, and set ``decoder`` and the ``structure`` by which its nuclei are connected."""

import numpy as np
import pytest
from scipy import ndimage

from counterstain.cells.decoder import numbered_by_first_pixel


def random_maps(seed, shape=(60, 70)):
    """Return smooth random maps with many touching blobs of both classes."""
    generator = np.random.default_rng(seed)
    planes = [ndimage.gaussian_filter(generator.normal(size=shape), 3) * 8 for _ in range(3)]
    positive, boundary, negative = (np.clip(plane, 0, 1) for plane in planes)
    segmentation = np.stack([positive, boundary * 0.3, np.minimum(negative, 1 - positive)], axis=-1)
    return segmentation.astype(np.float32), np.maximum(positive, negative).astype(np.float32)


class DecoderConformance:
    decoder = None
    structure = None

    @pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (0, 4), (20, 30)])
    def test_maps_without_nuclei_give_none(self, shape):
        nuclei = self.decoder(np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32))
        assert nuclei.labels.shape == shape
        assert nuclei.labels.dtype == np.int32
        assert not nuclei.labels.any()
        assert nuclei.p_positive.shape == (0,)

    @pytest.mark.parametrize("distance", [None, np.ones((40, 50), np.float32)])
    def test_maps_all_nuclear_give_one_nucleus(self, distance):
        segmentation = np.zeros((40, 50, 3), np.float32)
        segmentation[..., 0] = 1
        nuclei = self.decoder(segmentation, distance)
        assert (nuclei.labels == 1).all()
        np.testing.assert_array_equal(nuclei.p_positive, [1.0])

    def test_one_nuclear_pixel_is_too_small(self):
        assert not self.decoder(np.ones((1, 1, 3), np.float32) * [1, 0, 0], None).labels.any()

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("with_distance", [True, False])
    def test_labels_are_numbered_connected_and_the_same_again(self, seed, with_distance):
        segmentation, distance = random_maps(seed)
        distance = distance if with_distance else None
        nuclei = self.decoder(segmentation, distance)
        again = self.decoder(segmentation.copy(), distance)
        np.testing.assert_array_equal(nuclei.labels, again.labels)
        np.testing.assert_array_equal(nuclei.p_positive, again.p_positive)
        count = len(nuclei.p_positive)
        assert count > 3
        assert nuclei.p_positive.dtype == np.float32
        assert ((nuclei.p_positive >= 0) & (nuclei.p_positive <= 1)).all()
        np.testing.assert_array_equal(numbered_by_first_pixel(nuclei.labels)[1], np.arange(1, count + 1))
        for label in range(1, count + 1):
            assert ndimage.label(nuclei.labels == label, structure=self.structure)[1] == 1

    @pytest.mark.parametrize("seed", range(4))
    def test_no_nucleus_has_a_hole(self, seed):
        segmentation, distance = random_maps(seed)
        labels = self.decoder(segmentation, distance).labels
        for label in range(1, labels.max() + 1):
            filled = ndimage.binary_fill_holes(labels == label)
            assert (labels[filled] > 0).all()
