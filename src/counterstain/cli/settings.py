"""Options that several commands share, and how their values become what the pipeline takes."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from counterstain.panel import OUTLINE_PX

Command = Callable[..., Any]


class FiniteRange(click.FloatRange):
    """A range that refuses ``nan``, which every comparison lets through, and ``inf``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or fail with what is wrong about it."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class FolderOut(click.Path):
    """A folder that results are written to; its name is not empty."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or fail where it is empty: that would be the current folder."""
        return super().convert(not_empty(value, param, ctx), param, ctx)


def not_empty(value: Any, param: click.Parameter | None = None, ctx: click.Context | None = None) -> Any:
    """Return the value of an option, or fail where it is an empty text."""
    if value == "":
        raise click.BadParameter("it is empty.", ctx, param)
    return value


def series_number(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return the number of an image in its file, or ``all``, or fail where it is neither."""
    if value is None or value == "all" or (value.isascii() and value.isdecimal()):
        return value
    raise click.BadParameter(f"{value} is neither a number from 0 on nor all.", ctx, param)


POSITIVE = FiniteRange(min=0, min_open=True)
UNIT = FiniteRange(0, 1)


def model_options(command: Command) -> Command:
    """Add the options that choose and run a model."""
    bundle = click.option(
        "--bundle",
        default="default",
        show_default=True,
        callback=lambda ctx, param, value: not_empty(value, param, ctx),
        help="Model: a name (see models) or a path.",
    )
    threads = click.option(
        "--threads",
        type=click.IntRange(min=1),
        help="CPU threads; default: all that may be used. The classical model always uses one.",
    )
    engine = click.option(
        "--engine",
        type=click.Choice(["onnxruntime", "openvino"]),
        default="onnxruntime",
        show_default=True,
        help="What runs the network; openvino needs the [openvino] extra.",
    )
    precision = click.option(
        "--precision",
        type=click.Choice(["f32", "bf16"]),
        default="f32",
        show_default=True,
        help="Arithmetic of the network; bf16 is faster, changes counts a little, and needs --engine openvino.",
    )
    return bundle(threads(engine(precision(command))))


def bundle_options(command: Command) -> Command:
    """Add the options that choose how exactly a bundle keeps its weights."""
    precision = click.option(
        "--precision",
        type=click.Choice(["fp32", "fp16", "int8"]),
        default="fp32",
        show_default=True,
        help="fp16 halves the file; int8 is faster, and refused where it segments worse.",
    )
    validation = click.option(
        "--validation",
        type=click.Path(path_type=Path, dir_okay=False),
        help="List of annotated image sets; int8 measures on its validation split.",
    )
    return precision(validation(command))


def region_options(command: Command) -> Command:
    """Add the option that names parts of a slide."""
    return click.option(
        "--regions",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Score these too: polygons from QuPath (.geojson), or a CSV of boxes.",
    )(command)


def score_options(command: Command) -> Command:
    """Add the option that chooses scores."""
    return click.option(
        "--score",
        "scores",
        metavar="NAME",
        multiple=True,
        help="Compute only this score; repeat for more. Default: all; a wrong name lists them.",
    )(command)


def picture_options(command: Command) -> Command:
    """Add the options that say how nuclei are drawn."""
    return click.option(
        "--outline-px",
        type=click.IntRange(1, 20),
        default=OUTLINE_PX,
        show_default=True,
        help="Width of the outlines on overlay.png.",
    )(command)


def report_options(command: Command) -> Command:
    """Add the options that say how much is shown."""
    quiet = click.option("--quiet", "-q", is_flag=True, help="Show nothing but errors.")
    as_json = click.option("--json", "as_json", is_flag=True, help="Write one JSON document to standard output.")
    return quiet(as_json(command))


def cell_options(command: Command) -> Command:
    """Add the options that decide what is a nucleus and which nuclei are positive."""
    options = (
        click.option(
            "--decoder",
            type=click.Choice(["watershed", "deepliif"]),
            help="How maps are cut into nuclei; default: as the model says.",
        ),
        click.option("--threshold", type=UNIT, help="Probability from which a nucleus is positive; default: 0.5."),
        click.option(
            "--marker-threshold", type=UNIT, help="Inferred marker above which a nucleus is positive whatever its probability."
        ),
        click.option("--min-area-um2", type=FiniteRange(min=0), help="Smaller nuclei are dropped."),
        click.option("--max-area-um2", type=POSITIVE, help="Larger nuclei are dropped."),
    )
    for option in reversed(options):
        command = option(command)
    return command
