"""Score results again with other thresholds, scores or regions: no image and no model is needed."""

from functools import partial
from pathlib import Path

from counterstain.cells.classify import classify
from counterstain.cells.table import CellTable
from counterstain.jobs.boundary import Fault, attempt
from counterstain.jobs.listening import SILENCE, Listener
from counterstain.jobs.order import Order
from counterstain.jobs.outcome import Outcome
from counterstain.jobs.run_log import RunLog
from counterstain.results.opening import find_results, read_cells
from counterstain.results.record import Record
from counterstain.results.scores import Rescored, write_scores
from counterstain.results.scores_table import write_scores_table
from counterstain.scoring.base import Population
from counterstain.scoring.names import DEFAULT, scorers
from counterstain.scoring.region_files import read_regions
from counterstain.scoring.regions import NO_REGIONS, region_warnings, score_regions


def rescore(folder: Path, order: Order, listener: Listener = SILENCE) -> Outcome[Rescored]:
    """Score every result in a folder again into a ``scores.json`` of its own and one ``scores.csv``; return what came of each.

    Raises
    ------
    UsageError
        The folder holds no result, or the file of regions is wrong.
    """
    results, damaged = find_results(folder)
    scorers(order.scores)  # an unknown name is refused before any work
    if order.regions:
        read_regions(order.regions, mpp=1.0)  # a file that is wrong for every slide is refused before any work
    first = next(path for path, _ in (*results, *damaged))
    home = first.parent
    outcome: Outcome[Rescored] = Outcome(out=home, log=RunLog(home, listener=listener))
    listener.started(len(results) + len(damaged))
    for path, content in results:
        made = attempt(partial(_rescore_one, path, content, order, listener))
        if isinstance(made, Fault):
            outcome.failed(made.failure(path.name, content.slide.source))
            listener.failed(str(path), made.error)
        else:
            outcome.records.append((path.name, made))
    outcome.add_damaged(damaged, listener)
    write_scores_table(first.resolve().parent, {name for name, _ in outcome.records}, outcome.failures)
    return outcome


def _rescore_one(folder: Path, content: Record, order: Order, listener: Listener) -> Rescored:
    cells = _classified(read_cells(folder, content), order)
    slide, file = content.slide, order.regions
    regions = read_regions(file, slide.sides) if file else NO_REGIONS
    faults = (*(content.stains.warnings() if content.stains else ()), *region_warnings(regions, slide.size))
    for message in faults:
        listener.warned(folder.name, message)
    whole = Population(cells=cells, area_mm2=slide.tissue_mm2, resolution=slide.resolution)
    scores = score_regions(whole, regions.parts, scorers(order.scores or DEFAULT))
    return write_scores(folder, content, cells, scores, regions=str(file or ""), warnings=faults)


def _classified(cells: CellTable, order: Order) -> CellTable:
    """Return the cells called by the thresholds that were given, else by those of the result."""
    asked = {"threshold": order.threshold, "marker_threshold": order.marker_threshold}
    given = {name: value for name, value in asked.items() if value is not None}
    if not given:
        return cells
    kept = {name: cells.thresholds.get(name) for name in ("threshold", "marker_threshold")}
    threshold, marker = ({**kept, **given}[name] for name in ("threshold", "marker_threshold"))
    return classify(cells, float(0.5 if threshold is None else threshold), None if marker is None else float(marker))
