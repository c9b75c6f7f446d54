"""``counterstain segment``: results with maps in, new results with other nuclei out."""

from pathlib import Path
from typing import Any

import click

from counterstain.cli.settings import FolderOut, cell_options, picture_options, region_options, report_options, score_options


@click.command()
@click.argument("results", type=click.Path(path_type=Path, file_okay=False))
@click.option("--out", required=True, type=FolderOut(), help="Folder for the new results; made when missing.")
@click.option(
    "--slide", type=click.Path(path_type=Path), help="The image of the one result, where it is no longer at its old place."
)
@click.option("--format", "formats", metavar="NAME", multiple=True, help="Write only this; repeat for more; see analyze.")
@click.option("--overwrite", is_flag=True, help="Replace the results of an earlier run.")
@cell_options
@score_options
@region_options
@picture_options
@report_options
def segment(results: Path, out: Path, **settings: Any) -> None:
    """Cut the maps of RESULTS into nuclei again, with other options and without the model.

    RESULTS is the folder of one result, or the folder of many that analyze wrote. Options that are not given have their
    defaults, not the values of the result. The image is read for the optical densities.
    """
    from counterstain.cli.again import segment_again

    if segment_again(results, out, settings):
        raise click.exceptions.Exit(1)
