"""Serve the application: an address, a number of workers, and nothing else to decide."""

from functools import partial

import uvicorn

from counterstain.web.app import make_app
from counterstain.web.settings import ServiceSettings
from counterstain.web.working.children import children


def serve(settings: ServiceSettings, host: str, port: int, workers: int) -> None:
    """Serve until the process is told to end."""
    app = make_app(settings, partial(children, settings, workers))
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="info",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        limit_concurrency=1000,
    )
