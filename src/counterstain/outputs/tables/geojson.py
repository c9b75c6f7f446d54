"""``cells.geojson``: every nucleus as a QuPath detection with its class and measurements.

Coordinates are pixels of the slide at full size, x right and y down, as QuPath expects them.
"""

import gzip
import io
import json
import math
import uuid
from pathlib import Path
from typing import Any, TextIO

from counterstain.analysis import Analysis
from counterstain.cells.table import FLAG_TOUCHES_BORDER, Cells
from counterstain.files import replacing
from counterstain.polygons.geojson import closed_ring, polygons_of
from counterstain.polygons.rings import Ring
from counterstain.versions import FORMAT_VERSION

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://counterstain/cells")

MEASUREMENTS = {
    "area_um2": "Nucleus: Area µm^2",
    "perimeter_um": "Nucleus: Perimeter µm",
    "eccentricity": "Nucleus: Eccentricity",
    "p_positive": "Nucleus: Positive probability",
    "marker_mean": "Nucleus: Marker mean",
    "marker_max": "Nucleus: Marker max",
    "dab_od_mean": "Nucleus: DAB OD mean",
    "hematoxylin_od_mean": "Nucleus: Hematoxylin OD mean",
    "dapi_mean": "Nucleus: DAPI mean",
    "lap2_mean": "Nucleus: LAP2 mean",
}
"""Column -> measurement, named as QuPath names its own."""

COMPRESSION = 4
"""Of 9: a few per cent larger than the highest and three times as fast."""

CLASSIFICATIONS = {
    True: {"name": "Positive", "color": [250, 62, 62]},
    False: {"name": "Negative", "color": [112, 112, 225]},
}


def write_geojson(analysis: Analysis, path: Path) -> None:
    """Write a FeatureCollection with one detection per nucleus, one feature per line.

    A feature's id is a UUID made from the slide's name and the ``cell_id``, so that it is the same in every run.
    """
    with replacing(path) as hidden, hidden.open("w", encoding="utf-8", newline="\n") as file:
        _write_features(analysis, file)


def write_geojson_gz(analysis: Analysis, path: Path) -> None:
    """Write the same text compressed with gzip; equal cells give equal bytes."""
    with (
        replacing(path) as hidden,
        hidden.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=COMPRESSION, fileobj=raw, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as file,
    ):
        _write_features(analysis, file)


def _write_features(analysis: Analysis, file: TextIO) -> None:
    """Write one feature after the other, so that no more than one is in memory."""
    file.write(f'{{"type": "FeatureCollection", "counterstain": {{"format_version": {FORMAT_VERSION}}}, "features": [')
    separator = "\n"
    for part in analysis.cells.parts():
        for row in range(len(part)):
            written = json.dumps(feature(part, row, analysis.slide.name), allow_nan=False, ensure_ascii=False)
            file.write(separator + written)
            separator = ",\n"
    file.write("\n]}\n")


def feature(cells: Cells, row: int, slide_name: str) -> dict[str, Any]:
    """Return one row of the table as a GeoJSON feature."""
    cell_id = int(cells["cell_id"][row])
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(NAMESPACE, f"{slide_name}/{cell_id}")),
        "geometry": {"type": "Polygon", "coordinates": [closed_ring(cells.outlines[row])]},
        "properties": {
            "objectType": "detection",
            "name": str(cell_id),
            "classification": CLASSIFICATIONS[bool(cells["is_positive"][row])],
            "isLocked": False,
            "measurements": _measurements(cells, row),
        },
    }


def outlines_in(path: Path) -> dict[int, Ring]:
    """Return the outline of each nucleus by its ``cell_id``, from a file that was written here; one feature is read at a time.

    Raises
    ------
    OSError
        The file is missing.
    ValueError, KeyError, TypeError, IndexError
        It is damaged, or another program has written it anew.
    """
    outlines = {}
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        next(file)  # the head of the collection
        for line in file:
            if line.startswith("{"):
                found = json.loads(line.rstrip().rstrip(","))
                outlines[int(found["properties"]["name"])] = polygons_of(found["geometry"])[0][0]
    return outlines


def _measurements(cells: Cells, row: int) -> dict[str, float]:
    values = {title: float(f"{cells[column][row]:.6g}") for column, title in MEASUREMENTS.items()}
    values["Nucleus: Touches border"] = float(bool(cells["quality_flags"][row] & FLAG_TOUCHES_BORDER))
    return {title: value for title, value in values.items() if math.isfinite(value)}
