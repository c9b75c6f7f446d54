"""What every request needs: the settings, the database, and the results that are open. Made once, when the service starts."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from fastapi import Path as InPath
from sqlalchemy import Engine, RowMapping

from counterstain.web.numbers import Numbers
from counterstain.web.problems import Problem
from counterstain.web.settings import ServiceSettings
from counterstain.web.store.queue import job
from counterstain.web.viewing.opened import Opened, OpenResults
from counterstain.web.working.places import result_folder, source_of

LOCAL = "local"
"""The only user of a service that asks nobody who they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running service."""

    settings: ServiceSettings
    engine: Engine
    results: OpenResults = field(default_factory=OpenResults)
    numbers: Numbers = field(default_factory=Numbers)


def service_of(request: Request) -> Service:
    """Return the service that a request came to."""
    found: Service = request.app.state.service
    return found


def caller_of(request: Request) -> str:
    """Return the name of the user who asks; the middleware that knows users has written it."""
    return str(getattr(request.state, "caller", LOCAL))


Served = Annotated[Service, Depends(service_of)]
Caller = Annotated[str, Depends(caller_of)]
JobId = Annotated[str, InPath(pattern="^[0-9a-f]{32}$", description="Number of the job; the result has the same.")]


def own_job(job_id: JobId, served: Served, caller: Caller) -> RowMapping:
    """Return a job of the caller; a job of somebody else is as if it were not there."""
    found = job(served.engine, job_id)
    if found is None or found["owner"] != caller:
        raise Problem(404, "there is no such job")
    return found


OwnJob = Annotated[RowMapping, Depends(own_job)]


def own_result(found: OwnJob, served: Served) -> Opened:
    """Return the open result of a job of the caller.

    Raises
    ------
    Problem
        The job has not ended well.
    """
    if found["state"] != "done":
        raise Problem(409, f"the job is {found['state']}, and only one that is done has a result")
    folder = result_folder(served.settings, found)
    if folder is None:
        raise Problem(404, "the result of this job is no longer there")
    return served.results.open(found["job_id"], folder, source_of(served.settings, found))


OwnResult = Annotated[Opened, Depends(own_result)]
