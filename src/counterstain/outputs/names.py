"""Format names to writers: what ``--format`` accepts, what is written when nothing is asked for, and under which file names."""

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from counterstain.analysis import Analysis
from counterstain.errors import OutputError, UsageError
from counterstain.outputs.geojson import write_geojson
from counterstain.outputs.ome_tiff import write_ome_tiff
from counterstain.outputs.pictures import write_modality, write_overlay, write_segmentation
from counterstain.outputs.tables import write_csv
from counterstain.panel import Panel

WHOLE_IMAGE_PIXELS = 250_000_000
"""Slides with more pixels, at the model's resolution, get no pictures: these are made in memory."""

Writer = Callable[[Analysis, Path], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One thing that can be written for a slide."""

    description: str
    writers: Callable[[Panel], dict[str, Writer]]
    """File name -> writer, for what a model infers."""
    needs: str | None = None
    """A module that must be installed, and that comes with the extra ``slides``."""
    is_picture: bool = False
    """Whether the whole slide is in memory while it is written."""

    @property
    def is_available(self) -> bool:
        """Whether what the format needs is installed."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


def _modalities(panel: Panel) -> dict[str, Writer]:
    return {f"{channel.name}.png": partial(write_modality, channel_name=channel.name) for channel in panel.modalities}


def _parquet(analysis: Analysis, path: Path) -> None:
    importlib.import_module("counterstain.outputs.parquet").write_parquet(analysis, path)


FORMATS: dict[str, Format] = {
    "modalities": Format(description="one PNG per inferred image", writers=_modalities, is_picture=True),
    "segmentation": Format(
        description="the final cells, drawn", writers=lambda _: {"segmentation.png": write_segmentation}, is_picture=True
    ),
    "overlay": Format(description="outlines on the input", writers=lambda _: {"overlay.png": write_overlay}, is_picture=True),
    "ome-tiff": Format(
        description="all inferred planes", writers=lambda _: {"modalities.ome.tiff": write_ome_tiff}, is_picture=True
    ),
    "csv": Format(description="one row per nucleus", writers=lambda _: {"cells.csv": write_csv}),
    "geojson": Format(description="outlines for QuPath", writers=lambda _: {"cells.geojson": write_geojson}),
    "parquet": Format(description="one row per nucleus, typed", writers=lambda _: {"cells.parquet": _parquet}, needs="pyarrow"),
    "json": Format(description="nothing but analysis.json, which is always written", writers=lambda _: {}),
}


def default_formats() -> tuple[str, ...]:
    """Return every format whose needs are installed."""
    return tuple(name for name, form in FORMATS.items() if form.is_available)


def skipped_formats() -> tuple[str, ...]:
    """Return the formats that the default leaves out because something is not installed."""
    return tuple(name for name, form in FORMATS.items() if not form.is_available)


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
            raise OutputError(f'the format {name} needs {FORMATS[name].needs}; run: pip install "counterstain[slides]"')


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
            f"the formats {', '.join(pictures)} are written of up to {WHOLE_IMAGE_PIXELS:,} pixels, and this slide has "
            f"{pixels:,}; leave them out, or cut out the region to be shown"
        )
    return tuple(name for name in names if name not in pictures)


def needs_modalities(names: Iterable[str]) -> bool:
    """Return whether a format shows inferred images."""
    return any(name in ("modalities", "ome-tiff") for name in names)


def writers_for(names: Iterable[str], panel: Panel) -> dict[str, Writer]:
    """Return file name -> writer for all of the formats, each once."""
    return {file: writer for name in names for file, writer in FORMATS[name].writers(panel).items()}
