"""``counterstain``: the group of all commands. Imports nothing but click, so that ``--help`` is there at once."""

import atexit
import gc
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from counterstain.cli.showing.wording import in_options
from counterstain.errors import CounterstainError, UsageError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

OBJECTS_BETWEEN_COLLECTIONS = 10_000
"""Python's own number is 700 or 2,000; so many small objects take a megabyte."""


def _analyze() -> click.Command:
    from counterstain.cli.analyze import analyze

    return analyze


def _score() -> click.Command:
    from counterstain.cli.score import score

    return score


def _segment() -> click.Command:
    from counterstain.cli.segment import segment

    return segment


def _demo() -> click.Command:
    from counterstain.cli.demo import demo

    return demo


def _models() -> click.Command:
    from counterstain.cli.models import models

    return models


def _doctor() -> click.Command:
    from counterstain.cli.doctor import doctor

    return doctor


def _train() -> click.Command:
    from counterstain.cli.train import train

    return train


def _export() -> click.Command:
    from counterstain.cli.export import export

    return export


def _import_deepliif() -> click.Command:
    from counterstain.cli.import_deepliif import import_deepliif

    return import_deepliif


def _serve() -> click.Command:
    from counterstain.cli.serve import serve

    return serve


def _worker() -> click.Command:
    from counterstain.cli.serve import worker

    return worker


COMMANDS: dict[str, Callable[[], click.Command]] = {
    "analyze": _analyze,
    "score": _score,
    "segment": _segment,
    "demo": _demo,
    "models": _models,
    "doctor": _doctor,
    "serve": _serve,
    "worker": _worker,
    "train": _train,
    "export": _export,
    "import-deepliif": _import_deepliif,
}
"""Command -> what imports it. A command's module imports only click at its top; the rest when it is called."""


class LazyGroup(click.Group):
    """A group that imports a command when it is named, and turns this package's errors into messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None when there is none of this name."""
        return COMMANDS[cmd_name]() if cmd_name in COMMANDS else None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of this package ends it with one message and no traceback."""
        logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)  # what is wrong with a file, its error says
        try:
            with _ended_by_sigterm(), _rare_collections():
                return super().invoke(ctx)
        except CounterstainError as error:
            click.echo("\n".join([f"Error: {in_options(error)}", *getattr(error, "__notes__", [])]), err=True)
            return ctx.exit(EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED)
        except KeyboardInterrupt:
            return _interrupted(ctx)
        except ImportError as error:
            if not _was_interrupted(error):
                raise
            return _interrupted(ctx)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM, which batch systems send, end the block as Ctrl-C does; does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python look for cyclic garbage more rarely in the block, and not once more when the program ends.

    It looks hundreds of times while packages are imported, where there is none, and takes a tenth of the time of an image.
    """
    before = gc.get_threshold()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *before[1:])
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _interrupted(ctx: click.Context) -> Any:
    click.echo("Interrupted. What was finished is complete, and nothing is half-written.", err=True)
    return ctx.exit(EXIT_INTERRUPTED)


def _was_interrupted(error: BaseException | None) -> bool:
    """Return whether Ctrl-C is behind an error: packages turn what stops their own imports into an ImportError."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="counterstain")
def main() -> None:
    """Count the nuclei of immunohistochemistry images.

    Infers from an ordinary image what a multiplex immunofluorescence assay of the same tissue would show, and counts in it.
    """
