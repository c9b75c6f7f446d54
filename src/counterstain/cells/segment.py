"""From maps to the cells table: decode, measure, classify, outline.

In come a slide and its finished maps, out comes one row per nucleus in slide pixels and micrometres. Maps are cut block by
block, so memory does not grow with the slide. No network runs here: a slide can be segmented again with other options at once.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.classify import positive
from counterstain.cells.decoders.base import Decoder, Nuclei, numbered_by_first_pixel
from counterstain.cells.decoders.names import DECODERS, decoder_class, decoder_for, setting_faults
from counterstain.cells.describe import describe
from counterstain.cells.measure import gather
from counterstain.cells.outlines import outlines
from counterstain.cells.seams import BLOCK_PX, Piece, blocks, cut_block, joined, no_wider
from counterstain.cells.table import COLUMNS, FLAG_TOUCHES_BORDER, CellColumns, Cells, Thresholds
from counterstain.cells.threads import in_threads
from counterstain.errors import UsageError
from counterstain.geometry import Box
from counterstain.slides.base import Slide
from counterstain.slides.taking_turns import TakingTurns
from counterstain.stitching.maps import Maps

FindSizes = Callable[[Decoder], Iterable[NDArray[np.int64]]]
"""Takes a decoder and yields the sizes, in pixels, of the nuclei that it cuts, block by block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOptions:
    """What counts as a nucleus, and which nuclei are positive."""

    decoder: str | None = None
    """A name of ``DECODERS``: ``watershed`` or ``deepliif`` (the published rule); None takes the one that the bundle names."""
    threshold: float = 0.5
    """0-1: a nucleus is positive when its ``p_positive`` is at least this."""
    marker_threshold: float | None = None
    """0-1: a nucleus whose marker reaches above it is positive whatever its probability; None leaves the marker out."""
    min_area_um2: float | None = None
    """Square micrometres: smaller nuclei are dropped. None leaves the limit to the decoder: 6 for the watershed, an automatic
    limit for the published rule."""
    max_area_um2: float | None = None
    """Square micrometres: larger nuclei are dropped; None keeps all."""
    settings: Mapping[str, float] = field(default_factory=dict)
    """Settings that one decoder alone reads, by name, such as ``{"merge_ratio": 0.7}``; ``decoder`` must name it."""

    def __post_init__(self) -> None:
        faults = [*_decoder_faults(self), *_share_faults(self), *_area_faults(self)]
        if faults:
            raise UsageError("; ".join(faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How every block of one slide is cut; made by ``rules_for``."""

    decoder: Decoder
    options: CellOptions
    thresholds: Thresholds
    """The thresholds that the table states as its own."""


def segment(
    slide: Slide, maps: Maps, options: CellOptions, *, decoder: str, block_px: int = BLOCK_PX, threads: int = 1
) -> Cells:
    """Cut the maps into nuclei and describe each.

    Rows are in the order of ``cell_id``, which is the first pixel of the nucleus (topmost row, then leftmost) at the
    resolution of the maps: ``row * 2**24 + col``. It depends on nothing but the nucleus itself. ``row_um`` is ``row_px``
    times the pixel size. Optical densities are those of hematoxylin and DAB by colour deconvolution of the slide, read at the
    resolution of the maps.

    Parameters
    ----------
    slide : gives the pixels for the optical densities, and the size of its pixels.
    maps : of the whole slide, with a ``segmentation`` channel.
    options : thresholds and limits.
    decoder : the bundle's; used when the options name none.
    block_px : side of the blocks that are cut; no nucleus depends on it.
    threads : blocks that are cut at the same time.

    Raises
    ------
    UsageError
        The model has no segmentation channel, so it cannot be cut into nuclei.
    """
    rules = rules_for(maps, options, decoder=decoder, block_px=block_px)
    shared = TakingTurns(slide)
    parts = in_threads(lambda block: segment_block(shared, maps, block, rules), blocks(maps.size, block_px), threads)
    return joined([*parts], rules.thresholds)


def rules_for(
    maps: Maps, options: CellOptions, *, decoder: str, block_px: int = BLOCK_PX, find_sizes: FindSizes | None = None
) -> Rules:
    """Return how blocks are cut, with what must be known of the whole slide first.

    A decoder may need the sizes of all nuclei, as the published rule does for its automatic size limit: all blocks are then
    decoded once more.

    Parameters
    ----------
    find_sizes : gives ``areas_px`` of all blocks that may hold a nucleus, in any order, where other processes find them; None
        finds them here.

    Raises
    ------
    UsageError
        The model has no segmentation channel, or there is no decoder of that name.
    """
    if maps.panel.of_role("segmentation") is None:
        raise UsageError("this model infers no segmentation, so there are no nuclei to count; choose another bundle")
    name, least = options.decoder or decoder, options.min_area_um2
    made = decoder_for(name, maps.panel, maps.mpp, min_area_um2=least, settings=options.settings)
    sized_by = made.sized_by
    if sized_by:
        own = (areas_px(maps, block, sized_by) for block in blocks(maps.size, block_px))
        made = made.with_sizes(np.concatenate([np.zeros(0, np.int64), *(find_sizes(sized_by) if find_sizes else own)]))
    return Rules(decoder=made, options=options, thresholds=thresholds_of(options, decoder=decoder))


def areas_px(maps: Maps, block: Box, decoder: Decoder) -> NDArray[np.int64]:
    """Return the (n,) int64 sizes in pixels of the nuclei whose first pixel lies in a block."""
    nuclei = _cut(maps, block, decoder).nuclei
    return gather(nuclei.labels, len(nuclei.p_positive)).areas


def segment_block(slide: Slide, maps: Maps, block: Box, rules: Rules) -> Cells:
    """Return the table of the nuclei whose first pixel lies in a block of the maps, as ``segment`` would for the whole."""
    options = rules.options
    piece = _cut(maps, block, rules.decoder)
    piece = replace(piece, nuclei=_within_limits(piece.nuclei, options, maps.mpp))
    if not len(piece.nuclei.p_positive):
        return joined([], rules.thresholds)
    columns = describe(slide, maps, piece)
    columns["is_positive"] = positive(columns["p_positive"], columns["marker_max"], options.threshold, options.marker_threshold)
    scale, corner = np.array(slide.resolution.factors(maps.mpp)), np.array([piece.box.row, piece.box.col])
    rings = outlines(piece.nuclei.labels, len(piece.nuclei.p_positive))
    return Cells(
        columns={column: np.asarray(columns[column]).astype(dtype) for column, dtype in COLUMNS.items()},
        outlines=[(ring + corner) * scale for ring in rings],
        thresholds=rules.thresholds,
    )


def area_warning(cells: CellColumns, expected_range: tuple[float, float]) -> str | None:
    """Return a warning when the median nuclear area lies outside the expected range, else None.

    Nuclei at the image border are left out, as they are cut. A wrong pixel size is the usual cause: a factor of 2 in the
    pixel size is a factor of 4 in the area.

    Parameters
    ----------
    expected_range : lowest and highest expected median, in square micrometres.
    """
    areas = cells["area_um2"][(cells["quality_flags"] & FLAG_TOUCHES_BORDER) == 0]
    low, high = expected_range
    if not len(areas) or low <= (median := float(np.median(areas))) <= high:
        return None
    ratio = math.sqrt(median / math.sqrt(low * high))
    found, given = ("20x", "40x") if ratio < 1 else ("40x", "20x")
    times = f"{1 / ratio:.1f} times too small" if ratio < 1 else f"{ratio:.1f} times too large"
    return (
        f"median nuclear area is {median:.0f} um2, expected {low:.0f}-{high:.0f}: nuclei look {times} across, "
        f"as when a {found} image is taken for {given}; check the pixel size (mpp) or the magnification"
    )


def _cut(maps: Maps, block: Box, decoder: Decoder) -> Piece:
    """Cut one block with the halo that the decoder asks for."""
    halo, halo_px = decoder.halo, math.ceil(decoder.halo.width_um / maps.mpp)

    def decode(box: Box) -> Nuclei:
        nuclei = _decode(maps, box, decoder)
        return no_wider(nuclei, halo_px) if halo.drops_wider else nuclei

    return cut_block(decode, block, maps.size, halo_px, most_widths=halo.most_widths)


def _decode(maps: Maps, box: Box, decoder: Decoder) -> Nuclei:
    segmentation, distance = maps.panel.of_role("segmentation"), maps.panel.of_role("distance")
    depth = None if distance is None else maps[distance.name][box.slices][..., 0]
    return decoder(maps[segmentation.name if segmentation else ""][box.slices], depth)


def _within_limits(nuclei: Nuclei, options: CellOptions, mpp: float) -> Nuclei:
    """Drop nuclei outside the limits that were asked for."""
    low, high = options.min_area_um2 or 0.0, math.inf if options.max_area_um2 is None else options.max_area_um2
    areas = np.bincount(nuclei.labels.ravel(), minlength=len(nuclei.p_positive) + 1) * mpp**2
    keep = (areas >= low) & (areas <= high)
    keep[0] = False
    if keep[1:].all():
        return nuclei
    labels, kept = numbered_by_first_pixel(nuclei.labels * keep[nuclei.labels])
    return Nuclei(labels=labels, p_positive=nuclei.p_positive[kept - 1])


def thresholds_of(options: CellOptions, *, decoder: str) -> Thresholds:
    """Return everything that shapes a table, with the settings that its decoder reads.

    Parameters
    ----------
    decoder : the bundle's; used when the options name none.

    Raises
    ------
    UsageError
        There is no decoder of that name.
    """
    name = options.decoder or decoder
    chosen = decoder_class(name)
    return {
        "decoder": name,
        "threshold": options.threshold,
        "marker_threshold": options.marker_threshold,
        "min_area_um2": chosen.default_min_area_um2 if options.min_area_um2 is None else options.min_area_um2,
        "max_area_um2": options.max_area_um2,
        **asdict(chosen.settings_class(**options.settings)),
    }


def _decoder_faults(options: CellOptions) -> list[str]:
    if options.decoder is None:
        return ["settings are those of a decoder; name it too (decoder=...)"] if options.settings else []
    if options.decoder not in DECODERS:
        return [f"decoder must be one of {', '.join(sorted(DECODERS))}, got {options.decoder!r}"]
    return setting_faults(options.decoder, options.settings)


def _share_faults(options: CellOptions) -> list[str]:
    shares = {name: getattr(options, name) for name in ("threshold", "marker_threshold")}
    return [
        f"{name} must lie between 0 and 1, got {value}"
        for name, value in shares.items()
        if not (value is None and name == "marker_threshold") and not 0 <= value <= 1
    ]


def _area_faults(options: CellOptions) -> list[str]:
    low, high = options.min_area_um2, options.max_area_um2
    faults = []
    if low is not None and not 0 <= low < math.inf:
        faults.append(f"min_area_um2 must be at least 0, got {low}")
    if high is not None and not high > 0:
        faults.append(f"max_area_um2 must be above 0, got {high}")
    if low is not None and high is not None and low > high:
        faults.append(f"min_area_um2 ({low}) must not exceed max_area_um2 ({high})")
    return faults
