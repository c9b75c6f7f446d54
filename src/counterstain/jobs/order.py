"""What is asked for of a run, by the names under which people know it, and the job that this becomes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from counterstain.cells.segment import CellOptions
from counterstain.files import explained
from counterstain.geometry import mpp_of_magnification
from counterstain.inference.names import Engine, load_backend
from counterstain.inference.openvino import Arithmetic
from counterstain.jobs.batch import Job
from counterstain.jobs.shard import Shard
from counterstain.outputs.names import check_formats, default_formats
from counterstain.panel import OUTLINE_PX
from counterstain.pipeline import AnalyzeOptions
from counterstain.scoring.names import DEFAULT, scorers
from counterstain.scoring.region_files import read_regions

CELL_OPTIONS = ("decoder", "threshold", "marker_threshold", "min_area_um2", "max_area_um2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for of a run; None or empty means the default. Nothing is loaded or checked yet."""

    out: Path
    """Folder of the results; made when missing."""
    bundle: str = "default"
    """Name or path of the model."""
    threads: int | None = None
    engine: Engine = "onnxruntime"
    precision: Arithmetic = "f32"
    formats: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    regions: Path | None = None
    """File of the parts of every slide that are scored on their own."""
    decoder: str | None = None
    threshold: float | None = None
    marker_threshold: float | None = None
    min_area_um2: float | None = None
    max_area_um2: float | None = None
    max_damaged_share: float | None = None
    any_stain: bool = False
    mpp: float | None = None
    magnification: float | None = None
    """Another way to state the pixel size; where both are given it is taken, and not ``mpp``."""
    series: str | None = None
    """Of files with several images of full size: the number of one, or each; see ``with_series``."""
    outline_px: int = OUTLINE_PX
    """Width of the outlines of nuclei on the overlay."""
    overwrite: bool = False
    cluster: str | None = None
    """Address of a scheduler whose workers do the work; None leaves it to this process."""
    shard: Shard | None = None
    """The part of the images that is done; None is all."""

    def told(self) -> dict[str, Any]:
        """Return the order as it stands in the log."""
        return {**asdict(self), "shard": None if self.shard is None else str(self.shard)}


def order_from(settings: Mapping[str, Any], out: Path) -> Order:
    """Return the order that these settings describe; settings of other things are ignored, and None means the default."""
    names = Order.__dataclass_fields__
    return Order(out=out, **{name: value for name, value in settings.items() if name in names and value is not None})


def job_of(order: Order) -> Job:
    """Return what is done to every image, with the model loaded and the folder made, after checking the order.

    Raises
    ------
    CounterstainError
        Nothing could be done at all: an unknown format or score, a wrong file of regions, a damaged bundle, an option out of
        range, a folder that cannot be made.
    """
    formats = order.formats or default_formats()
    check_formats(formats)
    if order.regions:
        read_regions(order.regions, mpp=1.0)  # a file that is wrong for every slide is refused before any work
    scores = order.scores or DEFAULT
    scorers(scores)  # an unknown name is refused before any work
    given = _given(asdict(order), ("threads", "max_damaged_share", "any_stain"))
    options = AnalyzeOptions(cells=cell_options(asdict(order)), scores=scores, **given)
    backend = load_backend(order.bundle, threads=order.threads, engine=order.engine, precision=order.precision)
    with explained(order.out):
        order.out.mkdir(parents=True, exist_ok=True)
    return Job(
        backend=backend,
        options=options,
        out=order.out,
        formats=tuple(formats),
        formats_named=bool(order.formats),
        mpp=order.mpp if order.magnification is None else mpp_of_magnification(order.magnification),
        overwrite=order.overwrite,
        outline_px=order.outline_px,
        regions=order.regions,
    )


def cell_options(settings: Mapping[str, Any]) -> CellOptions:
    """Return how nuclei are cut; what is not among the settings, or None, has its default."""
    return CellOptions(**_given(settings, CELL_OPTIONS))


def _given(settings: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return those settings of some names that are not left to the default."""
    return {name: settings[name] for name in names if settings.get(name) is not None}
