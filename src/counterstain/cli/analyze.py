"""``counterstain analyze``: images in, a folder of results for each out."""

from pathlib import Path
from typing import Any

import click

from counterstain.cli.settings import (
    POSITIVE,
    UNIT,
    FolderOut,
    cell_options,
    model_options,
    not_empty,
    picture_options,
    region_options,
    report_options,
    score_options,
    series_number,
)
from counterstain.cli.shard import ShardType

FORMAT_HELP = (
    "Write only this; repeat for more: modalities, segmentation, overlay, ome-tiff, csv, geojson, parquet, tiles, "
    "geojson.gz, ome-zarr, h5ad, spatialdata, density, deepliif (these six only when named), "
    "or json for analysis.json alone, which is always written."
)


@click.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("--out", required=True, type=FolderOut(), help="Folder for the results; made when missing.")
@click.option("--mpp", type=POSITIVE, help="Micrometres per pixel of the images, instead of what the files say.")
@click.option("--magnification", type=POSITIVE, help="The same as an objective: 40 is 0.25 um per pixel, 20 is 0.5.")
@click.option(
    "--series",
    metavar="N|all",
    callback=series_number,
    help="Image to analyse of a file with several of full size: its number, from 0, or all for a result of each.",
)
@click.option("--format", "formats", metavar="NAME", multiple=True, help=FORMAT_HELP)
@click.option(
    "--max-damaged-share",
    type=UNIT,
    default=0.05,
    show_default=True,
    help="Largest share of an image, 0 to 1, that may be damaged in its file; up to it, the rest is analysed, with a warning.",
)
@click.option("--overwrite", is_flag=True, help="Replace the results of an earlier run.")
@click.option(
    "--any-stain",
    is_flag=True,
    help="Also analyse images that do not show stained tissue in bright field (fluorescence, negatives, grey), with a warning.",
)
@model_options
@cell_options
@score_options
@region_options
@picture_options
@click.option(
    "--cluster",
    metavar="ADDRESS",
    callback=lambda ctx, param, value: not_empty(value, param, ctx),
    help="Work on a Dask cluster: address or file of a scheduler, or local:N for N processes here.",
)
@click.option(
    "--shard",
    type=ShardType(),
    help="Do part I of N of the images, as job I of an array of N does; each job is given the same PATHS.",
)
@click.option(
    "--progress",
    type=click.Choice(["bar", "json"]),
    default="bar",
    show_default=True,
    help="Bars on a terminal, or JSON lines on standard error.",
)
@report_options
def analyze(paths: tuple[str, ...], out: Path, **settings: Any) -> None:
    """Infer, segment, count and score every image of PATHS.

    PATHS are files, folders (the images directly in them) or patterns in quotes, such as "slides/**/*.tif". The results of
    slides/a.png are written to OUT/a; OUT/summary.csv has one row per image.

    Exit codes: 0 all done, 1 some images failed and the rest is done, 2 wrong usage, 130 interrupted.
    """
    if settings["mpp"] is not None and settings["magnification"] is not None:
        raise click.UsageError("give --mpp or --magnification, not both: they say the same thing")

    from counterstain.cli.run import analyze_paths

    failed = analyze_paths(paths, out, settings)
    if failed:
        raise click.exceptions.Exit(1)
