"""``analysis.json``: the numbers of one slide and everything needed to know how they were made.

It is also the mark of an output folder: it lists the files that were written beside it, so that no later run takes one of them
for an input. A ``Record`` is its content with a name and a type for everything.
"""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from counterstain.analysis import Analysis
from counterstain.cells.table import CellColumns
from counterstain.errors import OutputError, Remedy
from counterstain.results.part import Part, as_json, finite, write_json
from counterstain.results.slide import SlideRecord, slide_record
from counterstain.results.stains import StainsRecord, stains_record, unsaid_stains
from counterstain.scoring.base import Score
from counterstain.scoring.categories import Categories, CutOff
from counterstain.scoring.regions import Region
from counterstain.tiling.quality import FLAGGED_SHARE, damaged_share, tissue_shares
from counterstain.versions import FORMAT_VERSION, package_versions

FILE_NAME = "analysis.json"
FORMAT_NAME = "counterstain analysis"
ANALYZE_AGAIN = Remedy("analyse the image again")


class BundleRecord(Part):
    """The model that ran."""

    name: str
    version: str
    fingerprint: str
    marker: str | None = None
    licence: str = ""
    manifest: dict[str, Any] | None = None
    """None in results of early versions."""


class CountsRecord(Part):
    """How many nuclei there are, in all and by class."""

    nuclei: int
    positive: int
    negative: int


class RegionRecord(Part):
    """A part of the slide that was scored on its own."""

    name: str
    area_mm2: float
    sha256: str


class CutOffRecord(Part):
    """Where a category of a score ends and the next begins."""

    value: float
    above: str
    included: bool


class CategoriesRecord(Part):
    """The categories of a score, from the lowest up."""

    lowest: str
    cut_offs: tuple[CutOffRecord, ...]


class ScoreRecord(Part):
    """One number about the slide or a region of it."""

    name: str
    value: float | None
    unit: str = ""
    interval_95: tuple[float | None, float | None]
    interval_method: str = ""
    counts: dict[str, int]
    region: str
    warnings: tuple[str, ...] = ()
    area_mm2: float | None = None
    category: str = ""
    categories: CategoriesRecord | None = None
    parts: dict[str, float] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def score(self) -> Score:
        """Return the score that was recorded; a number that does not exist is NaN again."""
        low, high = (math.nan if end is None else end for end in self.interval_95)
        return Score(
            name=self.name,
            value=math.nan if self.value is None else self.value,
            interval=(low, high),
            interval_method=self.interval_method,
            unit=self.unit,
            counts=self.counts,
            region=self.region,
            warnings=self.warnings,
            area_mm2=self.area_mm2,
            category=self.category,
            categories=self._categories(),
            parts=self.parts,
            notes=self.notes,
        )

    def _categories(self) -> Categories | None:
        if self.categories is None:
            return None
        cut_offs = tuple(CutOff(**cut.model_dump()) for cut in self.categories.cut_offs)
        return Categories(lowest=self.categories.lowest, cut_offs=cut_offs)


class QualityRecord(Part):
    """What is wrong with the image."""

    tiles: int
    tissue_shares: dict[str, float]
    damaged_share: float = 0.0
    flagged_tiles: dict[str, int]


class Record(Part):
    """Content of an ``analysis.json``."""

    format: str
    format_version: int
    slide: SlideRecord
    bundle: BundleRecord
    counts: CountsRecord
    stains: StainsRecord | None = None
    """None in results of early versions."""
    quality: QualityRecord | None = None
    regions: tuple[RegionRecord, ...] = ()
    scores: tuple[ScoreRecord, ...]
    thresholds: dict[str, bool | int | float | str | None]
    warnings: tuple[str, ...]
    timings_s: dict[str, float | None] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    files: tuple[str, ...]


def write_record(analysis: Analysis, path: Path, files: tuple[str, ...] = ()) -> None:
    """Write strict JSON (NaN and infinity become null); ``files`` are the names written beside it."""
    write_json(path, as_json(record(analysis, files)))


