"""``counterstain train``: run a training recipe, or go on with one that was stopped."""

from pathlib import Path

import click


@click.command()
@click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--set", "changes", multiple=True, metavar="NAME=VALUE", help="Change one option, e.g. loop.steps=500. Repeatable."
)
def train(config: Path, changes: tuple[str, ...]) -> None:
    """Train a network (needs the [train] extra).

    The TOML file CONFIG is the recipe.

    Running it again goes on from the last checkpoint. Follow it with: tensorboard --logdir runs
    """
    from counterstain.extras import TRAINING, require

    require("training", TRAINING, "train")
    from counterstain.options import load_options, parse_overrides
    from counterstain.training.loop import train as run_training
    from counterstain.training.recipe import TrainOptions

    options = load_options(TrainOptions, config, parse_overrides(changes))
    folder = run_training(options, click.echo)
    click.echo(f"Done: {folder}. Make a bundle of it with: counterstain export {folder} BUNDLE")
