import numpy as np
from conformance.decoder import DecoderConformance
from scipy import ndimage

from counterstain.cells.decoders.base import numbered_by_first_pixel
from counterstain.cells.decoders.deepliif import PublishedRule
from counterstain.cells.decoders.names import DECODERS
from counterstain.cells.decoders.watershed import Watershed


class TestWatershed(DecoderConformance):
    name = "watershed"
    decoder = Watershed(mpp=0.25, min_area_um2=1.0)
    structure = ndimage.generate_binary_structure(2, 1)


class TestPublishedRule(DecoderConformance):
    name = "deepliif"
    decoder = PublishedRule(mpp=0.25)
    structure = np.ones((3, 3))


def test_every_decoder_has_its_conformance_class():
    assert {found.name for found in DecoderConformance.__subclasses__()} == set(DECODERS)


def test_labels_are_renumbered_in_the_order_of_a_scan():
    labels, kept = numbered_by_first_pixel(np.array([[0, 9, 9], [4, 0, 9], [4, 2, 0]], np.int32))
    np.testing.assert_array_equal(labels, [[0, 1, 1], [2, 0, 1], [2, 3, 0]])
    np.testing.assert_array_equal(kept, [9, 4, 2])
