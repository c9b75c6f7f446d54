"""``counterstain score``: results in, other scores of the same nuclei out."""

from pathlib import Path
from typing import Any

import click

from counterstain.cli.settings import UNIT, region_options, report_options, score_options


@click.command()
@click.argument("results", type=click.Path(path_type=Path, file_okay=False))
@click.option("--threshold", type=UNIT, help="Probability from which a nucleus is positive; default: as in the result.")
@click.option(
    "--marker-threshold",
    type=UNIT,
    help="Inferred marker above which a nucleus is positive; default: as in the result; 1 switches it off.",
)
@score_options
@region_options
@report_options
def score(results: Path, **settings: Any) -> None:
    """Score the nuclei of RESULTS with other thresholds or regions.

    RESULTS is the folder of one result, or the folder of many that analyze wrote. No image and no model is needed. The scores
    are written to scores.json in each folder and to one scores.csv beside them; the other files stay as they are.
    """
    from counterstain.cli.again import score_again

    if score_again(results, settings):
        raise click.exceptions.Exit(1)
