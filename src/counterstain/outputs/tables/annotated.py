"""The cells table laid out as anndata stores it, written piece by piece into HDF5 or Zarr.

The layout is version 0.1.0 of AnnData's format on disk (Virshup et al., Journal of Open Source Software 2024), which says by
attributes what each group and array is. Knows neither kind of store.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from counterstain.analysis import Analysis
from counterstain.cells.table import COLUMNS, Cells, regrouped
from counterstain.outputs.tables.geojson import CLASSIFICATIONS
from counterstain.versions import FORMAT_VERSION

INTENSITIES = ("marker_mean", "marker_max", "dab_od_mean", "hematoxylin_od_mean", "dapi_mean", "lap2_mean")
"""Columns of ``X``; the others are in ``obs``."""

OBSERVED = tuple(name for name in COLUMNS if name not in INTENSITIES)
CLASSES = tuple(str(CLASSIFICATIONS[is_positive]["name"]) for is_positive in (False, True))
"""Categories of ``classification``, so that ``is_positive`` is the code of each nucleus."""

POSITIONS = ("col", "row")
"""x, then y."""

ROWS_AT_ONCE = 8192
"""Rows of a chunk: what is in memory while a table of any length is written."""

Attributes = Mapping[str, Any]
Kind = type[np.generic] | type[str]


class Store(Protocol):
    """A tree of groups and arrays with attributes."""

    def group(self, path: str, attributes: Attributes) -> None:
        """Make a group."""

    def array(self, path: str, shape: tuple[int, ...], kind: Kind, attributes: Attributes) -> Any:
        """Make an array and return it; its parts are then assigned, ``ROWS_AT_ONCE`` rows at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedShapes:
    """The shapes that a table annotates."""

    name: str
    corner_px: float = 0.5
    """What is added to positions: shapes count from the corner of the first pixel, the table from its centre."""


def write_annotated(store: Store, analysis: Analysis, region: AnnotatedShapes | None = None) -> None:
    """Write intensities as ``X``, the other columns and the class as ``obs``, and positions as (x, y) in ``obsm``.

    Parameters
    ----------
    region : adds the columns and notes by which SpatialData finds the shape of each row.
    """
    count, attached = len(analysis.cells), {} if region is None else _attached(region)
    store.group("", {**_encoding("anndata", "0.1.0"), **({**attached, **_REGIONS_TABLE} if region else {})})
    for name in ("layers", "obsm", "obsp", "varm", "varp"):
        store.group(name, _DICT)
    _write_frame(store, "var", (), INTENSITIES)
    _write_notes(store, analysis, attached)
    rows = _rows_of(store, count, region)
    first = 0
    for part in regrouped(analysis.cells, ROWS_AT_ONCE):
        for path, values in _values(part, analysis.slide.resolution.sides, region).items():
            rows[path][first : first + len(part)] = values
        first += len(part)


def _encoding(kind: str, version: str = "0.2.0") -> dict[str, str]:
    return {"encoding-type": kind, "encoding-version": version}


_DICT, _ARRAY, _STRINGS = _encoding("dict", "0.1.0"), _encoding("array"), _encoding("string-array")
_REGIONS_TABLE = {"spatialdata-encoding-type": "ngff:regions_table", "version": "0.2"}


def _attached(region: AnnotatedShapes) -> dict[str, str]:
    return {"region": region.name, "region_key": "region", "instance_key": "cell_id"}


def _write_frame(store: Store, path: str, columns: tuple[str, ...], index: tuple[str, ...] = ()) -> None:
    store.group(path, {**_encoding("dataframe"), "_index": "_index", "column-order": list(columns)})
    if index:
        _write_strings(store, f"{path}/_index", index)


def _write_strings(store: Store, path: str, values: tuple[str, ...]) -> None:
    store.array(path, (len(values),), str, _STRINGS)[:] = np.array(values, object)


def _write_notes(store: Store, analysis: Analysis, attached: Mapping[str, str]) -> None:
    store.group("uns", _DICT)
    colours = [np.array(CLASSIFICATIONS[is_positive]["color"], np.uint8) for is_positive in (False, True)]
    _write_strings(store, "uns/classification_colors", tuple(f"#{colour.tobytes().hex()}" for colour in colours))
    store.group("uns/counterstain", _DICT)
    number = _encoding("numeric-scalar")
    store.array("uns/counterstain/format_version", (), np.int64, number)[()] = FORMAT_VERSION
    store.array("uns/counterstain/mpp", (), np.float64, number)[()] = analysis.slide.resolution.mpp
    store.array("uns/counterstain/slide", (), str, _encoding("string"))[()] = analysis.slide.name
    if attached:
        store.group("uns/spatialdata_attrs", _DICT)
    for name, value in attached.items():
        store.array(f"uns/spatialdata_attrs/{name}", (), str, _encoding("string"))[()] = value


def _rows_of(store: Store, count: int, region: AnnotatedShapes | None) -> dict[str, Any]:
    """Return path -> empty array for all that has a row per nucleus."""
    categories = {"classification": CLASSES, **({"region": (region.name,)} if region else {})}
    _write_frame(store, "obs", (*OBSERVED, *categories))
    rows = {name: store.array(f"obs/{name}", (count,), COLUMNS[name], _ARRAY) for name in OBSERVED}
    rows["_index"] = store.array("obs/_index", (count,), str, _STRINGS)
    for name, values in categories.items():
        store.group(f"obs/{name}", {**_encoding("categorical"), "ordered": False})
        _write_strings(store, f"obs/{name}/categories", values)
        rows[name] = store.array(f"obs/{name}/codes", (count,), np.int8, _ARRAY)
    rows["X"] = store.array("X", (count, len(INTENSITIES)), np.float32, _ARRAY)
    for name in ("spatial", "spatial_um"):
        rows[name] = store.array(f"obsm/{name}", (count, 2), np.float64, _ARRAY)
    return rows


def _values(cells: Cells, sides: tuple[float, float], region: AnnotatedShapes | None) -> dict[str, NDArray[Any]]:
    """Return what a part of the table puts into each array of ``_rows_of``."""
    corner_px = region.corner_px if region else 0.0
    corner_um = corner_px * np.array(sides[::-1])
    return {
        **{name: cells[name] for name in OBSERVED},
        "_index": cells["cell_id"].astype(str).astype(object),
        "classification": cells["is_positive"].astype(np.int8),
        **({"region": np.zeros(len(cells), np.int8)} if region else {}),
        "X": np.column_stack([cells[name] for name in INTENSITIES]),
        "spatial": np.column_stack([cells[f"{axis}_px"] for axis in POSITIONS]) + corner_px,
        "spatial_um": np.column_stack([cells[f"{axis}_um"] for axis in POSITIONS]) + corner_um,
    }
