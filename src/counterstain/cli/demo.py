"""``counterstain demo``: the whole path on a real image and a drawn one, neither of which needs a download."""

from pathlib import Path
from typing import Any

import click

from counterstain.cli.settings import FolderOut, model_options, report_options


@click.command()
@click.option("--out", default="counterstain-demo", show_default=True, type=FolderOut(), help="Output folder.")
@model_options
@report_options
def demo(out: Path, **settings: Any) -> None:
    """Analyse a real image and a drawn one.

    Needs no download. The real one is FHL2 in the glands of a human colon, which comes with scikit-image.
    """
    from counterstain.cli.demo_fields import analyze_demo

    if analyze_demo(out, settings):
        raise click.exceptions.Exit(1)
