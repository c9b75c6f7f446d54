"""A framed table on a terminal. Imported only where there is one: rich is slow to import."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def show_framed(rows: Sequence[Sequence[str]]) -> None:
    """Write headings and rows of text that is safe to show: the first column folds, the others are numbers on the right."""
    headings, *others = rows
    table = Table(box=SIMPLE_HEAD)
    table.add_column(headings[0], overflow="fold")
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in others:
        table.add_row(*map(escape, row))
    Console().print(table)
