"""``/api/v1/results``: the record of a result, its recount by other thresholds, and its regions."""

import json
from typing import Any

from fastapi import APIRouter

from counterstain.files import replacing
from counterstain.results.part import as_json, finite
from counterstain.results.record import counts_of, score_record
from counterstain.scoring.region_files import read_regions
from counterstain.scoring.regions import NO_REGIONS, Regions, region_warnings
from counterstain.web.schemas import CountsBody, Thresholds
from counterstain.web.service import OwnResult
from counterstain.web.viewing.counting import recount
from counterstain.web.viewing.opened import Opened

router = APIRouter(prefix="/api/v1/results/{job_id}", tags=["results"])

REGIONS, CHOSEN = "regions.geojson", "thresholds.json"
"""Beside the folder of the result, which is the work of the analysis alone."""

NOTHING: dict[str, Any] = {"type": "FeatureCollection", "features": []}


@router.get("")
def record(opened: OwnResult) -> dict[str, Any]:
    """Return the record: what ``analysis.json`` says, without the place of the image on the server."""
    stored = opened.record
    named = stored.slide.model_copy(update={"source": stored.slide.name})  # not where it lies
    return as_json(stored.model_copy(update={"slide": named}))


@router.post("/scores")
def scores(asked: Thresholds, opened: OwnResult) -> CountsBody:
    """Count again by other thresholds, in all and in each region; nothing is saved."""
    return counted(asked, opened)


@router.get("/thresholds")
def thresholds(opened: OwnResult) -> Thresholds:
    """Return the thresholds that were saved, else those of the analysis."""
    path = opened.folder.parent / CHOSEN
    if path.is_file():
        return Thresholds.model_validate_json(path.read_bytes())
    made = opened.record.thresholds
    marker = made.get("marker_threshold")
    return Thresholds(threshold=float(made.get("threshold") or 0.5), marker_threshold=None if marker is None else float(marker))


@router.put("/thresholds")
def save_thresholds(asked: Thresholds, opened: OwnResult) -> CountsBody:
    """Save thresholds with the result and return its recount by them."""
    found = counted(asked, opened)
    with replacing(opened.folder.parent / CHOSEN) as hidden:
        hidden.write_text(asked.model_dump_json(), encoding="utf-8")
    return found


@router.get("/regions")
def regions(opened: OwnResult) -> dict[str, Any]:
    """Return the regions as QuPath writes them (GeoJSON, pixels of the slide at full size, x right, y down)."""
    path = opened.folder.parent / REGIONS
    content: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else NOTHING
    return content


@router.put("/regions")
def save_regions(asked: dict[str, Any], opened: OwnResult) -> CountsBody:
    """Save the regions, a GeoJSON as QuPath writes it, in place of all earlier ones, and return the scores of each."""
    path = opened.folder.parent / REGIONS
    if asked.get("features") == []:
        path.unlink(missing_ok=True)
        return counted(thresholds(opened), opened)
    with replacing(path) as hidden:
        hidden.write_text(json.dumps(asked), encoding="utf-8")
        read_regions(hidden, opened.record.slide.sides)  # what is no region is refused, and the earlier ones stay
    return counted(thresholds(opened), opened)


def counted(asked: Thresholds, opened: Opened) -> CountsBody:
    """Return a recount of a result and its regions."""
    found = regions_of(opened)
    cells, scored = recount(opened, asked, found.parts)
    return CountsBody(
        **counts_of(cells),
        scores=[finite(score_record(score)) for score in scored],
        thresholds=asked,
        warnings=list(region_warnings(found, opened.record.slide.size)),
    )


def regions_of(opened: Opened) -> Regions:
    """Return the regions that were saved with a result."""
    path = opened.folder.parent / REGIONS
    return read_regions(path, opened.record.slide.sides) if path.is_file() else NO_REGIONS
