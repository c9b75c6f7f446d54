"""An analysis as a card of HTML: the picture with its nuclei, the scores and the warnings, as Jupyter shows it.

The card is one piece of text with the picture inside it. It loads nothing, and whatever comes from a file is escaped.
"""

import base64
import io
import math
from collections.abc import Iterable
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from counterstain.cells.table import CellTable
from counterstain.errors import SlideError
from counterstain.scoring.base import Score
from counterstain.scoring.names import HEADINGS
from counterstain.slides.base import Slide, size_um
from counterstain.slides.thumbnail import thumbnail

PICTURE_PX = 640
"""Longest side of the picture."""

MOST_OUTLINES = 5_000
"""More nuclei than this are drawn as points: in so small a picture their outlines would be one blot."""

POSITIVE, NEGATIVE = (255, 0, 0), (0, 0, 255)
"""RGB of outlines and points, as in ``overlay.png``."""


def html_card(slide: Slide, cells: CellTable, scores: Iterable[Score], warnings: Iterable[str], *, title: str) -> str:
    """Return the card of an analysis.

    Parameters
    ----------
    slide : where its pixels cannot be read any more, the card says so in place of the picture.
    title : such as the name of the slide.
    """
    positive = int(np.count_nonzero(cells["is_positive"]))
    counts = f"{len(cells):,} nuclei, {positive:,} positive, {len(cells) - positive:,} negative"
    rows = "".join(map(_row, scores))
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return (
        '<div style="font-family:sans-serif;max-width:660px">'
        f"<strong>{escape(title)}</strong><br>{_picture(slide, cells)}<div>{counts}</div>"
        '<table style="border-collapse:collapse"><thead><tr><th>Score</th><th>Region</th><th>Value</th>'
        f"<th>95 % interval</th></tr></thead><tbody>{rows}</tbody></table>"
        f"{f'<p>Warnings:</p><ul>{items}</ul>' if items else ''}</div>"
    )


def draw_nuclei(slide: Slide, cells: CellTable) -> NDArray[np.uint8]:
    """Return the slide, at most ``PICTURE_PX`` long, with its nuclei, (h, w, 3) uint8: positive red, negative blue."""
    mpp = max(slide.resolution.mpp, max(size_um(slide)) / PICTURE_PX)
    pixels, factors = thumbnail(slide, mpp), np.array(slide.resolution.factors(mpp))
    if len(cells) > MOST_OUTLINES:
        return _with_points(pixels, cells, factors)
    image = Image.fromarray(pixels)
    canvas = ImageDraw.Draw(image)
    for part in cells.parts():
        for ring, is_positive in zip(part.outlines, part["is_positive"].tolist(), strict=True):
            corners = (ring / factors)[:, ::-1]  # (col, row), as the drawing library has them
            if len(corners) > 1:
                canvas.polygon([tuple(corner) for corner in corners.tolist()], outline=POSITIVE if is_positive else NEGATIVE)
    return np.asarray(image)


def _with_points(pixels: NDArray[np.uint8], cells: CellTable, factors: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colour the pixel in which each nucleus has its centre; where two share one, the positive is seen."""
    places = np.stack([cells["row_px"], cells["col_px"]]) / factors[:, np.newaxis]
    rows, cols = np.clip(places, 0, np.array(pixels.shape[:2])[:, np.newaxis] - 1).astype(np.int64)
    positive = cells["is_positive"]
    pixels[rows[~positive], cols[~positive]] = NEGATIVE
    pixels[rows[positive], cols[positive]] = POSITIVE
    return pixels


def _picture(slide: Slide, cells: CellTable) -> str:
    try:
        pixels = draw_nuclei(slide, cells)
    except SlideError as error:
        return f"<p>No picture: {escape(str(error))}</p>"
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img alt="the slide, positive nuclei red, negative blue" src="data:image/png;base64,{data}">'


def _row(score: Score) -> str:
    low, high = score.interval
    value = _number(score.value)
    shown = f"{value} {score.unit}" if value != "-" else "-"
    cells = (HEADINGS.get(score.name, score.name), score.region, shown, f"{_number(low)} to {_number(high)}")
    return "<tr>" + "".join(f'<td style="padding:0 8px">{escape(text)}</td>' for text in cells) + "</tr>"


def _number(value: float) -> str:
    """Return a number with one decimal, and a dash for one that does not exist."""
    return "-" if math.isnan(value) else f"{value:,.1f}"
