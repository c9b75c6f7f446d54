"""``counterstain serve`` and ``counterstain worker``: the service, and a process that does its jobs."""

from pathlib import Path
from typing import Any

import click

from counterstain.cli.settings import not_empty
from counterstain.extras import require

NEEDED = ("fastapi", "uvicorn", "sqlalchemy", "alembic", "prometheus_client")


def place_options(command: Any) -> Any:
    """Add the options that say where the service keeps what it has."""
    options = (
        click.option(
            "--data",
            type=click.Path(path_type=Path, file_okay=False),
            default="counterstain-data",
            show_default=True,
            help="Folder of uploads, results and the database.",
        ),
        click.option(
            "--database", default="", help="Address of a database, such as postgresql+psycopg://...; default: a file."
        ),
        click.option(
            "--images",
            type=click.Path(path_type=Path, file_okay=False, exists=True),
            help="Folder of slides that need no upload.",
        ),
        click.option(
            "--bundle",
            default="default",
            show_default=True,
            callback=lambda ctx, param, value: not_empty(value, param, ctx),
            help="Model: a name (see models) or a path.",
        ),
        click.option(
            "--lease-s",
            type=click.FloatRange(1, 3600),
            default=30.0,
            show_default=True,
            help="How long a job stays with a worker that is not heard of.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    default=1,
    show_default=True,
    help="Processes that do jobs; 0 leaves them to worker.",
)
@place_options
def serve(host: str, port: int, workers: int, **settings: Any) -> None:
    """Serve the page and the API on this machine.

    Open the address in a browser, drop an image, and look at what was inferred. No image leaves the machine.
    """
    if host not in ("127.0.0.1", "localhost", "::1"):
        raise click.BadParameter("only this machine may be served: 127.0.0.1, localhost or ::1.", param_hint="host")
    require("counterstain serve", NEEDED, "serve")
    from counterstain.web.serving import serve as serving

    click.echo(f"counterstain listens at http://{host}:{port}/ (Ctrl-C ends it)", err=True)
    serving(settings_of(settings), host, port, workers)


@click.command()
@place_options
def worker(**settings: Any) -> None:
    """Do the jobs of a service, one after the other, until told to end.

    Any number of them, on any number of machines, may share a database and a folder of data.
    """
    require("counterstain worker", NEEDED, "serve")
    import logging
    import threading

    from counterstain.web.working.process import run_worker

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    run_worker(settings_of(settings), threading.Event())


def settings_of(settings: dict[str, Any]) -> Any:
    """Return the settings of the service."""
    from counterstain.web.settings import ServiceSettings

    data, images = Path(settings["data"]).absolute(), settings["images"]
    bundle = settings["bundle"]
    return ServiceSettings(
        data=data,
        database=settings["database"],
        images=images.absolute() if images else None,
        bundle=bundle,
        bundles=tuple(dict.fromkeys((bundle, "default", "classical"))),
        lease_s=settings["lease_s"],
    )
