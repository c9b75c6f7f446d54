"""What every ``Decoder`` must do. Inherit, and set what is said below."""

import pickle
from dataclasses import asdict

import numpy as np
import pytest
from scipy import ndimage

from counterstain.cells.decoders.base import numbered_by_first_pixel
from counterstain.cells.decoders.names import DECODERS, decoder_for, setting_faults
from counterstain.panel import DEFAULT_PANEL


def random_maps(seed, shape=(60, 70)):
    """Return smooth random maps with many touching blobs of both classes."""
    generator = np.random.default_rng(seed)
    planes = [ndimage.gaussian_filter(generator.normal(size=shape), 3) * 8 for _ in range(3)]
    positive, boundary, negative = (np.clip(plane, 0, 1) for plane in planes)
    segmentation = np.stack([positive, boundary * 0.3, np.minimum(negative, 1 - positive)], axis=-1)
    return segmentation.astype(np.float32), np.maximum(positive, negative).astype(np.float32)


class DecoderConformance:
    name = ""
    """In ``DECODERS``."""
    decoder = None
    """One of its kind, for maps of 0.25 um per pixel."""
    structure = None
    """By which its nuclei are connected."""

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

    def test_it_is_made_for_the_maps_of_a_model_by_its_name(self):
        made = decoder_for(self.name, DEFAULT_PANEL, 0.5)
        assert type(made) is DECODERS[self.name]
        assert made.mpp == 0.5

    def test_its_settings_have_defaults_and_are_recorded_by_name(self):
        defaults = asdict(type(self.decoder).settings_class())
        assert setting_faults(self.name, defaults) == []
        assert all(isinstance(value, float) for value in defaults.values())
        assert decoder_for(self.name, DEFAULT_PANEL, 0.25, settings=defaults) == decoder_for(self.name, DEFAULT_PANEL, 0.25)
        assert setting_faults(self.name, {"no such": 1.0}) != []

    @pytest.mark.parametrize("value", [-1.0, float("nan")])
    def test_a_setting_out_of_range_is_refused_by_its_name(self, value):
        for setting in asdict(type(self.decoder).settings_class()):
            assert any(setting in fault for fault in setting_faults(self.name, {setting: value}))

    def test_its_halo_holds_a_nucleus(self):
        assert self.decoder.halo.width_um >= 40
        assert self.decoder.halo.most_widths >= 1
        assert self.decoder.halo.drops_wider or self.decoder.halo.most_widths > 1

    def test_sizes_of_the_whole_slide_settle_what_a_part_cannot_know(self):
        """With the sizes that it asks for, a decoder cuts each part of the maps as it cuts the whole."""
        made = decoder_for(self.name, DEFAULT_PANEL, 0.25)
        segmentation, distance = random_maps(5, (90, 200))
        segmentation[:, 95:105], distance[:, 95:105] = 0, 0
        whole = made(segmentation, distance).labels
        if made.sized_by:
            assert made.sized_by.sized_by is None
            labels = made.sized_by(segmentation, distance).labels
            made = made.with_sizes(np.bincount(labels.ravel())[1:])
        for part in (slice(0, 100), slice(100, 200)):
            cut = made(segmentation[:, part], distance[:, part]).labels
            np.testing.assert_array_equal(cut, numbered_by_first_pixel(whole[:, part])[0])

    def test_it_can_be_sent_to_another_process(self):
        assert pickle.loads(pickle.dumps(self.decoder)) == self.decoder  # noqa: S301 - as a cluster sends it
