"""One analysis in every format, each opened by the libraries that people use. No table is read by what wrote it."""

import gzip
import json

import anndata
import numpy as np
import ome_types
import pandas
import pyarrow.parquet
import pytest
import shapely
import tifffile
import yaozarrs
import zarr

from counterstain.inference.names import load_backend
from counterstain.outputs.images import levels
from counterstain.outputs.names import FORMATS
from counterstain.pipeline import analyze
from counterstain.results.folder import write_folder
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution

HEIGHT, WIDTH, MPP = 161, 218, 0.25
CHANNELS = {
    "Hematoxylin red": (255, 0, 0),
    "Hematoxylin green": (0, 255, 0),
    "Hematoxylin blue": (0, 0, 255),
    "DAPI": (255, 255, 255),
    "LAP2beta": (0, 255, 0),
    "Marker": (255, 255, 255),
    "Segmentation positive": (255, 0, 0),
    "Segmentation boundary": (0, 255, 0),
    "Segmentation negative": (0, 0, 255),
    "Distance inside the nucleus": (255, 255, 255),
}
"""Title -> colour of each plane of the classical model."""


def drawn_tissue():
    """Six brown and six blue disks of 20 px on a light ground."""
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    image = np.full((HEIGHT, WIDTH, 3), (235, 232, 235), np.uint8)
    for number, centre in enumerate((row, col) for row in (30, 80, 130) for col in (30, 80, 130, 180)):
        image[np.hypot(rows - centre[0], cols - centre[1]) <= 10] = [(90, 50, 20), (90, 110, 170)][number % 2]
    return image


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The folder of a slide that was written in every format, with three levels where a format has levels."""
    folder = tmp_path_factory.mktemp("ecosystem") / "drawn"
    with (
        pytest.MonkeyPatch.context() as patch,
        ArraySlide(drawn_tissue(), name="drawn", resolution=Resolution(MPP, "metadata")) as slide,
    ):
        patch.setattr(levels, "SMALLEST_LEVEL_PX", 64)
        write_folder(analyze(slide, load_backend("classical")), folder, FORMATS)
    return folder


@pytest.fixture(scope="module")
def table(results):
    """The cells table as pandas reads it from CSV."""
    return pandas.read_csv(results / "cells.csv")


def test_the_slide_has_the_nuclei_that_were_drawn(table):
    assert len(table) == 12
    assert table["is_positive"].sum() == 6


def test_tifffile_sees_a_pyramid_of_named_planes(results):
    with tifffile.TiffFile(results / "modalities.ome.tiff") as file:
        (series,) = file.series
        assert (series.axes, series.dtype) == ("CYX", "uint8")
        assert [level.shape for level in series.levels] == [(10, 161, 218), (10, 81, 109), (10, 41, 55)]
        assert [page.resolution for page in (level.keyframe for level in series.levels)] == [
            pytest.approx((1e4 / mpp, 1e4 / mpp)) for mpp in (0.25, 0.5, 1.0)
        ]


def test_ome_types_sees_size_pixel_size_names_and_colours(results):
    (image,) = ome_types.from_tiff(results / "modalities.ome.tiff", validate=False).images
    pixels = image.pixels
    assert (image.name, pixels.size_y, pixels.size_x, pixels.size_c) == ("drawn", HEIGHT, WIDTH, 10)
    assert (pixels.physical_size_y, pixels.physical_size_x) == (MPP, MPP)
    assert pixels.physical_size_x_unit == ome_types.model.UnitsLength.MICROMETER
    assert {channel.name: channel.color.as_rgb_tuple(alpha=False) for channel in pixels.channels} == CHANNELS


def test_the_maps_in_ome_zarr_are_valid_by_the_models_of_the_specification(results):
    attributes = json.loads((results / "maps.ome.zarr" / "zarr.json").read_text())["attributes"]
    image = yaozarrs.v05.Image.model_validate(attributes["ome"])
    (multiscale,) = image.multiscales
    assert [(axis.name, axis.type) for axis in multiscale.axes] == [("c", "channel"), ("y", "space"), ("x", "space")]
    assert [dataset.coordinateTransformations[0].scale for dataset in multiscale.datasets] == [
        [1.0, mpp, mpp] for mpp in (0.25, 0.5, 1.0)
    ]
    assert {channel.label: tuple(bytes.fromhex(channel.color)) for channel in image.omero.channels} == CHANNELS
    group = zarr.open_group(results / "maps.ome.zarr", mode="r")
    arrays = [group[dataset.path] for dataset in multiscale.datasets]
    assert [array.shape for array in arrays] == [(10, 161, 218), (10, 81, 109), (10, 41, 55)]
    assert {array.metadata.dimension_names for array in arrays} == {("c", "y", "x")}


def test_both_kinds_of_maps_hold_the_same_pixels(results):
    group = zarr.open_group(results / "maps.ome.zarr", mode="r")
    with tifffile.TiffFile(results / "modalities.ome.tiff") as file:
        for number, level in enumerate(file.series[0].levels):
            np.testing.assert_array_equal(level.asarray(), group[str(number)][:])


def test_the_outlines_are_valid_polygons_of_the_areas_in_the_table(results, table):
    text = (results / "cells.geojson").read_text(encoding="utf-8")
    assert gzip.decompress((results / "cells.geojson.gz").read_bytes()).decode() == text
    polygons = shapely.get_parts(shapely.from_geojson(text))
    assert len(polygons) == len(table)
    assert shapely.is_valid(polygons).all()
    np.testing.assert_allclose(shapely.area(polygons) * MPP**2, table["area_um2"])
    centroids = shapely.get_coordinates(shapely.centroid(polygons))
    np.testing.assert_allclose(centroids, table[["col_px", "row_px"]] + 0.5, atol=1e-3)


def test_pandas_and_pyarrow_read_the_table_with_its_types(results, table):
    typed = pandas.read_parquet(results / "cells.parquet")
    pandas.testing.assert_frame_equal(typed, table, check_dtype=False)
    assert typed.dtypes.astype(str)[["cell_id", "area_um2", "p_positive", "is_positive", "quality_flags"]].tolist() == [
        *("int64", "float64", "float32", "bool", "uint8"),
    ]
    positive = pyarrow.parquet.read_table(results / "cells.parquet", filters=[("is_positive", "=", True)])
    assert positive.num_rows == 6


def test_code_as_written_for_scanpy_colours_and_groups_the_cells(results, table):
    read = anndata.read_h5ad(results / "cells.h5ad")
    assert read.obs_names.tolist() == table["cell_id"].astype(str).tolist()
    np.testing.assert_array_equal(read.obsm["spatial"], table[["col_px", "row_px"]])
    categories = read.obs["classification"].cat.categories
    colours = dict(zip(categories, read.uns["classification_colors"], strict=True))
    assert read.obs["classification"].map(colours).value_counts().to_dict() == {"#fa3e3e": 6, "#7070e1": 6}
    means = read.to_df().groupby(read.obs["classification"], observed=True)["dab_od_mean"].mean()
    assert means["Positive"] > means["Negative"]
    assert read[read.obs["area_um2"] > 0, ["dab_od_mean"]].shape == (12, 1)


def test_the_table_of_the_spatialdata_store_is_that_of_the_other_files(results, table):
    store = results / "cells.spatialdata.zarr"
    read = anndata.read_zarr(store / "tables" / "table")
    assert read.obs["cell_id"].tolist() == table["cell_id"].tolist()
    shapes = pandas.read_parquet(store / "shapes" / "nuclei" / "shapes.parquet")
    polygons = shapely.from_wkb(shapes["geometry"].to_numpy())
    assert shapes.index.tolist() == table["cell_id"].tolist()
    np.testing.assert_allclose(shapely.get_coordinates(shapely.centroid(polygons)), read.obsm["spatial"], atol=1e-3)


@pytest.mark.filterwarnings("ignore")  # of the libraries themselves
def test_geopandas_reads_outlines_and_shapes(results):
    geopandas = pytest.importorskip("geopandas", reason="geopandas is not among the development packages: 140 MB")
    frame = geopandas.read_file(results / "cells.geojson")
    assert frame.is_valid.all()
    assert len(frame) == len(geopandas.read_file(f"/vsigzip/{results / 'cells.geojson.gz'}")) == 12
    shapes = geopandas.read_parquet(results / "cells.spatialdata.zarr" / "shapes" / "nuclei" / "shapes.parquet")
    assert shapes.is_valid.all()


@pytest.mark.filterwarnings("ignore")  # of the libraries themselves
def test_ome_zarr_py_reads_the_maps(results):
    reader = pytest.importorskip(
        "ome_zarr.reader", reason="ome-zarr needs an earlier pydantic than this package is tested with"
    )
    location = pytest.importorskip("ome_zarr.io").parse_url(str(results / "maps.ome.zarr"))
    (node,) = reader.Reader(location)()
    assert [level.shape for level in node.data] == [(10, 161, 218), (10, 81, 109), (10, 41, 55)]
    assert node.metadata["channel_names"] == list(CHANNELS)


@pytest.mark.filterwarnings("ignore")  # of the libraries themselves
def test_the_package_spatialdata_reads_the_store(results):
    spatialdata = pytest.importorskip("spatialdata", reason="spatialdata is not among the development packages: a gigabyte")
    read = spatialdata.read_zarr(results / "cells.spatialdata.zarr")
    shapes, rows = spatialdata.join_spatialelement_table(sdata=read, spatial_element_names="nuclei", table_name="table")
    assert len(shapes["nuclei"]) == rows.n_obs == 12
