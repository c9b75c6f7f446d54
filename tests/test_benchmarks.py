"""The accuracy benchmark measures what it says: the published result comes out as published."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from accuracy import BC4_TEXT, HEADINGS, PUBLISHED_MIN_PX, Found, image_scores
from network_cost import gigaflops
from PIL import Image
from references import class_image, deepliif_references, nuclei_of_classes, polygon_reference
from reporting import table

from counterstain.inference.bundle import Bundle

PUBLISHED = {"IoU": 52.9, "Dice": 67.9, "acc": 93.3, "F1-": 61.2, "F1+": 68.6, "F1": 66.8, "%+ err": 9.7}


def test_the_published_images_give_the_published_numbers(data_dir):
    folder = data_dir / "deepliif-bc4"
    rows = []
    for reference in deepliif_references(folder):
        classes = class_image(folder / "published" / f"{reference.image.stem}_seg.png")
        rows.append(image_scores(reference, Found(classes=classes, nuclei=nuclei_of_classes(classes, min_px=PUBLISHED_MIN_PX))))
    found = dict(zip(HEADINGS[1:], np.mean(rows, axis=0), strict=True))
    assert {name: round(found[name], 1) for name in PUBLISHED} == PUBLISHED


def test_a_perfect_answer_scores_a_hundred_and_no_error(tmp_path):
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[5:15, 5:15] = 255, 0, 0
    pixels[25:35, 25:35] = 0, 0, 255
    for folder in ("ihc", "groundtruth"):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "tile.png")
    reference = deepliif_references(tmp_path)[0]
    scores = image_scores(reference, Found(classes=reference.classes, nuclei=reference.nuclei))
    assert scores == [100.0] * (len(HEADINGS) - 2) + [0.0]


@pytest.mark.parametrize(
    ("colour", "expected"),
    [((255, 0, 0), 2), ((0, 0, 255), 1), ((100, 80, 100), 2), ((60, 0, 60), 0), ((200, 81, 0), 0), ((0, 255, 0), 0)],
)
def test_the_class_of_a_colour(tmp_path, colour, expected):
    Image.new("RGB", (2, 2), colour).save(tmp_path / "seg.png")
    assert (class_image(tmp_path / "seg.png") == expected).all()


def test_polygons_become_nuclei_at_a_quarter_of_a_micrometre(tmp_path):
    Image.new("RGB", (100, 80)).save(tmp_path / "field.png")
    square = "[[[20, 10], [60, 10], [60, 50], [20, 50], [20, 10]]]"
    (tmp_path / "field.geojson").write_text(
        '{"features": [{"geometry": {"coordinates": %s}, "properties": {"classification": {"name": "Positive"}}}]}' % square  # noqa: UP031
    )
    reference = polygon_reference(tmp_path / "field.png", mpp=0.125)
    assert reference.classes.shape == (40, 50)
    assert reference.nuclei.is_positive.tolist() == [True]
    np.testing.assert_allclose(reference.nuclei.centres, [[14.5, 19.5]])
    assert np.count_nonzero(reference.classes) == 18 * 18  # 20 x 20 without its boundary


def test_tables_are_aligned():
    assert table([("model", "F1"), ("a", "9.5"), ("bc", "12.0")]) == "model    F1\n-----------\na       9.5\nbc     12.0"


def test_the_text_explains_every_heading():
    assert all(word in BC4_TEXT for word in ("acc", "P, R, F1", "%+ err"))


def test_the_cost_of_a_network_is_that_of_its_convolutions():
    kernels = onnx.numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.float32), "kernels")
    nodes = [
        onnx.helper.make_node("Conv", ["image", "kernels"], ["features"], strides=[2, 2], pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Relu", ["features"], ["output"]),
    ]
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ("n", 3, "h", "w"))
    output = onnx.helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph(nodes, "graph", [image], [output], [kernels])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    bundle = Bundle(source="", manifest=None, weights={"model.onnx": model.SerializeToString()}, fingerprint="")
    assert gigaflops(bundle, 16) == 2 * (8 * 8 * 4) * (3 * 3 * 3) / 1e9


@pytest.mark.slow
def test_the_speed_benchmark_measures_every_stage(tmp_path):
    script = Path(__file__).parents[1] / "benchmarks" / "speed.py"
    command = [sys.executable, str(script), "--bundle", "classical", "--repeats", "1", "--child", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=240)
    found = json.loads(done.stdout)
    assert list(found["image"]) == list(found["large"]) == ["read", "network", "stitch", "cells", "scores", "total", "outputs"]
    assert 50 < found["image_mb"] <= found["large_mb"] < 4000
    assert found["matmul_gigaflops_per_s"] > 0.1
