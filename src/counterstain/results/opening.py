"""What earlier runs wrote, read back: result folders, their tables and their maps. No network, no slide."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from counterstain.cells.table import Cells
from counterstain.errors import OutputError, Remedy, UsageError
from counterstain.inference.bundle import Manifest
from counterstain.outputs.images.ome_tiff_maps import read_ome_tiff
from counterstain.outputs.tables.cells_csv import read_csv
from counterstain.outputs.tables.tiles import FILE_NAME as TILES
from counterstain.outputs.tables.tiles import read_tiles
from counterstain.panel import Panel
from counterstain.results.checking import check_cells, check_tiles
from counterstain.results.record import FILE_NAME, Record, read_record
from counterstain.slides.base import Slide
from counterstain.stitching.maps import Maps
from counterstain.tiling.quality import TileQualities
from counterstain.versions import FORMAT_VERSION

NEEDS = {"cells.parquet": "pyarrow", "maps.ome.zarr": "zarr"}
"""File -> the module that reads it."""

Result = TypeVar("Result")


def results_in(folder: Path) -> list[tuple[Path, Record]]:
    """Return the results in a folder with their records: the folder itself, or the folders directly in it by name.

    Raises
    ------
    UsageError
        There is none, or one is of a later format.
    """
    own = read_record(folder)
    found = [(folder, own)] if own else _inner(folder)
    if not found:
        raise UsageError(
            f"{folder} holds no result: expected {FILE_NAME} in it or in the folders in it, as analyze writes them"
        )
    later = [str(path) for path, content in found if content.format_version > FORMAT_VERSION]
    if later:
        raise UsageError(f"{', '.join(later)} is of a later format than this version of counterstain reads; upgrade it")
    return found


def read_cells(folder: Path, content: Record) -> Cells:
    """Return the table of a result, without outlines, with the thresholds that made it.

    Raises
    ------
    OutputError
        It has no table that can be read here, or one that is damaged or was changed.
    """
    readers = {"cells.parquet": _read_parquet, "cells.csv": read_csv}
    path, reader = _first(folder, content, readers, "csv or parquet")
    try:
        cells = reader(path)
        check_cells(cells, content)
    except (ValueError, OSError) as error:  # pyarrow's errors are among them
        raise OutputError(f"cannot read {path}: {error}; analyse the slide again") from error
    return Cells(columns=cells.columns, outlines=cells.outlines, thresholds={**content.thresholds})


def read_manifest(folder: Path, content: Record) -> Manifest:
    """Return what the record says of the model.

    Raises
    ------
    OutputError
        It says too little, as it did in early versions, or something else.
    """
    try:
        return Manifest.model_validate(content.bundle.manifest)
    except ValidationError as error:
        raise OutputError(f"{folder / FILE_NAME} does not describe the model ({error}); analyse the slide again") from error


def read_maps(folder: Path, content: Record) -> Maps:
    """Return the maps of a result.

    Raises
    ------
    OutputError
        It has none, or damaged ones.
    """
    panel, mpp = read_manifest(folder, content).panel, content.slide.analysed_mpp
    readers = {
        "maps.ome.zarr": lambda path: _read_ome_zarr(path, panel, mpp),
        "modalities.ome.tiff": lambda path: read_ome_tiff(path, panel, mpp),
    }
    path, reader = _first(folder, content, readers, "ome-tiff or ome-zarr")
    try:
        return reader(path)
    except (ValueError, OSError) as error:
        raise OutputError(f"cannot read {path}: {error}; analyse the slide again") from error


def read_qualities(folder: Path, content: Record, slide: Slide) -> TileQualities:
    """Return what the result says of its tiles; nothing when it was made without ``tiles.csv``.

    Raises
    ------
    OutputError
        The table is damaged.
    """
    if TILES not in content.files:
        return ()
    try:
        tiles = read_tiles(folder / TILES, slide, content.slide.analysed_mpp)
        check_tiles(len(tiles), content)
        return tiles
    except (ValueError, OSError) as error:
        raise OutputError(f"cannot read {folder / TILES}: {error}; analyse the slide again") from error


def _inner(folder: Path) -> list[tuple[Path, Record]]:
    if not folder.is_dir():
        return []
    paths = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [(path, content) for path in paths if (content := read_record(path))]


def _first(
    folder: Path, content: Record, readers: Mapping[str, Callable[[Path], Result]], formats: str
) -> tuple[Path, Callable[[Path], Result]]:
    for name, reader in readers.items():
        is_readable = name not in NEEDS or importlib.util.find_spec(NEEDS[name])
        if name in content.files and (folder / name).exists() and is_readable:
            return folder / name, reader
    raise OutputError(
        f"{folder} holds none of {', '.join(readers)} that can be read here",
        Remedy("analyse the slide again", "format", formats),
    )


def _read_parquet(path: Path) -> Cells:
    cells: Cells = importlib.import_module("counterstain.outputs.tables.parquet").read_parquet(path)
    return cells


def _read_ome_zarr(path: Path, panel: Panel, mpp: float) -> Maps:
    maps: Maps = importlib.import_module("counterstain.outputs.images.ome_zarr").read_ome_zarr(path, panel, mpp)
    return maps
