"""What ``segment`` does once its options are read."""

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from counterstain.analysis import Analysis
from counterstain.cells.parts import segment_kept
from counterstain.cells.seams import BLOCK_PX, blocks
from counterstain.cells.segment import CellOptions, rules_for
from counterstain.cells.segment import segment as cut
from counterstain.cells.table import CellTable
from counterstain.cli.console import show_error, show_summary, show_warning
from counterstain.cli.progress import progress_bars
from counterstain.errors import ELSEWHERE, UsageError
from counterstain.files import claimed, explained
from counterstain.inference.bundle import Manifest
from counterstain.inference.stopwatch import Stopwatch
from counterstain.jobs.boundary import Fault, attempted
from counterstain.jobs.document import failed_entry
from counterstain.jobs.listening import ImageListener
from counterstain.jobs.order import cell_options
from counterstain.outputs.names import check_formats, default_formats, formats_for
from counterstain.passes.workers import CELLS
from counterstain.pipeline import IN_MEMORY_PIXELS, cutting_threads, warnings_of
from counterstain.results.folder import check_apart, check_free, homes, write_folder
from counterstain.results.opening import read_manifest, read_maps, read_qualities, results_in
from counterstain.results.part import as_json
from counterstain.results.record import FILE_NAME, Record, record
from counterstain.results.source import open_source
from counterstain.results.summary import Failure, write_summary
from counterstain.scoring.base import Population
from counterstain.scoring.names import DEFAULT, scorers
from counterstain.scoring.region_files import read_regions
from counterstain.scoring.regions import NO_REGIONS, region_warnings, score_regions
from counterstain.slides.base import Slide
from counterstain.stitching.maps import Maps
from counterstain.stitching.work import discard, resume
from counterstain.stitching.work import record as record_settings
from counterstain.tiling.damage import damage_in_tiles
from counterstain.tiling.glass import find_tissue, with_nuclei, without_damage
from counterstain.versions import FORMAT_VERSION, package_versions


def resegment(folder: Path, out: Path, settings: Mapping[str, Any]) -> bool:
    """Segment every result in a folder again into ``out`` and return whether any failed.

    Raises
    ------
    CounterstainError
        Nothing can be done at all: no result, an unknown format, a wrong file of regions, an option out of range.
    """
    results = results_in(folder)
    check_formats(settings["formats"])
    options = cell_options(settings)
    if settings["slide"] and len(results) > 1:
        raise UsageError(f"--slide names the image of one result, and {folder} holds {len(results)}; name the folder of one")
    scorers(settings["scores"])  # an unknown name is refused before any work
    if settings["regions"]:
        read_regions(settings["regions"], mpp=1.0)  # a file that is wrong for every slide is refused before any work
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
    done: list[tuple[str, Record]] = []
    failures = []
    with progress_bars(quiet=settings["quiet"] or settings["as_json"], as_json=False) as bars:
        bars.started(len(results))
        for path, content in results:
            heard = bars.begin(path.name)
            made = attempted(partial(_one, path, content, out / path.name, options, settings, heard))
            if isinstance(made, Fault):
                failures.append(made.failure(path.name, content.slide.source))
                show_error(str(path), made.error)
            else:
                done.append((path.name, made))
            heard.end(failed=isinstance(made, Fault))
    write_summary(out, {name for name, _ in done}, failures)
    _show(done, failures, out, settings)
    return bool(failures)


