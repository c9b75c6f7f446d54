"""The command on slides whose maps go to disk; the limit is lowered so that a small image is one."""

import json

import numpy as np
import pytest
from PIL import Image

from counterstain import pipeline
from counterstain.jobs import batch
from counterstain.outputs import names
from counterstain.passes import here


@pytest.fixture
def field(folder, monkeypatch):
    """Brown and blue disks on tinted ground, as ``field.png`` in the current folder."""
    generator = np.random.default_rng(0)
    image = generator.integers(205, 232, (700, 700, 3), dtype=np.uint8)
    rows, cols = np.mgrid[:21, :21]
    disk = (rows - 10) ** 2 + (cols - 10) ** 2 <= 100
    for row in range(20, 660, 60):
        for col in range(20, 660, 60):
            image[row : row + 21, col : col + 21][disk] = [(90, 50, 20), (90, 110, 170)][(row + col) // 60 % 2]
    Image.fromarray(image).save(folder / "field.png")
    monkeypatch.setattr(pipeline, "IN_MEMORY_PIXELS", 1000)
    return folder


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_tables_and_outlines_are_those_of_a_slide_in_memory_and_no_work_is_left(field, run, monkeypatch):
    assert run("analyze", "field.png", "--out", "disk", "--bundle", "classical").exit_code == 0
    monkeypatch.setattr(pipeline, "IN_MEMORY_PIXELS", 10**9)
    assert run("analyze", "field.png", "--out", "memory", "--bundle", "classical").exit_code == 0
    disk, memory = files(field / "disk" / "field"), files(field / "memory" / "field")
    assert disk.keys() == memory.keys()
    assert {name for name in disk if disk[name] != memory[name]} <= {"analysis.json", "modalities.ome.tiff"}
    assert sorted(path.name for path in (field / "disk").iterdir()) == ["counterstain.log", "field", "summary.csv"]


def test_an_interrupted_run_is_refused_other_options_and_finished_with_its_own(field, run, monkeypatch):
    put = here.put

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(here, "put", interrupted)
    assert run("analyze", "field.png", "--out", "out", "--bundle", "classical").exit_code == 130
    assert (field / "out" / ".field.work").is_dir()
    monkeypatch.setattr(here, "put", put)
    refused = run("analyze", "field.png", "--out", "out", "--bundle", "classical", "--threshold", "0.9")
    assert refused.exit_code == 1
    assert "threshold was 0.5 and is 0.9" in refused.stderr
    assert run("analyze", "field.png", "--out", "out", "--bundle", "classical").exit_code == 0
    assert not (field / "out" / ".field.work").exists()


def test_a_slide_too_large_for_pictures_gets_tables_and_is_refused_a_picture_by_name(field, run, monkeypatch):
    monkeypatch.setattr(names, "WHOLE_IMAGE_PIXELS", 1000)
    refused = run("analyze", "field.png", "--out", "out", "--bundle", "classical", "--format", "overlay")
    assert refused.exit_code == 1
    assert "the formats overlay can only be written for up to 1,000 pixels" in refused.stderr
    kept, analyze = [], batch.analyze
    monkeypatch.setattr(batch, "analyze", lambda *args, **kwargs: kept.append(analyze(*args, **kwargs)) or kept[0])
    assert run("analyze", "field.png", "--out", "out", "--bundle", "classical").exit_code == 0
    record = json.loads((field / "out" / "field" / "analysis.json").read_text())
    assert record["files"] == ["cells.csv", "cells.geojson", "cells.parquet", "tiles.csv", "cells.npz", "analysis.json"]
    assert record["warnings"][-1].endswith("not written: modalities, segmentation, overlay, ome-tiff")
    assert "hematoxylin" not in kept[0].maps.planes
