"""``/api/v1/results/.../tiles``: pixels of a result, level by level, for a viewer that zooms."""

import io
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath
from numpy.typing import NDArray
from PIL import Image

from counterstain.geometry import Box
from counterstain.web.problems import Problem
from counterstain.web.schemas import LayerBody, LevelBody, PyramidBody
from counterstain.web.service import OwnResult
from counterstain.web.viewing.labels import DRAWN_UP_TO_MPP, label_tile
from counterstain.web.viewing.layers import layer_tile, layers_of
from counterstain.web.viewing.opened import Opened
from counterstain.web.viewing.pyramid import TILE_PX

router = APIRouter(prefix="/api/v1/results/{job_id}", tags=["tiles"])

LABELS = "labels"
KEPT = "private, max-age=86400"
JPEG_QUALITY = 90

Place = Annotated[int, InPath(ge=0, lt=2**31)]
PICTURES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}, "image/png": {}}},
}


@router.get("/pyramid")
def pyramid(opened: OwnResult) -> PyramidBody:
    """Describe levels, tiles and layers."""
    levels = [
        LevelBody(
            level=number,
            height_px=level.size.height,
            width_px=level.size.width,
            rows=level.rows,
            cols=level.cols,
            mpp=level.mpp,
        )
        for number, level in enumerate(opened.pyramid.levels)
    ]
    layers = [
        LayerBody(name=layer.name, title=layer.title, colour=layer.colour, media_type="image/jpeg")
        for layer in layers_of(opened.analysis)
    ]
    labels = LayerBody(name=LABELS, title="Numbers of nuclei", colour=None, media_type="image/png")
    return PyramidBody(
        tile_px=TILE_PX,
        mpp=levels[0].mpp,
        levels=levels,
        layers=[*layers, labels],
        slide_px=opened.pyramid.slide_px,
        labels_drawn_up_to_mpp=DRAWN_UP_TO_MPP,
        tag=opened.tag,
    )


@router.get("/tiles/{layer}/{level}/{row}_{col}", responses=PICTURES, response_class=Response)
def tile(layer: str, level: Place, row: Place, col: Place, opened: OwnResult, request: Request) -> Response:
    """Return a tile: a JPEG, or for ``labels`` a PNG whose pixels are numbers of nuclei (red is the highest byte)."""
    levels = opened.pyramid.levels
    if level >= len(levels) or row >= levels[level].rows or col >= levels[level].cols:
        raise Problem(404, "there is no such tile")
    headers = {"Cache-Control": KEPT, "ETag": f'"{opened.tag}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    box = levels[level].tile(row, col)
    if layer == LABELS:
        return Response(_png(label_tile(opened, level, box)), media_type="image/png", headers=headers)
    return Response(_jpeg(_pixels(opened, layer, box, levels[level].mpp)), media_type="image/jpeg", headers=headers)


def _pixels(opened: Opened, layer: str, box: Box, mpp: float) -> NDArray[np.uint8]:
    if layer not in {shown.name for shown in layers_of(opened.analysis)}:
        raise Problem(404, "the result has no such layer; maps are there only where they were kept")
    return layer_tile(opened.analysis, layer, box, mpp)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", compress_level=1)
    return content.getvalue()


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return content.getvalue()
