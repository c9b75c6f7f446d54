"""What earlier runs wrote, read back: a result as an ``Analysis``, or its table and its maps alone. No network."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from counterstain.analysis import Analysis
from counterstain.cells.table import Cells
from counterstain.errors import OutputError, Remedy, UsageError
from counterstain.extras import missing
from counterstain.inference.bundle import Manifest
from counterstain.outputs.images.ome_tiff_maps import read_ome_tiff
from counterstain.outputs.tables.cells_csv import read_csv
from counterstain.outputs.tables.geojson import outlines_in
from counterstain.outputs.tables.tiles import FILE_NAME as TILES
from counterstain.outputs.tables.tiles import read_tiles
from counterstain.panel import Panel
from counterstain.results.cells import FILE_NAME as CELLS
from counterstain.results.cells import StoredCells, open_cells
from counterstain.results.checking import check_cells, check_tiles
from counterstain.results.record import FILE_NAME, Record, read_record, record_fault
from counterstain.results.source import SourceSlide
from counterstain.slides.base import Slide
from counterstain.stitching.maps import Maps
from counterstain.tiling.quality import TileQualities
from counterstain.versions import FORMAT_VERSION

NEEDS = {"cells.parquet": "pyarrow", "maps.ome.zarr": "zarr"}
"""File -> the module that reads it."""

MAPS = ("maps.ome.zarr", "modalities.ome.tiff")

AGAIN = Remedy("analyse the slide again")

Result = TypeVar("Result")
Results = list[tuple[Path, Record]]
Damaged = list[tuple[Path, OutputError]]


def find_results(folder: Path) -> tuple[Results, Damaged]:
    """Return the results in a folder, for work on each, and those whose record cannot be read, with why.

    Raises
    ------
    UsageError
        There is neither, or one is of a later format.
    """
    damaged = damaged_in(folder)
    return results_in(folder, none_is_fine=bool(damaged)), damaged


def results_in(folder: Path, *, none_is_fine: bool = False) -> Results:
    """Return the results in a folder with their records: the folder itself, or the folders directly in it by name.

    Parameters
    ----------
    none_is_fine : whether a folder may hold no result.

    Raises
    ------
    UsageError
        There is none, or one is of a later format.
    """
    own = read_record(folder)
    found = [(folder, own)] if own else _inner(folder)
    return found if none_is_fine and not found else _checked(folder, found)


def damaged_in(folder: Path) -> Damaged:
    """Return the folders among those that ``results_in`` looks at whose record cannot be read, each with why."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    looked_at = [folder, *(path for path in inner if not path.name.startswith("."))]
    return [(path, fault) for path in looked_at if (fault := record_fault(path))]


def _checked(folder: Path, found: Results) -> Results:
    if not found:
        raise UsageError(
            f"{folder} holds no result: expected {FILE_NAME} in it or in the folders in it, as analyze writes them"
        )
    later = [str(path) for path, content in found if content.format_version > FORMAT_VERSION]
    if later:
        raise UsageError(f"{', '.join(later)} is of a later format than this version of counterstain reads; upgrade it")
    return found


def open_result(folder: Path | str, *, slide: Path | str | None = None) -> Analysis:
    """Open the folder of one result: what was found out about the slide, with the outlines of all nuclei.

    What is large is read when it is asked for: columns of the table, the nuclei of a box (``cells.within``), maps, and the
    pixels of the slide, for which its image must be there.

    Parameters
    ----------
    folder : that ``analyze`` or ``segment`` wrote.
    slide : where the image lies now; None is where it lay.

    Returns
    -------
    The analysis that was written, but for the shapes of its regions, which are not kept. ``maps`` has those maps that were
    kept: none without ``maps.ome.zarr`` or ``modalities.ome.tiff``. A result of an earlier version takes its outlines from
    ``cells.geojson``; without that its outlines are empty, and a warning says so.

    Raises
    ------
    UsageError
        The folder holds no result, or one of a later format.
    OutputError
        A file of it is damaged, or it is of a version so early that it does not describe its model.
    """
    folder = Path(folder)
    ((_, content),) = _checked(folder, [(folder, found)] if (found := read_record(folder)) else [])
    source = SourceSlide(content.slide, None if slide is None else Path(slide))
    cells = _cells(folder, content)
    return Analysis(
        slide=source,
        manifest=read_manifest(folder, content),
        fingerprint=content.bundle.fingerprint,
        maps=_kept_maps(folder, content),
        cells=cells,
        scores=tuple(score.score() for score in content.scores),
        overview_sha256=content.slide.overview_sha256,
        tissue_mm2=content.slide.tissue_mm2,
        stains=content.stains.stains() if content.stains else None,
        tiles=read_qualities(folder, content, source),
        source=content.slide.source,
        warnings=(*content.warnings, *_without_outlines(folder, cells)),
        timings_s={stage: seconds for stage, seconds in content.timings_s.items() if seconds is not None},
    )


