"""Segment results again with other options: their maps are cut into nuclei again, and no model runs."""

from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from counterstain.analysis import Analysis
from counterstain.cells.parts import segment_kept
from counterstain.cells.seams import BLOCK_PX, blocks
from counterstain.cells.segment import CellOptions, rules_for
from counterstain.cells.segment import segment as cut
from counterstain.cells.table import CellTable
from counterstain.errors import ELSEWHERE, Remedy, UsageError
from counterstain.files import claimed, explained
from counterstain.inference.bundle import Manifest
from counterstain.inference.stopwatch import Stopwatch
from counterstain.jobs.boundary import Fault, attempt
from counterstain.jobs.listening import SILENCE, ImageListener, Listener
from counterstain.jobs.order import Order, cell_options
from counterstain.jobs.outcome import Outcome, keep_log, sum_up
from counterstain.jobs.run_log import RunLog
from counterstain.outputs.names import check_formats, default_formats, formats_for
from counterstain.passes.workers import CELLS
from counterstain.pipeline import IN_MEMORY_PIXELS, cutting_threads, warnings_of
from counterstain.results.folder import check_apart, check_free, homes, write_folder
from counterstain.results.opening import find_results, read_manifest, read_maps, read_qualities
from counterstain.results.record import FILE_NAME, Record, record
from counterstain.results.source import open_source
from counterstain.scoring.base import Population
from counterstain.scoring.names import DEFAULT, scorers
from counterstain.scoring.region_files import read_regions
from counterstain.scoring.regions import NO_REGIONS, region_warnings, score_regions
from counterstain.slides.base import Slide
from counterstain.stitching.maps import Maps
from counterstain.stitching.work import discard, resume, write_settings
from counterstain.tiling.damage import damage_in_tiles
from counterstain.tiling.glass import find_tissue, with_nuclei, without_damage
from counterstain.versions import package_versions


def resegment(folder: Path, order: Order, image: Path | None = None, listener: Listener = SILENCE) -> Outcome[Record]:
    """Segment every result in a folder again into that of the order, and return what came of each.

    Parameters
    ----------
    image : the image of the one result in the folder, where it is no longer at its old place.

    Raises
    ------
    CounterstainError
        Nothing can be done at all: no result, an unknown format, a wrong file of regions, an option out of range.
    """
    results, damaged = find_results(folder)
    check_formats(order.formats)
    options = cell_options(asdict(order))
    if image and len(results) > 1:
        raise UsageError(
            f"{image} is the image of one result, and {folder} holds {len(results)}", Remedy("name the folder of one")
        )
    scorers(order.scores)  # an unknown name is refused before any work
    if order.regions:
        read_regions(order.regions, mpp=1.0)  # a file that is wrong for every slide is refused before any work
    with explained(order.out):
        order.out.mkdir(parents=True, exist_ok=True)
    outcome: Outcome[Record] = Outcome(out=order.out, log=RunLog(order.out, listener=listener))
    images = len(results) + len(damaged)
    listener.started(images)
    with keep_log(outcome, order.told(), images, {}):
        for path, content in results:
            heard = listener.begin(path.name)
            made = attempt(partial(_one, path, content, order, options, image, heard))
            if isinstance(made, Fault):
                outcome.failed(made.failure(path.name, content.slide.source))
                listener.failed(str(path), made.error)
            else:
                outcome.done(path.name, made)
            heard.end(failed=isinstance(made, Fault))
        outcome.add_damaged(damaged, listener)
    return sum_up(outcome)


def _one(folder: Path, content: Record, order: Order, options: CellOptions, image: Path | None, heard: ImageListener) -> Record:
    manifest, target = read_manifest(folder, content), order.out / folder.name
    if target.resolve() == folder.resolve():
        raise UsageError(f"{folder} holds the maps that are read, so it cannot be replaced", ELSEWHERE)
    check_apart(target, homes([image or Path(content.slide.source)]))
    formats = formats_for(
        order.formats or default_formats(),
        content.slide.analysed_size.area,
        named=bool(order.formats),
    )
    if not order.overwrite:
        check_free(target, formats, manifest.panel)
    work = target.with_name(f".{target.name}.cells")
    with claimed(target), open_source(content.slide, image) as slide:
        maps, stopwatch = read_maps(folder, content), Stopwatch()
        with stopwatch("cells"):
            cells = _cells(folder, manifest, slide, maps, options, work, heard)
        analysis = build_analysis(folder, content, manifest, slide, maps, cells, order)
        analysis = replace(analysis, timings_s=dict(stopwatch.seconds), outline_px=order.outline_px)
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
            write_settings(work, made_with)
        rules = rules_for(maps, options, decoder=decoder)
        return segment_kept(slide, maps, chosen, rules, work / CELLS, threads=threads, tell=heard.step)


def build_analysis(
    folder: Path,
    content: Record,
    manifest: Manifest,
    slide: Slide,
    maps: Maps,
    cells: CellTable,
    order: Order,
) -> Analysis:
    """Score the new nuclei of a result and return its analysis, as if the model had run again."""
    tiles = read_qualities(folder, content, slide)
    tissue = without_damage(find_tissue(slide), damage_in_tiles(slide, tiles, maps.mpp), maps.mpp)
    tissue_mm2 = with_nuclei(tissue, cells["row_um"], cells["col_um"]).area_mm2
    stains = content.stains.stains() if content.stains else None
    regions = read_regions(order.regions, slide.resolution.sides) if order.regions else NO_REGIONS
    whole = Population(cells=cells, area_mm2=tissue_mm2, resolution=slide.resolution)
    scores = score_regions(whole, regions.parts, scorers(order.scores or DEFAULT))
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
