"""Format names to writers: what can be asked for, what is written when nothing is asked for, and under which file names."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from counterstain.analysis import Analysis
from counterstain.errors import OutputError, UsageError
from counterstain.extras import missing, needs
from counterstain.outputs.images.pictures import write_modality, write_overlay, write_segmentation
from counterstain.outputs.tables.cells_csv import write_csv
from counterstain.outputs.tables.geojson import write_geojson, write_geojson_gz
from counterstain.outputs.tables.tiles import write_tiles
from counterstain.panel import Panel

WHOLE_IMAGE_PIXELS = 250_000_000
"""Slides with more pixels, at the model's resolution, get no pictures, and bulky formats only when they are named."""

Writer = Callable[[Analysis, Path], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One thing that can be written for a slide."""

    description: str
    writers: Callable[[Panel], dict[str, Writer]]
    """File name -> writer, for what a model infers."""
    needs: tuple[str, ...] = ()
    """Modules that must be installed."""
    extra: str = "slides"
    """The extra of this package that brings it."""
    is_default: bool = True
    """Whether it is written when nothing is asked for."""
    is_picture: bool = False
    """Whether the whole slide is in memory while it is written."""
    is_bulky: bool = False
    """Whether it takes so much time and disk that it is written for a large slide only when it is named."""

    @property
    def is_available(self) -> bool:
        """Whether what the format needs is installed."""
        return not self.missing

    @property
    def missing(self) -> tuple[str, ...]:
        """What it needs that is not installed."""
        return missing(self.needs)


def _modalities(panel: Panel) -> dict[str, Writer]:
    return {f"{channel.name}.png": partial(write_modality, channel_name=channel.name) for channel in panel.modalities}


def _write_ome_tiff(analysis: Analysis, path: Path) -> None:
    from counterstain.outputs.images.ome_tiff import write_ome_tiff

    write_ome_tiff(analysis, path)


def _write_parquet(analysis: Analysis, path: Path) -> None:
    from counterstain.outputs.tables.parquet import write_parquet

    write_parquet(analysis, path)


def _write_ome_zarr(analysis: Analysis, path: Path) -> None:
    from counterstain.outputs.images.ome_zarr import write_ome_zarr

    write_ome_zarr(analysis, path)


def _write_h5ad(analysis: Analysis, path: Path) -> None:
    from counterstain.outputs.tables.h5ad import write_h5ad

    write_h5ad(analysis, path)


def _write_spatialdata(analysis: Analysis, path: Path) -> None:
    from counterstain.outputs.tables.spatialdata import write_spatialdata

    write_spatialdata(analysis, path)


def _write_deepliif_cells(analysis: Analysis, path: Path) -> None:
    from counterstain.outputs.tables.deepliif_cells import write_deepliif_cells

    write_deepliif_cells(analysis, path)


def _densities(_: Panel) -> dict[str, Writer]:
    from counterstain.outputs.images.density import write_density

    files = {"density.png": False, "positive_density.png": True}
    return {name: partial(write_density, only_positive=positive) for name, positive in files.items()}


FORMATS: dict[str, Format] = {
    "modalities": Format(description="one PNG per inferred image", writers=_modalities, is_picture=True),
    "segmentation": Format(
        description="the final cells, drawn", writers=lambda _: {"segmentation.png": write_segmentation}, is_picture=True
    ),
    "overlay": Format(description="outlines on the input", writers=lambda _: {"overlay.png": write_overlay}, is_picture=True),
    "ome-tiff": Format(
        description="all inferred planes", writers=lambda _: {"modalities.ome.tiff": _write_ome_tiff}, is_bulky=True
    ),
    "csv": Format(description="one row per nucleus", writers=lambda _: {"cells.csv": write_csv}),
    "geojson": Format(description="outlines for QuPath", writers=lambda _: {"cells.geojson": write_geojson}),
    "parquet": Format(
        description="one row per nucleus, typed",
        writers=lambda _: {"cells.parquet": _write_parquet},
        needs=("pyarrow",),
    ),
    "tiles": Format(description="one row per tile: what is wrong with it", writers=lambda _: {"tiles.csv": write_tiles}),
    "geojson.gz": Format(
        description="outlines for QuPath, compressed",
        writers=lambda _: {"cells.geojson.gz": write_geojson_gz},
        is_default=False,
    ),
    "ome-zarr": Format(
        description="all inferred planes, of slides of any size",
        writers=lambda _: {"maps.ome.zarr": _write_ome_zarr},
        needs=("zarr",),
        is_default=False,
    ),
    "h5ad": Format(
        description="one row per nucleus, for scanpy and squidpy",
        writers=lambda _: {"cells.h5ad": _write_h5ad},
        needs=("h5py",),
        extra="export",
        is_default=False,
    ),
    "spatialdata": Format(
        description="outlines and one row per nucleus, for SpatialData",
        writers=lambda _: {"cells.spatialdata.zarr": _write_spatialdata},
        needs=("zarr", "pyarrow"),
        is_default=False,
    ),
    "density": Format(description="where nuclei are dense, on a thumbnail", writers=_densities, is_default=False),
    "deepliif": Format(
        description="cell data as the published DeepLIIF software writes them",
        writers=lambda _: {"cells.deepliif.json": _write_deepliif_cells},
        is_picture=True,
        is_default=False,
    ),
    "json": Format(description="nothing but analysis.json, which is always written", writers=lambda _: {}),
}


def default_formats() -> tuple[str, ...]:
    """Return every format that is written when nothing is asked for and whose needs are installed."""
    return tuple(name for name, form in FORMATS.items() if form.is_default and form.is_available)


def skipped_formats() -> tuple[str, ...]:
    """Return the formats that the default leaves out because something is not installed."""
    return tuple(name for name, form in FORMATS.items() if form.is_default and not form.is_available)


def check_formats(names: Iterable[str]) -> None:
    """Check formats that were asked for by name.

    Raises
    ------
    UsageError
        A name is unknown.
    OutputError
        A format needs something that is not installed; the message has the command that installs it.
    """
    for name in names:
        if name not in FORMATS:
            raise UsageError(f"unknown format {name!r}; choose among {', '.join(FORMATS)}")
        if not FORMATS[name].is_available:
            form = FORMATS[name]
            raise OutputError(needs(f"the format {name}", form.missing, form.extra))


def formats_for(names: Iterable[str], pixels: int, *, named: bool) -> tuple[str, ...]:
    """Return the formats that a slide of a size can be written in.

    Parameters
    ----------
    pixels : of the maps of the slide.
    named : whether the user named the formats; if not, those that do not fit are left out.

    Raises
    ------
    OutputError
        A format was named that does not fit.
    """
    names = tuple(names)
    if pixels <= WHOLE_IMAGE_PIXELS:
        return names
    pictures = [name for name in names if FORMATS[name].is_picture]
    if pictures and named:
        raise OutputError(
            f"the formats {', '.join(pictures)} can only be written for up to {WHOLE_IMAGE_PIXELS:,} pixels; this slide has "
            f"{pixels:,}; leave them out, or cut out the region to be shown"
        )
    return tuple(name for name in names if name not in pictures and (named or not FORMATS[name].is_bulky))


def needs_modalities(names: Iterable[str]) -> bool:
    """Return whether a format shows inferred images."""
    return any(name in ("modalities", "ome-tiff", "ome-zarr") for name in names)


def writers_for(names: Iterable[str], panel: Panel) -> dict[str, Writer]:
    """Return file name -> writer for all of the formats, each once."""
    return {file: writer for name in names for file, writer in FORMATS[name].writers(panel).items()}
