"""Quality flags of a tile: tissue out of focus, pen marks, folds, black borders, and what cannot be decoded.

The pixels of a tile come in, the shares of it that show an artifact come out. Nothing here knows networks, nuclei or other
tiles, so every process judges the same pixels alike. Artifacts are looked for at about 1 um per pixel, in squares of 8 um.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from counterstain.geometry import Box
from counterstain.tiling.artifacts import SQUARE_PX, Mask, black_borders, clearest, closed, focus, folds, grown, under_ink
from counterstain.tiling.tissue import tissue_mask

PIXEL_UM = 1.0
"""Micrometres per pixel at which artifacts are looked for, as near as whole pixels of the tile allow."""

TISSUE_GAP_SQUARES = 7
"""Clear places between pale nuclei narrower than this many squares (56 um) count as tissue, as on the mask of the slide."""

LEAST_SHARE = 0.0001
"""The smallest share above 0 that four decimals can show."""

FLAGGED_SHARE = {"blur": 0.25, "pen": 0.05, "fold": 0.05, "black_border": 0.05, "damaged": LEAST_SHARE}
"""Quality flag -> the share of a tile, or of its tissue, from which the tile gets it."""

NOTICEABLE_SHARE = 0.05
"""Share of the tissue of a slide with an artifact from which a warning says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileQuality:
    """Shares of one tile that show an artifact, in [0, 1], with four decimals."""

    tissue: float
    """Of the tile: tissue that is not under ink."""
    blur: float
    """Of the tissue that has edges to judge: out of focus."""
    pen: float
    """Of the tile: ink."""
    fold: float
    """Of the tissue: folded."""
    black_border: float
    """Of the tile: black without texture, with which scanners fill what they did not scan."""
    damaged: float = 0.0
    """Of the tile: cannot be decoded; it counts as no tissue."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Quality flags: the artifacts, and damage, of which the tile has at least its ``FLAGGED_SHARE``."""
        return tuple(name for name, share in FLAGGED_SHARE.items() if getattr(self, name) >= share)


TileQualities = tuple[tuple[Box, TileQuality], ...]
"""The kept box of each tile that was inferred, in the order of rows and then columns, with what was found in it."""


def tile_quality(pixels: NDArray[np.uint8], mpp: float, keep: Box | None = None, damaged: Sequence[Box] = ()) -> TileQuality:
    """Look for artifacts in a tile.

    Parameters
    ----------
    pixels : (h, w, 3) uint8 RGB, at least one pixel.
    mpp : micrometres per pixel.
    keep : the part of the pixels that counts. The rest only shows what lies beside it. None counts all pixels.
    damaged : the parts that cannot be decoded; may reach beyond the pixels.

    Notes
    -----
    The four artifacts are those of HistoQC (Janowczyk et al., JCO Clin. Cancer Inform. 3:1-7, 2019). Each has a function in
    ``artifacts`` that says how it is found. A tile without tissue has nothing that is out of focus or folded.
    """
    factor = max(1, round(PIXEL_UM / mpp))
    small, pixel_um = _whole_squares(np.asarray(Image.fromarray(pixels).reduce(factor))), mpp * factor
    squares = np.asarray(Image.fromarray(small).reduce(SQUARE_PX))  # (rows, cols, 3)
    black = black_borders(small)
    clear = clearest(small)  # (rows, cols, 3)
    ink = under_ink(clear) & ~black
    keep, hole = keep or Box(0, 0, *pixels.shape[:2]), _touched(damaged, SQUARE_PX * factor, black.shape)
    tissue = closed(tissue_mask(squares, texture_px=3), TISSUE_GAP_SQUARES) & ~black & ~ink & ~hole
    judged, blurred = focus(small, tissue & ~grown(black | ink | hole), pixel_um)
    folded = folds(squares, clear.mean(axis=2), tissue, pixel_um)
    kept = _squares_of(keep, SQUARE_PX * factor, tissue.shape)
    return TileQuality(
        tissue=_share(tissue, kept),
        blur=_share(blurred, judged & kept),
        pen=_share(ink, kept),
        fold=_share(folded, tissue & kept),
        black_border=_share(black, kept),
        damaged=_damaged_share(damaged, keep),
    )