def _one(
    folder: Path, content: Record, target: Path, options: CellOptions, settings: Mapping[str, Any], heard: ImageListener
) -> Record:
    manifest = read_manifest(folder, content)
    if target.resolve() == folder.resolve():
        raise UsageError(f"{folder} holds the maps that are read, so it cannot be replaced", ELSEWHERE)
    check_apart(target, homes([settings["slide"] or Path(content.slide.source)]))
    formats = formats_for(
        settings["formats"] or default_formats(),
        content.slide.analysed_size.area,
        named=bool(settings["formats"]),
    )
    if not settings["overwrite"]:
        check_free(target, formats, manifest.panel)
    work = target.with_name(f".{target.name}.cells")
    with claimed(target), open_source(content.slide, settings["slide"]) as slide:
        maps, stopwatch = read_maps(folder, content), Stopwatch()
        with stopwatch("cells"):
            cells = _cells(folder, manifest, slide, maps, options, work, heard)
        analysis = segmented(folder, content, manifest, slide, maps, cells, settings)
        analysis = replace(analysis, timings_s=dict(stopwatch.seconds))
        names = write_folder(analysis, target, formats)
        with suppress(OSError):
            discard(work)
        return record(analysis, names[:-1])


def _cells(
    folder: Path, manifest: Manifest, slide: Slide, maps: Maps, options: CellOptions, work: Path, heard: ImageListener
) -> CellTable:
    """Cut the maps; those of a large slide block by block into a folder, where an interrupted run finds what it has done."""
    decoder, threads = manifest.decoder, cutting_threads(None)
    if maps.size.area <= IN_MEMORY_PIXELS:
        return cut(slide, maps, options, decoder=decoder, threads=threads)
    chosen = [*blocks(maps.size)]
    source = {"result": str(folder.resolve()), "written": (folder / FILE_NAME).stat().st_mtime_ns, "blocks": BLOCK_PX}
    made_with = {**source, **asdict(options), "versions": package_versions()}
    with explained(work):
        if not resume(work, made_with, replace=True):
            record_settings(work, made_with)
        rules = rules_for(maps, options, decoder=decoder)
        return segment_kept(slide, maps, chosen, rules, work / CELLS, threads=threads, tell=heard.step)


def segmented(
    folder: Path,
    content: Record,
    manifest: Manifest,
    slide: Slide,
    maps: Maps,
    cells: CellTable,
    settings: Mapping[str, Any],
) -> Analysis:
    """Return the analysis of a result whose maps were cut anew, as if the model had run again."""
    tiles = read_qualities(folder, content, slide)
    tissue = without_damage(find_tissue(slide), damage_in_tiles(slide, tiles, maps.mpp), maps.mpp)
    tissue_mm2 = with_nuclei(tissue, cells["row_um"], cells["col_um"]).area_mm2
    stains = content.stains.stains() if content.stains else None
    regions = read_regions(settings["regions"], slide.resolution.sides) if settings["regions"] else NO_REGIONS
    whole = Population(cells=cells, area_mm2=tissue_mm2, resolution=slide.resolution)
    scores = score_regions(whole, regions.parts, scorers(settings["scores"] or DEFAULT))
    return Analysis(
        slide=slide,
        manifest=manifest,
        fingerprint=content.bundle.fingerprint,
        maps=maps,
        cells=cells,
        scores=scores,
        tissue_mm2=tissue_mm2,
        regions=regions.parts,
        stains=stains,
        tiles=tiles,
        source=content.slide.source,
        overview_sha256=content.slide.overview_sha256,
        warnings=(
            *warnings_of(slide, manifest, cells, scores, tiles, stains),
            *region_warnings(regions, slide.size),
        ),
    )


def _show(done: list[tuple[str, Record]], failures: list[Failure], out: Path, settings: Mapping[str, Any]) -> None:
    if settings["as_json"]:
        images = [{"status": "done", "name": name, "folder": str(out / name), **as_json(content)} for name, content in done]
        failed = [failed_entry(failure) for failure in failures]
        document = {"format_version": FORMAT_VERSION, "out": str(out), "images": [*images, *failed]}
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n")
    if settings["quiet"] or settings["as_json"]:
        return
    for name, content in done:
        for message in content.warnings:
            show_warning(name, message)
    if done:
        show_summary(done)
    click.echo(f"{len(done)} done, {len(failures)} failed; results in {out}")
