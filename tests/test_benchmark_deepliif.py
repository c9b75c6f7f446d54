"""The speed benchmark of paper-architecture models compares the same numbers."""

import argparse

import numpy as np
import torch
from deepliif import EXACT, PANEL, RUNTIMES, _agreement, as_published, published_network

SMALL = argparse.Namespace(width=2, translator="resnet_1blocks", segmenter="unet_32")


@torch.no_grad()
def test_normalising_by_the_batch_changes_nothing_for_one_image():
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ours, published = published_network(SMALL)(image), as_published(published_network(SMALL))(image)
    assert len(PANEL.modalities) == 4
    for name, value in ours.items():
        np.testing.assert_allclose(published[name], value, atol=1e-5)


def test_agreement_is_that_of_the_answers(tmp_path):
    random = np.random.default_rng(0)
    maps = random.random((1, 3, 128, 128), dtype=np.float32)
    for name in RUNTIMES:
        off = 0.25 if name == "openvino bf16" else 0.0
        np.savez(tmp_path / f"{name}.npz", dapi=maps, segmentation=np.roll(maps, 1, axis=1) if off else maps, other=maps + off)
    rows = {row[0]: row[1:] for row in _agreement(tmp_path)[1:]}
    assert list(rows) == list(RUNTIMES)
    assert rows[EXACT][:2] == ["0.0e+00", "0.0e+00"]
    assert float(rows["openvino bf16"][0]) > 0.9
    assert rows[EXACT][4] == "+0.00 %"
    assert int(rows[EXACT][2]) > int(rows[EXACT][3]) > 0
    assert rows["openvino bf16"][2:4] != rows[EXACT][2:4]