def record(analysis: Analysis, files: tuple[str, ...] = ()) -> Record:
    """Return the record of an analysis; ``files`` are the names written beside it."""
    content = finite(
        {
            "format": FORMAT_NAME,
            "format_version": FORMAT_VERSION,
            "slide": slide_record(analysis),
            "bundle": _bundle(analysis),
            "counts": counts_of(analysis.cells),
            **({"stains": stains_record(analysis.stains, analysis.manifest)} if analysis.stains else {}),
            **({"quality": _quality(analysis)} if analysis.tiles else {}),
            **({"regions": [_region(region, analysis) for region in analysis.regions]} if analysis.regions else {}),
            "scores": [score_record(score) for score in analysis.scores],
            "thresholds": analysis.cells.thresholds,
            "warnings": list(analysis.warnings),
            "timings_s": {stage: round(seconds, 4) for stage, seconds in analysis.timings_s.items()},
            "versions": package_versions(),
            "files": [*files, FILE_NAME],
        }
    )
    return Record.model_validate_json(json.dumps(content))


def read_record(folder: Path) -> Record | None:
    """Return the record in a folder, or None when the folder holds no readable record of this package."""
    try:
        found = Record.model_validate_json((folder / FILE_NAME).read_bytes())
    except (OSError, ValidationError):
        return None
    return found if found.format == FORMAT_NAME else None


def record_fault(folder: Path) -> OutputError | None:
    """Return why the record in a folder cannot be read; None where it can be, where there is none, or one of others."""
    path = folder / FILE_NAME
    try:
        content = path.read_bytes()
        if FORMAT_NAME.encode() in content:
            Record.model_validate_json(content)
    except FileNotFoundError:
        return None
    except OSError as error:
        return OutputError(f"cannot read {path}: {error.strerror}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        return OutputError(f"{path} was changed or damaged: {f'{place}: ' if place else ''}{first['msg']}", ANALYZE_AGAIN)
    return None


def counts_of(cells: CellColumns) -> dict[str, int]:
    """Return the number of nuclei, in all and by class."""
    positive = int(cells["is_positive"].sum())
    return {"nuclei": len(cells), "positive": positive, "negative": len(cells) - positive}


def _region(region: Region, analysis: Analysis) -> dict[str, Any]:
    area_mm2 = region.area_mm2(analysis.slide.resolution.mpp)
    return {"name": region.name, "area_mm2": area_mm2, "sha256": region.digest()}


def _quality(analysis: Analysis) -> dict[str, Any]:
    tiles = analysis.tiles
    damage = damaged_share(tiles)
    flags = [name for name in FLAGGED_SHARE if damage or name != "damaged"]
    return {
        "tiles": len(tiles),
        "tissue_shares": tissue_shares(tiles),
        **({"damaged_share": round(damage, 6)} if damage else {}),
        "flagged_tiles": {name: sum(name in quality.flags for _, quality in tiles) for name in flags},
    }


def _bundle(analysis: Analysis) -> dict[str, Any]:
    manifest = analysis.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "fingerprint": analysis.fingerprint,
        "marker": manifest.panel.marker,
        "licence": manifest.licence,
        "manifest": manifest.model_dump(mode="json", exclude={"weights", "training_data", *unsaid_stains(manifest)}),
    }


def score_record(score: Score) -> dict[str, Any]:
    """Return one of the ``scores``; NaN is still in it."""
    return {
        "name": score.name,
        "value": score.value,
        "unit": score.unit,
        "interval_95": list(score.interval),
        "interval_method": score.interval_method,
        "counts": dict(score.counts),
        "region": score.region,
        "warnings": list(score.warnings),
        **({} if score.area_mm2 is None else {"area_mm2": score.area_mm2}),
        **({"category": score.category, "categories": asdict(score.categories)} if score.categories else {}),
        **({"parts": dict(score.parts)} if score.parts else {}),
        **({"notes": list(score.notes)} if score.notes else {}),
    }
