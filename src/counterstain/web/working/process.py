"""The process of a worker that a server starts: its settings come in as one line, and it ends when the server is gone."""

import json
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from counterstain.web.settings import ServiceSettings
from counterstain.web.store.connecting import connect
from counterstain.web.working.worker import work


def run_worker(settings: ServiceSettings, closing: threading.Event) -> None:
    """Work until ``closing`` is set, or the process is told to end; jobs then go on elsewhere."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: closing.set())
    engine = connect(settings.database_url)
    work(settings, engine, closing)
    engine.dispose()


def packed(settings: ServiceSettings) -> str:
    """Return what a worker must know, as a line; it is not among the arguments of its process, where everybody reads it."""
    return json.dumps(
        {
            "data": str(settings.data),
            "database": settings.database,
            "images": str(settings.images) if settings.images else None,
            "bundle": settings.bundle,
            "lease_s": settings.lease_s,
            "attempts": settings.attempts,
        }
    )


def unpacked(line: str) -> ServiceSettings:
    """Return the settings of a line that ``packed`` wrote."""
    told: dict[str, Any] = json.loads(line)
    images = told.pop("images")
    return ServiceSettings(**{**told, "data": Path(told["data"]), "images": Path(images) if images else None})


def main() -> None:
    """Be a worker of the server at the other end of standard input."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    settings, closing = unpacked(sys.stdin.readline()), threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()  # returns when the server is gone, however it went
        closing.set()

    threading.Thread(target=wait_for_the_end, name="server", daemon=True).start()
    run_worker(settings, closing)


if __name__ == "__main__":
    main()
