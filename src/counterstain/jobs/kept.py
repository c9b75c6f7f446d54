"""A result that exists already: it is kept where this run would write the same, and refused where it differs."""

from pathlib import Path
from typing import Any

from counterstain.cells.segment import thresholds_of
from counterstain.errors import ELSEWHERE, REPLACE, OutputError
from counterstain.inference.backend import Backend
from counterstain.outputs.names import writers_for
from counterstain.pipeline import AnalyzeOptions
from counterstain.results.record import Record, read_record
from counterstain.scoring.regions import Regions
from counterstain.slides.base import Slide
from counterstain.slides.thumbnail import digest, overview


def kept_result(
    folder: Path, slide: Slide, backend: Backend, options: AnalyzeOptions, regions: Regions, formats: tuple[str, ...]
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
    missing = [name for name in writers_for(formats, panel) if name not in content.files or not (folder / name).exists()]
    differences = [
        *_differences(content, slide, backend, options),
        *_other_scores(content, options.scores, regions),
        *([f"it lacks {', '.join(missing)}"] if missing else []),
    ]
    if differences:
        raise OutputError(f"{folder} already holds a different result: {'; '.join(differences)}", REPLACE, ELSEWHERE)
    return content


def _differences(content: Record, slide: Slide, backend: Backend, options: AnalyzeOptions) -> list[str]:
    earlier, resolution = content.slide, slide.resolution
    now: dict[str, tuple[Any, Any]] = {
        "mpp": (earlier.mpp, resolution.mpp),
        "pixel_height_um": (earlier.pixel_height_um, None if resolution.aspect == 1 else resolution.sides[0]),
        "mpp_source": (earlier.mpp_source, resolution.source),
        "series": (earlier.origin.series if earlier.origin else slide.origin.series, slide.origin.series),
        "model": (content.bundle.fingerprint, backend.fingerprint),
    }
    asked = thresholds_of(options.cells, decoder=backend.manifest.decoder)
    for name in {**asked, **content.thresholds}:
        now[name] = (content.thresholds.get(name), asked.get(name))
    damaged = content.quality.damaged_share if content.quality else 0.0
    found = [f"{name} was {was!r} and is {value!r}" for name, (was, value) in now.items() if was != value]
    if earlier.overview_sha256 != digest(overview(slide)):
        found.insert(0, "it is of another image")
    if damaged > options.max_damaged_share:
        found.append(f"{100 * damaged:.3g} % of it is damaged")
    return found


def _other_scores(content: Record, names: tuple[str, ...], regions: Regions) -> list[str]:
    """Return whether other scores are asked for, or those of other regions than were scored."""
    were, scored = {score.name for score in content.scores}, _regions_of(content)
    return [
        *([] if were == {*names} else [f"its scores were {', '.join(sorted(were))}"]),
        *([] if scored == [(region.name, region.digest()) for region in regions.parts] else ["its regions differ"]),
    ]


def _regions_of(content: Record) -> list[tuple[str, str]]:
    """Return the names and digests of the regions that were scored; results of early versions say no digest."""
    scored = dict.fromkeys(score.region for score in content.scores if score.region != "all")
    digests = {region.name: region.sha256 for region in content.regions}
    return [(name, digests.get(name, "")) for name in scored]
