"""The speed benchmark of paper-architecture models compares the same numbers."""

import argparse

import numpy as np
import torch
from deepliif import PANEL, as_published, published_network

SMALL = argparse.Namespace(width=2, translator="resnet_1blocks", segmenter="unet_32")


@torch.no_grad()
def test_normalising_by_the_batch_changes_nothing_for_one_image():
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ours, published = published_network(SMALL)(image), as_published(published_network(SMALL))(image)
    assert len(PANEL.modalities) == 4
    for name, value in ours.items():
        np.testing.assert_allclose(published[name], value, atol=1e-5)
