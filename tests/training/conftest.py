"""A tiny folder of training images with the layout of the real one."""

import json
from pathlib import Path

import numpy as np
import pytest
from drawn import draw_disks
from numpy.typing import NDArray
from PIL import Image


@pytest.fixture(scope="session")
def image_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw a folder with the layout of the real data: 4 tissue tiles, 1 fluorescence tile, 5 of H&E, 1 strip, 2 fields."""
    root = tmp_path_factory.mktemp("data")
    for kind, names in (("nuinsseg", ("001", "002", "003")), ("tnbc", ("01_1", "02_1"))):
        for part in ("images", "labels"):
            (root / kind / part).mkdir(parents=True)
        for name in names:
            labels = draw_disks(96, [(30, 30), (60, 60)], 12)
            image = np.where(labels[..., None] > 0, (90, 70, 150), (235, 170, 210)).astype(np.uint8)
            Image.fromarray(image).save(root / kind / "images" / f"{name}.jpg")
            Image.fromarray(labels.astype(np.uint16)).save(root / kind / "labels" / f"{name}.png")
    for kind, count in (("tissue", 4), ("fluorescence", 1)):
        for part in ("images", "labels"):
            (root / "dsb2018" / kind / part).mkdir(parents=True)
        for number in range(count):
            labels = draw_disks(96, [(25, 25), (60, 40), (40, 75)], 11 + number)
            grey = np.where(labels > 0, 90, 225).astype(np.uint8)
            image = np.stack([grey, grey, grey + 20], axis=-1) if kind == "tissue" else 255 - grey
            Image.fromarray(image).save(root / "dsb2018" / kind / "images" / f"{number:03}.png")
            Image.fromarray(labels.astype(np.uint16)).save(root / "dsb2018" / kind / "labels" / f"{number:03}.png")
    (root / "deepliif-train").mkdir()
    Image.fromarray(draw_strip()).save(root / "deepliif-train" / "set1.png")
    (root / "glioma-ki67").mkdir()
    for name in ("slide1-field1", "slide3-field1"):
        Image.fromarray(np.full((400, 500, 3), 220, np.uint8)).save(root / "glioma-ki67" / f"{name}.jpg")
        square = [[100, 50], [200, 50], [200, 150], [100, 150], [100, 50]]
        features = [
            {
                "geometry": {"type": "Polygon", "coordinates": [[[x + 200 * n, y] for x, y in square]]},
                "properties": {"classification": {"name": kind}},
            }
            for n, kind in enumerate(("Positive", "Negative"))
        ]
        (root / "glioma-ki67" / f"{name}.geojson").write_text(json.dumps({"features": features}))
    return root


def draw_strip() -> NDArray[np.uint8]:
    """Six panels of 64 px; the segmentation has a red disk and a blue one."""
    panels = np.full((6, 64, 64, 3), 40, np.uint8)
    panels[:2] = 220
    labels = draw_disks(64, [(20, 20), (44, 44)], 9)
    panels[5] = 0
    panels[5][labels == 1], panels[5][labels == 2] = (255, 0, 0), (0, 0, 255)
    return np.concatenate(list(panels), axis=1)
