"""``cells.spatialdata.zarr``: outlines as shapes and the cells table that annotates them, as SpatialData stores both.

The layout is version 0.2 of SpatialData (Marconato et al., Nature Methods 2025), whose package is not needed: a Zarr group with
shapes in GeoParquet and a table in AnnData. Memory does not grow with the table. Needs zarr and pyarrow, so it is imported
only when it is asked for.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import zarr
from numpy.typing import NDArray

from counterstain.analysis import Analysis
from counterstain.cells.table import Cells, regrouped
from counterstain.files import replacing_folder
from counterstain.outputs.tables.annotated import ROWS_AT_ONCE, AnnotatedShapes, Attributes, Kind, write_annotated
from counterstain.slides.base import Resolution
from counterstain.versions import FORMAT_VERSION

NUCLEI = "nuclei"
"""Name of the shapes, and of the region that the table annotates."""

TABLE = "table"

GEO = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {"geometry": {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": None}},
}
"""What GeoParquet 1.1 says of the column of outlines; they are not geographic, so there is no reference system."""

PANDAS = {
    "index_columns": ["cell_id"],
    "column_indexes": [],
    "columns": [
        {"name": "geometry", "field_name": "geometry", "pandas_type": "bytes", "numpy_type": "object", "metadata": None},
        {"name": "cell_id", "field_name": "cell_id", "pandas_type": "int64", "numpy_type": "int64", "metadata": None},
    ],
    "pandas_version": "2.0.0",
}
"""What pandas needs to know to take ``cell_id`` for the index, by which the table finds its shapes."""

SHAPES = pyarrow.schema(
    [("geometry", pyarrow.binary()), ("cell_id", pyarrow.int64())],
    metadata={"geo": json.dumps(GEO), "pandas": json.dumps(PANDAS)},
)

POLYGON = struct.Struct("<BIII")
"""Well-known binary (OGC 06-103r4): byte order, type 3, number of rings, and the number of points of the first."""


def write_spatialdata(analysis: Analysis, path: Path) -> None:
    """Write what ``spatialdata.read_zarr`` opens.

    Both elements have two systems of coordinates: ``global``, pixels of the input at full size from the corner of the first,
    and ``um``, micrometres.
    """
    attributes: dict[str, Any] = {"spatialdata_attrs": {"version": "0.2"}, "counterstain": {"format_version": FORMAT_VERSION}}
    with replacing_folder(path, lambda _: True) as hidden:
        root = zarr.open_group(hidden, mode="w", zarr_format=3, attributes=attributes)
        root.create_group(f"shapes/{NUCLEI}", attributes=_shapes(analysis.slide.resolution))
        write_annotated(_InZarr(root=root, inside=f"tables/{TABLE}"), analysis, AnnotatedShapes(name=NUCLEI))
        with pyarrow.parquet.ParquetWriter(hidden / "shapes" / NUCLEI / "shapes.parquet", SHAPES, compression="zstd") as writer:
            for part in regrouped(analysis.cells, ROWS_AT_ONCE):
                writer.write_table(_geometries(part))


def polygon(outline: NDArray[np.float64]) -> bytes:
    """Return an open ring of (k, 2) (row, col) corners as a polygon of (x, y) in well-known binary."""
    ring = np.concatenate([outline, outline[:1]])[:, ::-1]
    return POLYGON.pack(1, 3, 1, len(ring)) + ring.astype("<f8").tobytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class _InZarr:
    """A ``Store`` in a group of a Zarr hierarchy."""

    root: Any
    inside: str

    def group(self, path: str, attributes: Attributes) -> None:
        self.root.create_group(f"{self.inside}/{path}".rstrip("/"), attributes=dict(attributes))

    def array(self, path: str, shape: tuple[int, ...], kind: Kind, attributes: Attributes) -> Any:
        chunks = tuple(min(max(side, 1), ROWS_AT_ONCE) for side in shape)
        return self.root.create_array(
            f"{self.inside}/{path}", shape=shape, chunks=chunks, dtype=kind, attributes=dict(attributes)
        )


def _geometries(cells: Cells) -> Any:
    polygons = pyarrow.array([polygon(outline) for outline in cells.outlines], pyarrow.binary())
    return pyarrow.table([polygons, cells["cell_id"]], schema=SHAPES)


def _shapes(resolution: Resolution) -> dict[str, Any]:
    """Return the attributes of the group of shapes."""
    height, width = resolution.sides
    axes = [{"name": name, "type": "space", "unit": "unit"} for name in "xy"]
    spaces = {name: {"name": name, "axes": axes} for name in ("xy", "global", "um")}
    return {
        "encoding-type": "ngff:shapes",
        "axes": ["x", "y"],
        "spatialdata_attrs": {"version": "0.3"},
        "coordinateTransformations": [
            {"type": "identity", "input": spaces["xy"], "output": spaces["global"]},
            {"type": "scale", "scale": [width, height], "input": spaces["xy"], "output": spaces["um"]},
        ],
    }
