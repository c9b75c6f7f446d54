"""``/api/v1/uploads``: an image comes in pieces; a transfer that broke goes on where it was."""

import shutil
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi import Path as InPath
from sqlalchemy import RowMapping
from starlette.concurrency import run_in_threadpool

from counterstain.errors import CounterstainError, Remedy
from counterstain.files import explained
from counterstain.web.problems import Problem
from counterstain.web.receiving.checking import look_at
from counterstain.web.receiving.names import kept_name, shown_name
from counterstain.web.schemas import Upload, UploadRequest
from counterstain.web.service import Caller, Served, Service
from counterstain.web.store.queue import uses_of
from counterstain.web.store.uploads import (
    add_upload,
    forget_upload,
    note_complete,
    note_offset,
    upload,
    uploads_of,
    usage_of,
)

router = APIRouter(prefix="/api/v1/uploads", tags=["uploads"])

UploadId = Annotated[str, InPath(pattern="^[0-9a-f]{32}$")]
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, lt=2**53, description="Where this piece begins.")]

PART = "content.part"
WRITTEN_AT_ONCE = 2**20


@router.post("", status_code=201)
def announce(asked: UploadRequest, served: Served, caller: Caller, response: Response) -> Upload:
    """Say that an image will be sent; its content follows by PATCH."""
    limits = served.settings.limits
    if asked.size_bytes > limits.upload_bytes:
        raise Problem(413, f"the image has {asked.size_bytes:,} bytes and {limits.upload_bytes:,} are the most")
    unfinished, stored = usage_of(served.engine, caller)
    if unfinished >= limits.unfinished_uploads:
        raise Problem(
            429, f"{unfinished} uploads are not complete", Remedy("complete or delete one"), headers={"Retry-After": "10"}
        )
    if stored + asked.size_bytes > limits.stored_bytes:
        raise Problem(507, f"your images have {stored:,} bytes and {limits.stored_bytes:,} are the most", Remedy("delete some"))
    found = add_upload(served.engine, caller, shown_name(asked.name), asked.size_bytes)
    folder = _folder(served, found)
    with explained(folder):
        folder.mkdir(parents=True)
        (folder / PART).touch()
    response.headers["Location"] = f"/api/v1/uploads/{found['upload_id']}"
    return _body(found)


@router.get("")
def listed(served: Served, caller: Caller) -> list[Upload]:
    """List the images that were sent."""
    return [_body(found) for found in uploads_of(served.engine, caller)]


@router.get("/{upload_id}")
def told(upload_id: UploadId, served: Served, caller: Caller) -> Upload:
    """Tell how much of an image has come."""
    return _body(_own(upload_id, served, caller))


@router.patch("/{upload_id}", openapi_extra={"requestBody": {"content": {"application/octet-stream": {}}}})
async def received(upload_id: UploadId, offset: Offset, request: Request, served: Served, caller: Caller) -> Upload:
    """Take the next piece. After the last one the image is looked at: one that cannot be used is refused, and removed."""
    found = await run_in_threadpool(_own, upload_id, served, caller)
    if found["is_complete"]:
        raise Problem(409, "the image is complete")
    path = _folder(served, found) / PART
    end = await _write(path, offset, int(found["size_bytes"]), request)
    await run_in_threadpool(note_offset, served.engine, upload_id, end)
    if end < found["size_bytes"]:
        return _body({**found, "offset_bytes": end})
    return await run_in_threadpool(_completed, {**found, "offset_bytes": end}, served)


@router.delete("/{upload_id}", status_code=204)
def removed(upload_id: UploadId, served: Served, caller: Caller) -> None:
    """Delete an image that no job was made of."""
    found = _own(upload_id, served, caller)
    if uses_of(served.engine, upload_id):
        raise Problem(409, "there are jobs of this image", Remedy("delete them first"))
    _remove(found, served)


async def _write(path: Path, offset: int, size_bytes: int, request: Request) -> int:
    """Append a body to what has come, in the order in which it comes, and return where it ends."""
    have = await run_in_threadpool(lambda: path.stat().st_size)
    if offset != have:
        raise Problem(409, f"the next piece begins at {have}, not at {offset}", headers={"Upload-Offset": str(have)})
    with path.open("ab") as file:
        waiting, size = bytearray(), have
        async for piece in request.stream():
            size += len(piece)
            if size > size_bytes:
                raise Problem(413, f"there is more than the {size_bytes:,} bytes that were announced")
            waiting += piece
            if len(waiting) >= WRITTEN_AT_ONCE:
                await run_in_threadpool(file.write, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(file.write, bytes(waiting))
    return size


def _completed(found: dict[str, Any], served: Service) -> Upload:
    folder = served.settings.uploads / found["upload_id"]
    try:
        name = kept_name(found["name"], folder / PART)
        with explained(folder):
            path = (folder / PART).rename(folder / name)
        seen = look_at(path, served.settings.limits.pixels)
    except (CounterstainError, Problem) as error:
        _remove(found, served)
        if isinstance(error, CounterstainError):
            error.happened = error.happened.replace(str(folder / PART), found["name"]).replace(f"{folder}/", "")
        raise
    note_complete(served.engine, found["upload_id"], name)
    body = _body({**found, "is_complete": True})
    return body.model_copy(
        update={"height_px": seen.height_px, "width_px": seen.width_px, "mpp": seen.mpp, "mpp_source": seen.mpp_source}
    )


def _own(upload_id: str, served: Service, caller: str) -> RowMapping:
    found = upload(served.engine, upload_id)
    if found is None or found["owner"] != caller:
        raise Problem(404, "there is no such upload")
    return found


def _folder(served: Service, found: Any) -> Path:
    return served.settings.uploads / str(found["upload_id"])


def _remove(found: Any, served: Service) -> None:
    shutil.rmtree(_folder(served, found), ignore_errors=True)
    forget_upload(served.engine, found["upload_id"])


def _body(found: Any) -> Upload:
    return Upload(**{name: found[name] for name in ("upload_id", "name", "size_bytes", "offset_bytes", "is_complete")})
