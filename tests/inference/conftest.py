"""A bundle small enough to make in a test."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from counterstain.inference.bundle import Bundle, Manifest, write_bundle
from counterstain.panel import Channel, Panel

MANIFEST = Manifest(
    name="tiny",
    version="1",
    panel=Panel(channels=(Channel(name="copy", planes=3), Channel(name="red"))),
    mpp=0.25,
    tile_px=16,
    margin_px=2,
    stride_px=4,
    expected_nuclear_area_um2=(10, 90),
    licence="CC0-1.0",
)


def graph(*, scale: float = 1.0, pad: int = 0, names: tuple[str, str, str] = ("image", "copy", "red")) -> bytes:
    """Return a graph that undoes the normalisation: ``copy`` is ``scale`` times the image, ``red`` its first plane."""
    image, copy, red = names
    nodes = [
        helper.make_node("Mul", [image, "half"], ["halved"]),
        helper.make_node("Add", ["halved", "half"], ["unit"]),
        helper.make_node("Mul", ["unit", "scale"], ["scaled"]),
        helper.make_node("Pad", ["scaled", "pads"], [copy]),
        helper.make_node("Gather", ["scaled", "first"], [red], axis=1),
    ]
    constants = {
        "half": np.float32(0.5),
        "scale": np.float32(scale),
        "first": np.array([0]),
        "pads": np.array([0] * 6 + [pad, 0]),
    }
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in names]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "tiny", values[:1], values[1:], tensors),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "tiny", MANIFEST, {"model.onnx": graph(), "MODEL_CARD.md": b"# Tiny"})
