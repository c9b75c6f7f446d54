import dataclasses
import gzip
import json
import uuid

import numpy as np
import pytest
import shapely
from shapely.geometry import shape

from counterstain.cells.table import COLUMNS, Cells
from counterstain.outputs.tables.geojson import write_geojson, write_geojson_gz


@pytest.fixture
def features(analysis, tmp_path):
    write_geojson(analysis, tmp_path / "cells.geojson")
    return json.loads((tmp_path / "cells.geojson").read_text(encoding="utf-8"))["features"]


def test_outlines_are_closed_valid_polygons_in_x_and_y(features, squares):
    for feature, box in zip(features, squares, strict=True):
        ring = feature["geometry"]["coordinates"][0]
        assert ring[0] == ring[-1]
        polygon = shape(feature["geometry"])
        assert polygon.is_valid
        assert polygon.equals(shapely.box(box.col, box.row, box.stop_col, box.stop_row))


def test_features_are_detections_that_qupath_takes(features):
    for feature in features:
        assert uuid.UUID(feature["id"]).version == 5
        assert feature["properties"]["objectType"] == "detection"
        assert feature["properties"]["isLocked"] is False
    assert [feature["properties"]["classification"]["name"] for feature in features] == ["Positive", "Negative", "Positive"]
    assert features[0]["properties"]["classification"]["color"] == [250, 62, 62]


def test_measurements_have_units_in_their_names_and_no_value_that_does_not_exist(features):
    measurements = features[2]["properties"]["measurements"]
    assert measurements["Nucleus: Area µm^2"] == 1.5
    assert measurements["Nucleus: Positive probability"] == 0.6
    assert measurements["Nucleus: Touches border"] == 1.0
    assert "Nucleus: LAP2 mean" not in measurements


def test_ids_are_the_same_in_every_run_and_differ_between_cells(analysis, features, tmp_path):
    write_geojson(analysis, tmp_path / "again.geojson")
    again = json.loads((tmp_path / "again.geojson").read_text(encoding="utf-8"))["features"]
    ids = [feature["id"] for feature in features]
    assert [feature["id"] for feature in again] == ids
    assert len(set(ids)) == 3


def test_a_slide_without_nuclei_is_an_empty_collection(analysis, tmp_path):
    empty = Cells(columns={name: np.empty(0, kind) for name, kind in COLUMNS.items()}, outlines=[])
    write_geojson(dataclasses.replace(analysis, cells=empty), tmp_path / "cells.geojson")
    assert json.loads((tmp_path / "cells.geojson").read_text())["features"] == []


def test_the_compressed_file_holds_the_same_text_and_is_the_same_in_every_run(analysis, tmp_path):
    write_geojson(analysis, tmp_path / "cells.geojson")
    packed = []
    for name in ("a.gz", "b.gz"):
        write_geojson_gz(analysis, tmp_path / name)
        packed.append((tmp_path / name).read_bytes())
    assert packed[0] == packed[1]
    assert gzip.decompress(packed[0]) == (tmp_path / "cells.geojson").read_bytes()
