"""``counterstain export``: make a bundle of a trained run."""

from pathlib import Path

import click

from counterstain.cli.settings import bundle_options


@click.command()
@click.argument("run", type=click.Path(path_type=Path, file_okay=False))
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", default="compact", show_default=True, help="Name in the manifest.")
@click.option("--version", default="1", show_default=True, help="Version in the manifest.")
@click.option("--checkpoint", default="best.pt", show_default=True, help="File of the run to export.")
@click.option("--card", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Model card to put into the bundle.")
@bundle_options
def export(
    run: Path,
    bundle: Path,
    name: str,
    version: str,
    checkpoint: str,
    card: Path | None,
    precision: str,
    validation: Path | None,
) -> None:
    """Make a bundle of a trained run.

    Writes the folder BUNDLE from the folder RUN, after proving that ONNX Runtime gives the numbers of PyTorch.
    """
    from counterstain.cli.bundle_checks import bundle_faults, refuse, run_faults
    from counterstain.extras import TRAINING, require

    require("training", TRAINING, "train")
    texts = {"--name": name, "--version": version}
    refuse([*run_faults(run, checkpoint, card), *bundle_faults(bundle, texts, precision, validation)])
    from typing import cast

    from counterstain.training.exporting.export import WeightPrecision, export_run
    from counterstain.training.options import PairedOptions
    from counterstain.training.validate import listed_set

    files = {"MODEL_CARD.md": card.read_bytes()} if card else {}
    difference = export_run(
        run / checkpoint,
        bundle,
        name=name,
        version=version,
        files=files,
        precision=cast(WeightPrecision, precision),
        samples=listed_set(PairedOptions(manifest=str(validation))) if validation else (),
    )
    click.echo(f"Wrote {bundle}; ONNX Runtime differs from PyTorch by at most {difference:.1e}")
