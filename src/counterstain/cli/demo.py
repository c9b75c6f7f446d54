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
    """Analyse a drawn image and a real one.

    Needs no download. The drawn one is stained in its nuclei, as the models expect. The real one, which comes with
    scikit-image, is FHL2 in the glands of a human colon: it is stained in the cytoplasm, and shows how little the
    numbers mean then.
    """
    from counterstain.cli.demo_fields import analyze_demo

    failed = analyze_demo(out, settings)
    if not (settings["quiet"] or settings["as_json"]):
        click.echo("note: colon is stained in the cytoplasm, not in the nuclei: its percentage of positive nuclei means little")
    if failed:
        raise click.exceptions.Exit(1)
