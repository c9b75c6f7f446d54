"""What ``analyze`` and ``demo`` do once their options are read: start the work, and show its results."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from counterstain.cli.showing.console import show_summary, show_warning, visible
from counterstain.cli.showing.progress import listening
from counterstain.extras import install_command
from counterstain.jobs.analyzing import analyze_images
from counterstain.jobs.document import document
from counterstain.jobs.listening import Listener
from counterstain.jobs.order import order_from
from counterstain.jobs.outcome import Content, Outcome
from counterstain.outputs.names import skipped_formats
from counterstain.results.record import Record


def analyze_paths(named: tuple[str, ...], out: Path, settings: Mapping[str, Any]) -> bool:
    """Analyse what was named and return whether anything failed.

    Raises
    ------
    CounterstainError
        Nothing could be done at all: an unknown model or format, a damaged bundle, an output folder that cannot be made.
    """
    order = order_from(settings, out)
    return show_run(lambda listener: analyze_images(named, order, listener), settings)


def show_run(run: Callable[[Listener], Outcome[Record]], settings: Mapping[str, Any]) -> bool:
    """Show the progress of a run, then its results; return whether anything failed."""
    quiet, as_json = settings["quiet"], settings["as_json"]
    with listening(quiet=quiet or as_json, as_json=settings.get("progress") == "json") as listener:
        outcome = run(listener)
    if not quiet:
        show_warnings(outcome)
    if as_json:
        show_json(outcome)
    elif not quiet:
        show_table(outcome, defaults=not settings["formats"])
    return bool(outcome.failures)


def show_json(outcome: Outcome[Content]) -> None:
    """Write the results of a run as one JSON document to standard output."""
    sys.stdout.write(json.dumps(document(outcome), indent=2, ensure_ascii=True, allow_nan=False) + "\n")


def show_warnings(outcome: Outcome[Record]) -> None:
    """Write every warning with the name of its image to standard error."""
    for name, content in outcome.records:
        for message in content.warnings:
            show_warning(name, message)


def show_table(outcome: Outcome[Record], *, defaults: bool) -> None:
    """Write the table of results and where they are."""
    if outcome.records:
        show_summary(outcome.records)
    failed = f", {len(outcome.failures)} failed" if outcome.failures else ""
    kept = f", {len(outcome.kept)} kept from earlier runs" if outcome.kept else ""
    click.echo(f"{outcome.fresh} done{kept}{failed}; results in {visible(str(outcome.out))}")
    if defaults and skipped_formats():
        click.echo(f"not written: {', '.join(skipped_formats())}; for it run: {install_command('slides')}")
