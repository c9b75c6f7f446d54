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

Writer = Callable[[Analysis, Path], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One thing that can be written for a slide."""

    description: str
    writers: Callable[[Panel], dict[str, Writer]]
    """File name -> writer, for what a model infers."""
    needs: str | None = None
    """A module that must be installed, and that comes with the extra ``slides``."""

    @property
    def is_available(self) -> bool:
        """Whether what the format needs is installed."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


def _modalities(panel: Panel) -> dict[str, Writer]:
    return {f"{channel.name}.png": partial(write_modality, channel_name=channel.name) for channel in panel.modalities}


def _parquet(analysis: Analysis, path: Path) -> None:
    importlib.import_module("counterstain.outputs.parquet").write_parquet(analysis, path)


FORMATS: dict[str, Format] = {
    "modalities": Format(description="one PNG per inferred image", writers=_modalities),
    "segmentation": Format(description="the final cells, drawn", writers=lambda _: {"segmentation.png": write_segmentation}),
    "overlay": Format(description="outlines on the input", writers=lambda _: {"overlay.png": write_overlay}),
    "ome-tiff": Format(description="all inferred planes", writers=lambda _: {"modalities.ome.tiff": write_ome_tiff}),
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


def writers_for(names: Iterable[str], panel: Panel) -> dict[str, Writer]:
    """Return file name -> writer for all of the formats, each once."""
    return {file: writer for name in names for file, writer in FORMATS[name].writers(panel).items()}
