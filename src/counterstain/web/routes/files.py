"""``/api/v1/results/.../files``: every output of an analysis, one by one or all as a ZIP that is made while it is sent."""

import mimetypes
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response, StreamingResponse

from counterstain.web.problems import Problem
from counterstain.web.receiving.names import shown_name
from counterstain.web.routes.results import CHOSEN, REGIONS
from counterstain.web.schemas import FileBody
from counterstain.web.service import OwnResult
from counterstain.web.viewing.opened import Opened

router = APIRouter(prefix="/api/v1/results/{job_id}", tags=["files"])

PIECE_BYTES = 2**20
ANY: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}

mimetypes.add_type("application/geo+json", ".geojson")
mimetypes.add_type("application/vnd.apache.parquet", ".parquet")


@router.get("/files")
def listed(opened: OwnResult, request: Request) -> list[FileBody]:
    """List the files of a result; a folder, such as an OME-Zarr, comes as a ZIP."""
    return [
        FileBody(name=name, size_bytes=_size(path), media_type=_type(path), address=f"{request.url.path}/{name}")
        for name, path in _files(opened).items()
    ]


@router.get("/files/{name}", responses=ANY, response_class=FileResponse)
def one(name: Annotated[str, InPath(max_length=200)], opened: OwnResult) -> Response:
    """Download a file."""
    path = _files(opened).get(name)
    if path is None:
        raise Problem(404, "the result has no such file")
    if path.is_dir():
        return _zip({path.name: path}, f"{name}.zip")
    return FileResponse(path, media_type=_type(path), filename=name, headers={"Content-Security-Policy": "sandbox"})


@router.get("/archive.zip", responses={200: {"content": {"application/zip": {}}}}, response_class=StreamingResponse)
def archive(opened: OwnResult) -> StreamingResponse:
    """Download all files as one ZIP."""
    return _zip(_files(opened), f"{shown_name(opened.folder.name)}.zip")


def _files(opened: Opened) -> dict[str, Path]:
    """Return name -> path of what may be downloaded: what the record lists, and what was saved beside it."""
    own = {name: opened.folder / name for name in opened.record.files}
    beside = {name: opened.folder.parent / name for name in (REGIONS, CHOSEN)}
    return {name: path for name, path in (own | beside).items() if path.exists()}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())


def _type(path: Path) -> str:
    return "application/zip" if path.is_dir() else mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _zip(files: dict[str, Path], name: str) -> StreamingResponse:
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{_quoted(name)}"}
    return StreamingResponse(zipped(files), media_type="application/zip", headers=headers)


def _quoted(name: str) -> str:
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in name)


class _Sent:
    """A file to which a ZIP is written, and from which it is taken piece by piece."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def write(self, content: bytes) -> int:
        self._waiting += content
        return len(content)

    def flush(self) -> None:
        """Do nothing: what waits is taken when it is asked for."""

    def taken(self) -> bytes:
        content = bytes(self._waiting)
        self._waiting.clear()
        return content


def zipped(files: dict[str, Path]) -> Iterator[bytes]:
    """Yield the bytes of a ZIP of files and folders, in memory for one piece of a file."""
    sent = _Sent()
    with zipfile.ZipFile(sent, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:  # type: ignore[call-overload]
        for name, path in files.items():
            inner = sorted(path.rglob("*")) if path.is_dir() else [path]
            for file in (found for found in inner if found.is_file()):
                place = f"{name}/{file.relative_to(path).as_posix()}" if path.is_dir() else name
                entry = zipfile.ZipInfo(place)
                with archive.open(entry, "w", force_zip64=True) as target, file.open("rb") as source:
                    while piece := source.read(PIECE_BYTES):
                        target.write(piece)
                        yield sent.taken()
    yield sent.taken()
