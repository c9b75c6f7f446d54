"""What a person sees: the summary table, warnings and errors.

Results go to standard output, everything else to standard error.
"""

import re
import sys
from collections.abc import Sequence

import click

from counterstain.cli.showing.wording import in_options
from counterstain.results.record import Record
from counterstain.scoring.names import HEADINGS as SCORE_HEADINGS
from counterstain.scoring.names import MAIN

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
HEADINGS = ("Image", "Nuclei", "Positive", "Negative", SCORE_HEADINGS[MAIN], "95 % interval", "Warnings")


def visible(text: str) -> str:
    r"""Return text in which control characters are written out, as ``\x1b``, and bytes that are not text become U+FFFD."""
    whole = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), whole)


def show_error(name: str, error: BaseException) -> None:
    """Write one error with its notes to standard error."""
    name, message = visible(name), "\n  ".join(map(visible, [in_options(error), *getattr(error, "__notes__", [])]))
    click.echo(f"error: {name}: {message}" if name not in message else f"error: {message}", err=True)


def show_warning(name: str, message: str) -> None:
    """Write one warning to standard error."""
    click.echo(f"warning: {visible(name)}: {visible(message)}", err=True)


def show_summary(records: Sequence[tuple[str, Record]]) -> None:
    """Write the table of results: framed on a terminal, plain aligned columns in a pipe.

    Parameters
    ----------
    records : output folder's name and what ``analysis.json`` holds.
    """
    rows = [tuple(map(visible, summary_row(name, content))) for name, content in records]
    if sys.stdout.isatty():
        from counterstain.cli.showing.framed import show_framed

        show_framed([HEADINGS, *rows])
    else:
        show_columns([HEADINGS, *rows])


def show_columns(rows: Sequence[Sequence[str]]) -> None:
    """Write rows of text as aligned columns, two spaces apart."""
    rows = [[visible(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def summary_row(name: str, content: Record) -> tuple[str, ...]:
    """Return the cells of one result under ``HEADINGS``; a dash is a number that does not exist."""
    counts = content.counts
    score = next((score for score in content.scores if score.name == MAIN), None)
    value, (low, high) = (score.value, score.interval_95) if score else (None, (None, None))
    percent = "-" if value is None else f"{value:.1f}"
    interval = "-" if low is None or high is None else f"{low:.1f} to {high:.1f}"
    numbers = map(str, (counts.nuclei, counts.positive, counts.negative))
    return (name, *numbers, percent, interval, str(len(content.warnings)))
