import dataclasses
import json

import anndata
import numpy as np
import pyarrow.parquet
import pytest
import shapely
import zarr

from counterstain.cells.table import COLUMNS, Cells
from counterstain.outputs.tables.spatialdata import polygon, write_spatialdata
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution


@pytest.fixture
def store(analysis, tmp_path):
    write_spatialdata(analysis, tmp_path / "cells.spatialdata.zarr")
    return tmp_path / "cells.spatialdata.zarr"


def shapes_of(store):
    return pyarrow.parquet.read_table(store / "shapes" / "nuclei" / "shapes.parquet")


def test_the_root_and_its_elements_say_their_versions(store):
    assert zarr.open_group(store, mode="r").metadata.zarr_format == 3
    attributes = {
        place: json.loads((store / place / "zarr.json").read_text())["attributes"]
        for place in ("", "shapes/nuclei", "tables/table")
    }
    assert attributes[""]["spatialdata_attrs"] == {"version": "0.2"}
    assert attributes["shapes/nuclei"]["encoding-type"] == "ngff:shapes"
    assert attributes["shapes/nuclei"]["spatialdata_attrs"] == {"version": "0.3"}
    assert attributes["tables/table"] == {
        "encoding-type": "anndata",
        "encoding-version": "0.1.0",
        "spatialdata-encoding-type": "ngff:regions_table",
        "version": "0.2",
        "region": "nuclei",
        "region_key": "region",
        "instance_key": "cell_id",
    }


def test_outlines_are_valid_polygons_under_the_ids_of_the_cells(store, analysis):
    shapes = shapes_of(store)
    polygons = shapely.from_wkb(shapes["geometry"].to_pylist())
    assert shapes["cell_id"].to_pylist() == [100, 200, 300]
    assert shapely.is_valid(polygons).all()
    assert shapely.bounds(polygons).tolist() == [[1, 1, 5, 5], [5, 1, 9, 5], [10, 8, 16, 12]]
    assert shapes.to_pandas().index.name == "cell_id"


def test_the_metadata_of_the_outlines_are_those_of_geoparquet(store):
    geo = json.loads(shapes_of(store).schema.metadata[b"geo"])
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    assert geo["columns"]["geometry"] == {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": None}


def test_pixels_and_micrometres_are_systems_of_coordinates_also_of_pixels_that_are_not_square(analysis, tmp_path):
    slide = ArraySlide(np.zeros((9, 9, 3), np.uint8), name="wide", resolution=Resolution(0.5, "metadata", 4.0))
    write_spatialdata(dataclasses.replace(analysis, slide=slide), tmp_path / "s")
    attributes = json.loads((tmp_path / "s/shapes/nuclei/zarr.json").read_text())["attributes"]
    pixels, micrometres = attributes["coordinateTransformations"]
    assert (pixels["type"], pixels["output"]["name"]) == ("identity", "global")
    assert (micrometres["type"], micrometres["output"]["name"]) == ("scale", "um")
    assert micrometres["scale"] == [0.25, 1.0]  # x, y
    assert [axis["name"] for axis in micrometres["input"]["axes"]] == attributes["axes"] == ["x", "y"]


def test_the_table_annotates_the_outlines_and_its_positions_lie_in_them(store, analysis):
    table = anndata.read_zarr(store / "tables" / "table")
    assert table.obs["cell_id"].tolist() == [100, 200, 300]
    assert (table.obs["region"].dtype, table.obs["region"].tolist()) == ("category", ["nuclei"] * 3)
    assert table.uns["spatialdata_attrs"] == {"region": "nuclei", "region_key": "region", "instance_key": "cell_id"}
    centres = shapely.centroid(shapely.from_wkb(shapes_of(store)["geometry"].to_pylist()))
    np.testing.assert_allclose(table.obsm["spatial"][:2], shapely.get_coordinates(centres)[:2])
    np.testing.assert_allclose(table.obsm["spatial_um"][0], [0.875, 0.875])
    assert table.obs["classification"].tolist() == ["Positive", "Negative", "Positive"]


def test_a_slide_without_nuclei_gives_a_store_without_shapes(analysis, tmp_path):
    empty = Cells(columns={name: np.empty(0, kind) for name, kind in COLUMNS.items()}, outlines=[])
    write_spatialdata(dataclasses.replace(analysis, cells=empty), tmp_path / "s")
    assert len(shapes_of(tmp_path / "s")) == 0
    assert anndata.read_zarr(tmp_path / "s" / "tables" / "table").n_obs == 0


def test_a_polygon_is_the_well_known_binary_that_shapely_writes():
    outline = np.array([[0.0, 1.0], [0.0, 4.5], [2.0, 4.5]])
    expected = shapely.Polygon([(1, 0), (4.5, 0), (4.5, 2)])
    assert polygon(outline) == shapely.to_wkb(expected, byte_order=1)


@pytest.mark.filterwarnings("ignore")  # of the libraries themselves
def test_the_package_spatialdata_opens_and_transforms_it(store):
    spatialdata = pytest.importorskip("spatialdata", reason="spatialdata is not among the development packages: a gigabyte")
    read = spatialdata.read_zarr(store)
    assert read["nuclei"].is_valid.all()
    assert read["nuclei"].index.tolist() == read["table"].obs["cell_id"].tolist()
    assert spatialdata.get_extent(read, coordinate_system="um") == {"x": (0.25, 4.0), "y": (0.25, 3.0)}
