"""``/api/v1/results/.../nuclei``: the table of nuclei as plain bytes, column by column, and the outlines of those in view."""

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from numpy.typing import NDArray

from counterstain.cells.table import COLUMNS
from counterstain.geometry import Box
from counterstain.web.problems import Problem
from counterstain.web.schemas import ColumnBody, NucleiBody, OutlinesBody
from counterstain.web.service import OwnResult
from counterstain.web.viewing.labels import numbers_of

router = APIRouter(prefix="/api/v1/results/{job_id}", tags=["nuclei"])

MOST_OUTLINES = 5000
UNITS = {"um2": "um2", "um": "um", "px": "px"}
COLUMN_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}},
}

Edge = Annotated[int, Query(ge=-(2**31), lt=2**31)]
Side = Annotated[int, Query(gt=0, lt=2**31)]


@router.get("/nuclei")
def table(opened: OwnResult, request: Request) -> NucleiBody:
    """Describe the table: each column is at an address of its own, as little-endian numbers without a header."""
    nuclei = len(opened.analysis.cells)
    columns = [
        ColumnBody(
            name=name,
            dtype=_sent(kind).name,
            unit=UNITS.get(name.rsplit("_", 1)[-1], ""),
            bytes=nuclei * _sent(kind).itemsize,
            address=f"{request.url.path}/{name}",
        )
        for name, kind in COLUMNS.items()
    ]
    return NucleiBody(nuclei=nuclei, columns=columns, thresholds=opened.analysis.cells.thresholds)


@router.get("/nuclei/{column}", responses=COLUMN_BYTES, response_class=Response)
def column(column: Annotated[str, InPath(max_length=40)], opened: OwnResult, request: Request) -> Response:
    """Return a column as bytes."""
    if column not in COLUMNS:
        raise Problem(404, "there is no such column")
    headers = {"Cache-Control": "private, no-cache", "ETag": f'"{opened.tag}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    values = opened.analysis.cells[column].astype(_sent(COLUMNS[column]), copy=False)
    return Response(_bytes(values), media_type="application/octet-stream", headers=headers)


@router.get("/outlines")
def outlines(opened: OwnResult, row: Edge, col: Edge, height: Side, width: Side) -> OutlinesBody:
    """Return the outlines of the nuclei that reach into a box of pixels of the slide at full size."""
    cells = opened.analysis.cells.within(Box(row, col, height, width))
    rings = [np.round(ring, 3).ravel().tolist() for ring in cells.outlines[:MOST_OUTLINES]]
    numbers = numbers_of(opened, cells)[:MOST_OUTLINES].tolist()
    return OutlinesBody(numbers=numbers, outlines=rings, is_complete=len(cells) <= MOST_OUTLINES)


def _sent(kind: type[np.generic]) -> np.dtype[np.generic]:
    return np.dtype(np.uint8) if kind is np.bool_ else np.dtype(kind).newbyteorder("<")


def _bytes(values: NDArray[np.generic]) -> bytes:
    return np.ascontiguousarray(values).tobytes()
