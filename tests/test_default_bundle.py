"""The model that comes with the package: what it is, what it finds, and that tiles and crops do not change the counts."""

import csv
import json

import numpy as np
import pytest
from accuracy import HEADINGS, found_by, image_scores
from click.testing import CliRunner
from references import deepliif_references

from counterstain.cells.segment import CellOptions, segment
from counterstain.cli.main import main
from counterstain.inference.bundle import default_bundle_path
from counterstain.inference.classical import ClassicalBackend
from counterstain.inference.names import load_backend
from counterstain.inference.run import infer
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.stitching.canvas import stitch
from counterstain.tiling.grid import TileGrid
from counterstain.training.synthesis.render import synthetic_field

MEGABYTES_ALLOWED = 12


@pytest.fixture(scope="module")
def default_backend():
    return load_backend("default", threads=2)


def cells_of(pixels, backend, tile_px, margin_px):
    slide = ArraySlide(np.ascontiguousarray(pixels), resolution=Resolution(0.25, "option"))
    manifest = backend.manifest
    grid = TileGrid(size=slide.size, tile_px=tile_px, margin_px=margin_px, stride_px=manifest.stride_px)
    maps = stitch(infer(slide, backend, grid), size=grid.size, mpp=manifest.mpp, panel=manifest.panel)
    return segment(slide, maps, CellOptions(), decoder=manifest.decoder)


def test_the_weights_are_small_and_come_with_a_card():
    folder = default_bundle_path()
    assert sum(path.stat().st_size for path in folder.iterdir()) < MEGABYTES_ALLOWED * 1e6
    card = (folder / "MODEL_CARD.md").read_text()
    assert "research use only" in card
    assert "CC BY 4.0" in card


@pytest.mark.slow
def test_the_benchmark_is_passed_with_all_settings_at_their_defaults(data_dir, default_backend):
    references = deepliif_references(data_dir / "deepliif-bc4")
    rows = [image_scores(reference, found_by(default_backend, reference)) for reference in references]
    found = dict(zip(HEADINGS[1:], np.mean(rows, axis=0), strict=True))
    assert found["Dice"] > 67.9  # the published model's
    assert found["F1"] > 66.8  # the published model's
    assert found["%+ err"] < 9.7  # the published model's


@pytest.mark.slow
def test_tile_sizes_change_the_count_of_the_network_by_one_nucleus_at_most(default_backend):
    pixels, margin_px = synthetic_field(2, 1024).image, default_backend.manifest.margin_px
    counts = [len(cells_of(pixels, default_backend, kept_px + 2 * margin_px, margin_px)) for kept_px in (256, 512, 1024)]
    assert min(counts) > 400
    assert max(counts) - min(counts) <= 1


def test_tile_sizes_do_not_change_the_count_of_a_model_that_sees_no_farther_than_its_margin():
    pixels, backend = synthetic_field(2, 1024).image, ClassicalBackend()
    tables = [cells_of(pixels, backend, tile_px, 32) for tile_px in (256, 512, 1024)]
    assert len(tables[0]) > 400
    for table in tables[1:]:
        assert np.array_equal(table["cell_id"], tables[0]["cell_id"])
        assert np.array_equal(table["is_positive"], tables[0]["is_positive"])


@pytest.mark.parametrize("shift", [1, 7, 100])
def test_a_shifted_crop_has_the_same_nuclei_away_from_its_border(shift):
    pixels, backend, border = synthetic_field(2, 640).image, ClassicalBackend(), 150 + shift
    whole, crop = (cells_of(part, backend, 256, 32) for part in (pixels, pixels[shift:, shift:]))

    def inside(cells, offset):
        rows, cols = cells["row_px"] + offset, cells["col_px"] + offset
        kept = (rows > border) & (cols > border)
        return sorted(zip(rows[kept].round(6), cols[kept].round(6), strict=True))

    assert len(inside(whole, 0)) > 50
    assert inside(crop, shift) == inside(whole, 0)


def test_counts_agree_between_all_files_of_a_real_tile(data_dir, tmp_path):
    tile = data_dir / "deepliif-bc4" / "ihc" / "22_2.png"
    outcome = CliRunner().invoke(main, ["analyze", str(tile), "--out", str(tmp_path), "--mpp", "0.25", "--quiet"])
    assert outcome.exit_code == 0, outcome.output
    folder = tmp_path / "22_2"
    expected = {
        "hematoxylin.png", "dapi.png", "lap2.png", "marker.png", "segmentation.png", "overlay.png", "modalities.ome.tiff",
        "cells.csv", "cells.geojson", "cells.npz", "cells.parquet", "tiles.csv", "analysis.json",
    }  # fmt: skip
    assert {path.name for path in folder.iterdir()} == expected
    counts = json.loads((folder / "analysis.json").read_text())["scores"][0]["counts"]
    with (folder / "cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    features = json.loads((folder / "cells.geojson").read_text())["features"]
    classes = [feature["properties"]["classification"]["name"] for feature in features]
    assert counts["total"] == len(rows) == len(features)
    assert counts["positive"] == classes.count("Positive")
    assert 80 < counts["total"] < 200
