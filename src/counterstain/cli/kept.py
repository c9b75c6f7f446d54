"""A result that is there already: the one that this run would write, which is kept, or another one, which is in the way."""

from pathlib import Path
from typing import Any

from counterstain.cells.segment import CellOptions, thresholds_of
from counterstain.errors import OutputError
from counterstain.inference.backend import Backend
from counterstain.outputs.names import writers_for
from counterstain.outputs.record import read_record
from counterstain.scoring.regions import Region
from counterstain.slides.base import Slide
from counterstain.slides.thumbnail import digest, overview

Record = dict[str, Any]


def kept_result(
    folder: Path, slide: Slide, backend: Backend, options: CellOptions, formats: tuple[str, ...], regions: tuple[Region, ...]
) -> Record | None:
    """Return the record of the result in a folder when it is the one that is asked for; None when there is no result.

    Raises
    ------
    OutputError
        There is a result of another slide, model or options, or one that lacks files; the message says what differs.
    """
    content = read_record(folder)
    if content is None:
        return None
    panel = backend.manifest.panel
    missing = [name for name in writers_for(formats, panel) if name not in content["files"] or not (folder / name).exists()]
    differences = [
        *_differences(content, slide, backend, options, regions),
        *([f"it lacks {', '.join(missing)}"] if missing else []),
    ]
    if differences:
        raise OutputError(
            f"{folder} already holds a result, made otherwise: {'; '.join(differences)}; use --overwrite to replace it, or "
            "another --out"
        )
    return content


def _differences(
    content: Record, slide: Slide, backend: Backend, options: CellOptions, regions: tuple[Region, ...]
) -> list[str]:
    earlier, resolution = content["slide"], slide.resolution
    now: dict[str, tuple[Any, Any]] = {
        "mpp": (earlier["mpp"], resolution.mpp),
        "pixel_height_um": (earlier.get("pixel_height_um"), None if resolution.aspect == 1 else resolution.sides[0]),
        "mpp_source": (earlier["mpp_source"], resolution.source),
        "model": (content["bundle"]["fingerprint"], backend.fingerprint),
    }
    asked = thresholds_of(options, decoder=backend.manifest.decoder)
    for name in {**asked, **content["thresholds"]}:
        now[name] = (content["thresholds"].get(name), asked.get(name))
    found = [f"{name} was {was!r} and is {value!r}" for name, (was, value) in now.items() if was != value]
    if earlier.get("overview_sha256") != digest(overview(slide)):
        found.insert(0, "it is of another image")
    asked_for = [(region.name, region.area_mm2(resolution.mpp)) for region in regions]
    return [*found, *([] if _regions_of(content) == asked_for else ["its regions are others"])]


def _regions_of(content: Record) -> list[tuple[str, float]]:
    """Return the names and areas of the regions that were scored."""
    scores = [score for score in content["scores"] if score["name"] == "density" and score["region"] != "all"]
    return [(score["region"], score["area_mm2"]) for score in scores]
