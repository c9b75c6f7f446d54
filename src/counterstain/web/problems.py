"""What goes wrong, as every answer of the service says it: one JSON object by RFC 9457, whatever the path and the fault.

Remedies name the fields of a request. What happened inside the service is never told to a client.
"""

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from counterstain.errors import CounterstainError, MissingResolutionError, OutputError, Remedy, SlideError, UsageError

MEDIA_TYPE = "application/problem+json"

LOG = logging.getLogger("counterstain.web")

TITLES = {
    400: "The request cannot be understood",
    401: "Sign in first",
    403: "This is not allowed",
    404: "There is no such thing here",
    405: "This address does not do that",
    409: "It is not in a state for that",
    411: "The length is missing",
    413: "It is too large",
    415: "It is of a kind that cannot be used",
    416: "There is no such part",
    421: "The service does not answer under this name",
    422: "The request is not right",
    429: "Too much at once",
    500: "The service failed",
    503: "The service is not ready",
    507: "There is no room for it",
}


class RemedyBody(BaseModel):
    """One thing that helps."""

    do: str = Field(description="What to do, in words.")
    field: str = Field(default="", description="Field of the request that does it; empty where none does.")
    value: str = Field(default="", description="An example of its value.")


class FaultBody(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="The field, with dots between the names of nested ones.")
    fault: str = Field(description="What is wrong with it.")


class ProblemBody(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(default="about:blank")
    title: str = Field(description="The kind of problem.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(default="", description="What was expected and what was found.")
    remedies: list[RemedyBody] = Field(default_factory=list)
    faults: list[FaultBody] = Field(default_factory=list, description="Of the single fields, where a request is not right.")


class Problem(Exception):  # noqa: N818 (the word of the standard)
    """A request that cannot be done.

    Parameters
    ----------
    status : of HTTP.
    detail : what was expected and what was found.
    remedies : what to do about it.
    """

    def __init__(self, status: int, detail: str, *remedies: Remedy, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.remedies, self.headers = status, detail, remedies, headers


def described(status: int, detail: str = "", remedies: tuple[Remedy, ...] = ()) -> ProblemBody:
    """Return the body of a problem."""
    words = [RemedyBody(do=remedy.do, field=remedy.setting, value=remedy.value) for remedy in remedies]
    return ProblemBody(title=TITLES.get(status, "The request failed"), status=status, detail=detail, remedies=words)


def answer(body: ProblemBody, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that says what went wrong."""
    return JSONResponse(body.model_dump(), body.status, headers=headers, media_type=MEDIA_TYPE)


def status_of(error: CounterstainError) -> int:
    """Return the status of HTTP for an error of the core that a request caused."""
    statuses: tuple[tuple[type[CounterstainError], int], ...] = (
        (MissingResolutionError, 422),
        (SlideError, 415),
        (UsageError, 422),
        (OutputError, 507),
    )
    return next((status for kind, status in statuses if isinstance(error, kind)), 500)


def without_paths(text: str, paths: Mapping[str, str]) -> str:
    """Return a text in which the places of files on the server are replaced by what the client calls them."""
    for path in sorted(paths, key=len, reverse=True):
        text = text.replace(path, paths[path])
    return text


def handle_problems(app: FastAPI) -> None:
    """Let an application answer everything that goes wrong in one form."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(CounterstainError, _of_the_core)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(Exception, _unexpected)


def _problem(_: Request, error: Any) -> Response:
    return answer(described(error.status, error.detail, error.remedies), error.headers)


def _http(_: Request, error: Any) -> Response:
    detail = error.detail if error.status_code not in (404, 405) else ""
    return answer(described(error.status_code, str(detail)), error.headers)


def _not_valid(_: Request, error: Any) -> Response:
    faults = [
        FaultBody(field=".".join(str(part) for part in found["loc"][1:]) or str(found["loc"][0]), fault=found["msg"])
        for found in error.errors()[:20]
    ]
    body = described(422, "; ".join(f"{fault.field}: {fault.fault}" for fault in faults))
    return answer(body.model_copy(update={"faults": faults}))


def _of_the_core(request: Request, error: Any) -> Response:
    status = status_of(error)
    if status >= 500:
        LOG.error("%s %s: %s", request.method, request.url.path, error)
    settings = request.app.state.service.settings
    detail = without_paths(error.happened, {str(settings.data): "the store", str(settings.images): "the folder of images"})
    return answer(described(status, detail, error.remedies))


def _database(request: Request, error: Any) -> Response:
    LOG.error("%s %s: the database failed: %s", request.method, request.url.path, type(error.orig).__name__)
    return answer(described(503, "the database does not answer", (Remedy("try again"),)), {"Retry-After": "5"})


def _unexpected(request: Request, error: Exception) -> Response:
    LOG.exception("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer(described(500, "an error that was not expected; the log of the service has it"))
