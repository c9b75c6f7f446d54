"""``analysis.json``: the numbers of one slide and everything needed to know how they were made.

It is also the mark of an output folder: it lists the files that were written beside it, so that no later run takes one of them
for an input.
"""

import json
import math
from pathlib import Path
from typing import Any

from counterstain.analysis import Analysis
from counterstain.cells.table import CellColumns
from counterstain.files import replacing
from counterstain.scoring.base import Score
from counterstain.scoring.regions import Region
from counterstain.tiling.quality import FLAGGED_SHARE, tissue_mm2, tissue_shares
from counterstain.versions import FORMAT_VERSION, package_versions

FILE_NAME = "analysis.json"
FORMAT_NAME = "counterstain analysis"
NUMBER = int | float
NEEDED: dict[str, Any] = {
    "format_version": int,
    "slide": {
        "name": str,
        "source": str,
        **dict.fromkeys(("width_px", "height_px", "analysed_width_px", "analysed_height_px"), int),
        "mpp": NUMBER,
        "mpp_source": str,
        "analysed_mpp": NUMBER,
    },
    "bundle": {"name": str, "version": str, "fingerprint": str},
    "counts": {"nuclei": int, "positive": int, "negative": int},
    "scores": [{"name": str, "region": str, "value": NUMBER | None, "interval_95": [NUMBER | None], "counts": dict}],
    "thresholds": dict,
    "warnings": [str],
    "files": [str],
}
"""What every record holds that is read back; a file without it is damaged or of another program."""


def write_record(analysis: Analysis, path: Path, files: tuple[str, ...] = ()) -> None:
    """Write strict JSON (NaN and infinity become null); ``files`` are the names written beside it."""
    text = json.dumps(record(analysis, files), indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as hidden:
        hidden.write_text(text + "\n", encoding="utf-8", newline="\n")


def record(analysis: Analysis, files: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what ``analysis.json`` holds, made of JSON's own types alone."""
    content: dict[str, Any] = finite(
        {
            "format": FORMAT_NAME,
            "format_version": FORMAT_VERSION,
            "slide": _slide(analysis),
            "bundle": _bundle(analysis),
            "counts": counts_of(analysis.cells),
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
    return content


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the record in a folder, or None when the folder holds no readable record of this package."""
    try:
        content = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    is_ours = isinstance(content, dict) and content.get("format") == FORMAT_NAME and _fits(content, NEEDED)
    return content if is_ours else None


def _fits(value: Any, shape: Any) -> bool:
    """Return whether JSON has a shape: a type, a dict of what some keys hold, or a list of what every entry is."""
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(key in value and _fits(value[key], inner) for key, inner in shape.items())
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(entry, shape[0]) for entry in value)
    return isinstance(value, shape) and (shape is bool or not isinstance(value, bool))


def counts_of(cells: CellColumns) -> dict[str, int]:
    """Return the number of nuclei, in all and by class."""
    positive = int(cells["is_positive"].sum())
    return {"nuclei": len(cells), "positive": positive, "negative": len(cells) - positive}


def finite(value: Any) -> Any:
    """Return nested dicts and lists with NaN and infinity replaced by None, which JSON can say."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _slide(analysis: Analysis) -> dict[str, Any]:
    slide, maps = analysis.slide, analysis.maps
    height_um, width_um = slide.resolution.sides
    return {
        "name": slide.name,
        "source": analysis.source,
        "width_px": slide.size.width,
        "height_px": slide.size.height,
        "mpp": slide.resolution.mpp,
        **({} if height_um == width_um else {"pixel_height_um": height_um, "pixel_width_um": width_um}),
        "mpp_source": slide.resolution.source,
        "analysed_mpp": maps.mpp,
        "analysed_width_px": maps.size.width,
        "analysed_height_px": maps.size.height,
        **({"overview_sha256": analysis.overview_sha256} if analysis.overview_sha256 else {}),
        **({} if analysis.tissue_mm2 is None else {"tissue_mm2": analysis.tissue_mm2}),
    }


def _region(region: Region, analysis: Analysis) -> dict[str, Any]:
    area_mm2 = region.area_mm2(analysis.slide.resolution.mpp)
    return {"name": region.name, "area_mm2": area_mm2, "sha256": region.digest()}


def _quality(analysis: Analysis) -> dict[str, Any]:
    tiles = analysis.tiles
    return {
        "tiles": len(tiles),
        "tissue_mm2": round(tissue_mm2(tiles, analysis.maps.mpp), 6),
        "tissue_shares": tissue_shares(tiles),
        "flagged_tiles": {name: sum(name in quality.flags for _, quality in tiles) for name in FLAGGED_SHARE},
    }


def _bundle(analysis: Analysis) -> dict[str, Any]:
    manifest = analysis.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "fingerprint": analysis.fingerprint,
        "marker": manifest.panel.marker,
        "licence": manifest.licence,
        "manifest": manifest.model_dump(mode="json", exclude={"weights", "training_data"}),
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
    }
