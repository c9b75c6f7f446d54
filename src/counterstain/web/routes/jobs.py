"""``/api/v1/jobs``: ask for an analysis, follow it, cancel it, remove it with its result."""

import json
import shutil
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from counterstain.errors import Remedy, UnreadableSlideError
from counterstain.web.problems import Problem
from counterstain.web.schemas import Job, JobOptions, JobRequest
from counterstain.web.service import Caller, OwnJob, Served, Service
from counterstain.web.store.queue import ENDED, NewJob, add_job, cancel, count_by_state, forget, job, jobs_of
from counterstain.web.store.uploads import upload
from counterstain.web.working.places import stored_image

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

LOOKED_AT_EVERY_S = 0.5
BREATH_S = 15.0
"""A line that says nothing keeps proxies from closing the stream."""


@router.post("", status_code=201)
def ordered(asked: JobRequest, served: Served, caller: Caller, response: Response) -> Job:
    """Ask for the analysis of an image."""
    check_room(served, caller)
    check_model(served, asked.options)
    new = _of_upload(asked, served, caller) if asked.upload_id else _of_image(asked, served, caller)
    found = add_job(served.engine, new)
    response.headers["Location"] = f"/api/v1/jobs/{found['job_id']}"
    return body_of(found)


@router.get("")
def listed(
    served: Served,
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> list[Job]:
    """List the jobs of the caller, the newest first."""
    return [body_of(found) for found in jobs_of(served.engine, caller, limit)]


@router.get("/{job_id}")
def told(found: OwnJob) -> Job:
    """Tell how far a job is."""
    return body_of(found)


@router.post("/{job_id}/cancel")
def cancelled(found: OwnJob, served: Served) -> Job:
    """Cancel a job. One that is running ends soon; one that has ended stays as it is."""
    cancel(served.engine, found["job_id"])
    return body_of(job(served.engine, found["job_id"]) or found)


@router.delete("/{job_id}", status_code=204)
def removed(found: OwnJob, served: Served) -> None:
    """Delete a job that has ended, with its result. The image stays."""
    if not forget(served.engine, found["job_id"]):
        raise Problem(409, f"the job is {found['state']}", Remedy("cancel it first"))
    served.results.close(found["job_id"])
    shutil.rmtree(served.settings.results / found["job_id"], ignore_errors=True)


@router.get("/{job_id}/events", responses={200: {"content": {"text/event-stream": {}}}}, response_class=StreamingResponse)
async def events(found: OwnJob, request: Request, served: Served) -> StreamingResponse:
    """Send the job, as JSON, whenever it changes, until it has ended (server-sent events of the type ``job``)."""
    stream = _changes(found["job_id"], request, served)
    return StreamingResponse(
        stream, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


async def _changes(job_id: str, request: Request, served: Service) -> AsyncIterator[str]:
    last, quiet_s = "", 0.0
    while not await request.is_disconnected():
        found = await run_in_threadpool(job, served.engine, job_id)
        text = json.dumps(body_of(found).model_dump()) if found else "{}"
        if text != last:
            yield f"event: job\ndata: {text}\n\n"
            last, quiet_s = text, 0.0
        if found is None or found["state"] in ENDED:
            return
        if quiet_s >= BREATH_S:
            yield ": \n\n"
            quiet_s = 0.0
        await anyio.sleep(LOOKED_AT_EVERY_S)
        quiet_s += LOOKED_AT_EVERY_S


def check_room(served: Service, caller: str) -> None:
    """Refuse one job more of a user who has enough of them.

    Raises
    ------
    Problem
        So it is.
    """
    counts = count_by_state(served.engine, caller)
    waiting = counts.get("queued", 0) + counts.get("running", 0)
    if waiting >= served.settings.limits.unfinished_jobs:
        raise Problem(429, f"{waiting} jobs have not ended", Remedy("wait for them"), headers={"Retry-After": "30"})


def check_model(served: Service, options: JobOptions) -> None:
    """Refuse a model that the operator has not named: a name of a client never becomes a path."""
    if options.bundle is not None and options.bundle not in served.settings.bundles:
        raise Problem(
            422, f"there is no model {options.bundle!r}", Remedy("name one that is there", "options.bundle", "default")
        )


def _of_upload(asked: JobRequest, served: Service, caller: str) -> NewJob:
    found = upload(served.engine, asked.upload_id or "")
    if found is None or found["owner"] != caller:
        raise Problem(404, "there is no such upload")
    if not found["is_complete"]:
        raise Problem(409, "the image has not come as a whole", Remedy("send the rest"))
    return NewJob(
        owner=caller,
        name=found["name"],
        upload_id=found["upload_id"],
        file_name=found["file_name"],
        options=asked.options.model_dump(exclude_none=True),
    )


def _of_image(asked: JobRequest, served: Service, caller: str) -> NewJob:
    image = asked.image or ""
    try:
        path = stored_image(served.settings, image)
    except UnreadableSlideError as error:
        raise Problem(404, error.happened) from error
    return NewJob(owner=caller, name=path.name, image=image, options=asked.options.model_dump(exclude_none=True))


def body_of(found: Any) -> Job:
    """Return what a client is told of a job."""
    return Job(**{name: found[name] for name in Job.model_fields})
