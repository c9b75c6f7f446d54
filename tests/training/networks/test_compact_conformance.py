"""The compact network keeps what every network must keep."""

import pytest
import torch
from conformance.network import NetworkConformance

from counterstain.panel import DISTANCE, SEGMENTATION, Channel, Panel
from counterstain.training.networks.compact import CompactNetwork


class TestCompact(NetworkConformance):
    stride_px = 16

    @pytest.fixture
    def network(self):
        torch.manual_seed(0)
        return CompactNetwork(Panel(channels=(Channel(name="dapi"), SEGMENTATION, DISTANCE)))

    def expected_shapes(self, rows, cols):
        return {"dapi": (1, rows, cols), "class_logits": (4, rows, cols), "distance": (1, rows, cols)}
