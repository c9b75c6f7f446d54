"""The application: settings in, an ASGI application out."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from counterstain.files import explained
from counterstain.web.problems import ProblemBody, handle_problems
from counterstain.web.routes.files import router as files
from counterstain.web.routes.images import router as images
from counterstain.web.routes.jobs import router as jobs
from counterstain.web.routes.nuclei import router as nuclei
from counterstain.web.routes.operations import router as operations
from counterstain.web.routes.results import router as results
from counterstain.web.routes.tiles import router as tiles
from counterstain.web.routes.uploads import router as uploads
from counterstain.web.service import Service
from counterstain.web.settings import ServiceSettings
from counterstain.web.store.connecting import connect

STATIC = Path(__file__).parent / "static"
"""The built page; absent where only the API was built."""

ROUTES = (uploads, images, jobs, results, tiles, nuclei, files, operations)

FAULTS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemBody, "content": {"application/problem+json": {}}}
    for status in (400, 401, 403, 404, 405, 409, 413, 415, 421, 422, 429, 503, 507)
}


def make_app(settings: ServiceSettings, workers: Callable[[], AbstractContextManager[None]] = nullcontext) -> FastAPI:
    """Return the application; the database and the folders are made.

    Parameters
    ----------
    workers : is entered when the service starts and left when it ends.
    """
    for folder in (settings.uploads, settings.results):
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
    service = Service(settings=settings, engine=connect(settings.database_url))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = workers()
        running.__enter__()
        try:
            yield
        finally:
            await run_in_threadpool(running.__exit__, None, None, None)
            service.engine.dispose()

    app = FastAPI(
        title="Counterstain",
        version=version("counterstain"),
        description="Infers multiplex immunofluorescence from IHC images and counts nuclei. For research, not for diagnosis.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        responses=FAULTS,
    )
    app.state.service = service
    handle_problems(app)
    for router in ROUTES:
        app.include_router(router)
    if STATIC.is_dir():
        app.mount("/", StaticFiles(directory=STATIC, html=True), name="page")
    return app