def read_cells(folder: Path, content: Record) -> StoredCells | Cells:
    """Return the table of a result, with the thresholds that made it, to be scored: outlines may be missing.

    The tables that people open come first, so that one that was changed or cut is noticed, and not passed over.

    Raises
    ------
    OutputError
        It has no table that can be read here, or one that is damaged or was changed.
    """
    readers = {"cells.parquet": _read_parquet, "cells.csv": read_csv}
    stored = None if _readable(folder, content, readers) else _stored(folder, content)
    if stored is not None:
        return stored
    path, reader = _first(folder, content, readers, "csv or parquet")
    try:
        cells = reader(path)
        check_cells(cells, content)
    except (ValueError, OSError) as error:  # pyarrow's errors are among them
        raise OutputError(f"cannot read {path}: {error}", AGAIN) from error
    return replace(cells, thresholds={**content.thresholds})


def _stored(folder: Path, content: Record) -> StoredCells | None:
    if not _readable(folder, content, [CELLS]):
        return None
    return open_cells(folder / CELLS, {**content.thresholds}, content.counts.nuclei)


def _cells(folder: Path, content: Record) -> StoredCells | Cells:
    """Return the table of a result with its outlines; in one of an earlier version only the file for QuPath has them."""
    stored = _stored(folder, content)
    cells = read_cells(folder, content) if stored is None else stored
    names = _readable(folder, content, ["cells.geojson", "cells.geojson.gz"])
    if isinstance(cells, StoredCells) or not names:
        return cells
    path = folder / names[0]
    try:
        found = outlines_in(path)
        return replace(cells, outlines=[found[cell_id] for cell_id in cells["cell_id"].tolist()])
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, StopIteration) as error:
        raise OutputError(f"cannot read {path}: {error}", AGAIN) from error


def _without_outlines(folder: Path, cells: StoredCells | Cells) -> tuple[str, ...]:
    if isinstance(cells, StoredCells) or not len(cells) or any(map(len, cells.outlines)):
        return ()
    return (f"the outlines of the nuclei were not kept in {folder}; analyse the slide again to have them",)


def _kept_maps(folder: Path, content: Record) -> Maps:
    """Return the maps of a result; no planes where none were kept, or none that can be read here."""
    if _readable(folder, content, MAPS):
        return read_maps(folder, content)
    panel, slide = read_manifest(folder, content).panel, content.slide
    return Maps(size=slide.analysed_size, mpp=slide.analysed_mpp, panel=panel, planes={})


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
        raise OutputError(f"{folder / FILE_NAME} does not describe the model ({error})", AGAIN) from error


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
        raise OutputError(f"cannot read {path}: {error}", AGAIN) from error


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
        raise OutputError(f"cannot read {folder / TILES}: {error}", AGAIN) from error


def _inner(folder: Path) -> list[tuple[Path, Record]]:
    if not folder.is_dir():
        return []
    paths = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [(path, content) for path in paths if (content := read_record(path))]


def _first(
    folder: Path, content: Record, readers: Mapping[str, Callable[[Path], Result]], formats: str
) -> tuple[Path, Callable[[Path], Result]]:
    for name in _readable(folder, content, readers):
        return folder / name, readers[name]
    raise OutputError(
        f"{folder} holds none of {', '.join(readers)} that can be read here",
        Remedy("analyse the slide again", "format", formats),
    )


def _readable(folder: Path, content: Record, names: Iterable[str]) -> list[str]:
    """Return those of the names that are files of a result which can be read here."""
    there = [name for name in names if name in content.files and (folder / name).exists()]
    return [name for name in there if not (name in NEEDS and missing([NEEDS[name]]))]


def _read_parquet(path: Path) -> Cells:
    from counterstain.outputs.tables.parquet import read_parquet

    return read_parquet(path)


def _read_ome_zarr(path: Path, panel: Panel, mpp: float) -> Maps:
    from counterstain.outputs.images.ome_zarr import read_ome_zarr

    return read_ome_zarr(path, panel, mpp)
