"""``tiles.csv``: the quality of each tile that was inferred, one row per tile."""

import csv
from pathlib import Path

from counterstain.analysis import Analysis
from counterstain.files import replacing
from counterstain.geometry import Box
from counterstain.slides.base import Slide
from counterstain.spreadsheets import numbers, open_text, read_sheet
from counterstain.tiling.quality import FLAGGED_SHARE, TileQualities, TileQuality

FILE_NAME = "tiles.csv"
PLACE = ("row_px", "col_px", "height_px", "width_px")
SHARES = {name: f"{name}_share" for name in ("tissue", *FLAGGED_SHARE)}
FLAGS = {name: f"has_{name}" for name in FLAGGED_SHARE}
COLUMNS = (*PLACE, *SHARES.values(), *FLAGS.values())

ADDED = (SHARES["damaged"], FLAGS["damaged"])
"""Columns that are written where anything is damaged."""


def write_tiles(analysis: Analysis, path: Path) -> None:
    """Write the table with a header, comma-separated, UTF-8; places are in pixels of the slide."""
    tall, wide = _scales(analysis.slide, analysis.maps.mpp)
    with replacing(path) as hidden, hidden.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        left_out = () if any(quality.damaged for _, quality in analysis.tiles) else ADDED
        writer.writerow([name for name in COLUMNS if name not in left_out])
        for box, quality in analysis.tiles:
            place = (box.row * tall, box.col * wide, box.height * tall, box.width * wide)
            flags = quality.flags
            writer.writerow(
                (
                    *(f"{round(pixels, 3):.10g}" for pixels in place),
                    *(f"{getattr(quality, name):.10g}" for name, column in SHARES.items() if column not in left_out),
                    *("true" if name in flags else "false" for name, column in FLAGS.items() if column not in left_out),
                )
            )


def read_tiles(path: Path, slide: Slide, mpp: float) -> TileQualities:
    """Return the table in a file.

    Parameters
    ----------
    path : as ``write_tiles`` wrote it.
    slide : that it was written for.
    mpp : micrometres per pixel of the maps.

    Raises
    ------
    OSError
        The file is missing.
    ValueError
        It is damaged, or lacks a column.
    """
    tall, wide = _scales(slide, mpp)
    with open_text(path) as file:
        sheet = read_sheet(file)
        lacking = [name for name in COLUMNS if name not in (*sheet.names, *ADDED)]
        if lacking:
            raise ValueError(f"it lacks the columns {', '.join(lacking)}")
        fields = [row for _, row in sheet.rows]
    named = {name: sheet.names.index(name) for name in (*PLACE, *SHARES.values()) if name in sheet.names}
    columns = [numbers([row[place] for row in fields]).tolist() for place in named.values()]
    rows = [dict(zip(named, values, strict=True)) for values in zip(*columns, strict=True)]
    return tuple(
        (
            Box(*(round(row[name] / scale) for name, scale in zip(PLACE, (tall, wide, tall, wide), strict=True))),
            TileQuality(**{name: row[column] for name, column in SHARES.items() if column in row}),
        )
        for row in rows
    )


def _scales(slide: Slide, mpp: float) -> tuple[float, float]:
    """Return the pixels of the slide in one pixel of the maps, down and across."""
    height_um, width_um = slide.resolution.sides
    return mpp / height_um, mpp / width_um