def tissue_shares(tiles: Iterable[tuple[Box, TileQuality]]) -> dict[str, float]:
    """Return the shares of the tissue in tiles that are out of focus (``blur``), folded (``fold``), and inked (``pen``).

    Ink hides what it covers, so its share is that of the area of ink and tissue together. Without tissue all are 0.
    """
    pairs = [(box.size.area, quality) for box, quality in tiles]
    tissue = sum(area * quality.tissue for area, quality in pairs)
    ink = sum(area * quality.pen for area, quality in pairs)
    blurred = sum(area * quality.tissue * quality.blur for area, quality in pairs)
    folded = sum(area * quality.tissue * quality.fold for area, quality in pairs)
    parts = {"blur": (blurred, tissue), "fold": (folded, tissue), "pen": (ink, tissue + ink)}
    return {name: round(part / whole, 4) if whole else 0.0 for name, (part, whole) in parts.items()}


def damaged_share(tiles: Iterable[tuple[Box, TileQuality]]) -> float:
    """Return the share of the area of tiles that cannot be decoded."""
    pairs = [(box.size.area, quality.damaged) for box, quality in tiles]
    whole = sum(area for area, _ in pairs)
    return sum(area * share for area, share in pairs) / whole if whole else 0.0


def quality_warnings(tiles: Iterable[tuple[Box, TileQuality]]) -> tuple[str, ...]:
    """Return what to tell people: any damage, and each artifact that ``NOTICEABLE_SHARE`` of the tissue of all tiles has."""
    tiles = tuple(tiles)
    artifacts = {
        "blur": "is out of focus: nuclei in it are missed or joined",
        "fold": "is folded: nuclei in it lie over each other",
        "pen": "is under or beside pen marks, which are taken for stain",
    }
    noticed = (
        f"{100 * share:.0f} % of the tissue {artifacts[name]}; the scores are less sure"
        for name, share in tissue_shares(tiles).items()
        if share >= NOTICEABLE_SHARE
    )
    return (*_damage_warnings(tiles), *noticed)


def _damage_warnings(tiles: TileQualities) -> list[str]:
    damaged = [quality for _, quality in tiles if quality.damaged]
    if not damaged:
        return []
    tell = "1 tile has parts" if len(damaged) == 1 else f"{len(damaged)} tiles have parts"
    return [
        f"the file is damaged: {tell} that cannot be decoded, {100 * damaged_share(tiles):.2g} % of what was analysed; they "
        "count as no tissue, and nuclei in them are missing (damaged_share in tiles.csv says where)"
    ]


def _damaged_share(damaged: Sequence[Box], keep: Box) -> float:
    """Return the share of a box that lies in damaged boxes, at least ``LEAST_SHARE`` where any of it does."""
    hole = np.zeros((keep.height, keep.width), bool)
    for box in damaged:
        hole[box.intersection(keep).shifted(-keep.row, -keep.col).slices] = True
    share = float(hole.mean()) if hole.size else 0.0
    return max(round(share, 4), LEAST_SHARE) if share else 0.0


def _touched(boxes: Sequence[Box], side: int, shape: tuple[int, ...]) -> Mask:
    """Return the squares that any of the boxes meets."""
    mask = np.zeros(shape, bool)
    for box in boxes:
        rows = slice(max(0, box.row // side), max(0, -(-box.stop_row // side)))
        cols = slice(max(0, box.col // side), max(0, -(-box.stop_col // side)))
        mask[rows, cols] = True
    return mask


def _squares_of(box: Box, side: int, shape: tuple[int, ...]) -> Mask:
    """Return the squares whose centre lies in a box, and at least one row and column of them."""
    mask = np.zeros(shape, bool)
    spans = zip((box.row, box.col), (box.stop_row, box.stop_col), shape, strict=True)
    first, stop = zip(*(_squares_from(start, end, side, count) for start, end, count in spans), strict=True)
    mask[first[0] : stop[0], first[1] : stop[1]] = True
    return mask


def _squares_from(start: int, end: int, side: int, count: int) -> tuple[int, int]:
    first, stop = (min(max(math.ceil(pixel / side - 0.5), 0), count) for pixel in (start, end))
    return (first, stop) if first < stop else (nearest := min(start // side, count - 1), nearest + 1)


def _share(part: Mask, whole: Mask) -> float:
    """Return the share of a mask that is in another."""
    count = int(np.count_nonzero(whole))
    return round(int(np.count_nonzero(part & whole)) / count, 4) if count else 0.0


def _whole_squares(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the image with its last row and column repeated up to whole squares."""
    rows, cols = (-side % SQUARE_PX for side in small.shape[:2])
    return np.pad(small, ((0, rows), (0, cols), (0, 0)), mode="edge")
