"""``counterstain import-deepliif``: make a bundle of a model of the published DeepLIIF software."""

from pathlib import Path

import click

from counterstain.cli.settings import bundle_options


@click.command("import-deepliif")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", default="deepliif", show_default=True, help="Name in the manifest.")
@click.option("--version", default="1", show_default=True, help="Version in the manifest.")
@click.option("--licence", default="not stated", show_default=True, help="Licence of the weights, for the manifest.")
@click.option("--epoch", default="latest", show_default=True, help="Which checkpoints: the text before _net_ in their names.")
@click.option(
    "--seg-weights",
    metavar="W,W,...",
    help="Weights of the segmentations of the input and of each modality; else those of the published command.",
)
@bundle_options
@click.option("--weights", is_flag=True, help="Add weights.safetensors, for other programs and to go on training.")
def import_deepliif(
    folder: Path,
    bundle: Path,
    name: str,
    version: str,
    licence: str,
    epoch: str,
    seg_weights: str | None,
    precision: str,
    validation: Path | None,
    weights: bool,
) -> None:
    """Make a bundle of a published model.

    Reads train_opt.txt and the checkpoints in FOLDER, executes nothing in them, and writes the folder BUNDLE after proving that
    ONNX Runtime gives the numbers of PyTorch. Needs the [train] extra.
    """
    from counterstain.cli.bundle_checks import bundle_faults, model_faults, refuse, weights_in
    from counterstain.extras import TRAINING, require

    require("training", TRAINING, "train")
    texts = {"--name": name, "--version": version, "--licence": licence}
    refuse([*model_faults(folder, epoch, seg_weights), *bundle_faults(bundle, texts, precision, validation)])
    from typing import cast

    from counterstain.training.exporting.export import WeightPrecision, export_network
    from counterstain.training.exporting.weights import FILE, weights_file
    from counterstain.training.importing.deepliif import model_card, read_deepliif
    from counterstain.training.options import PairedOptions
    from counterstain.training.tasks.deepliif import exported_deepliif
    from counterstain.training.validate import listed_set

    click.echo(f"1 of 3: reading the options and checkpoints in {folder}", err=True)
    model = read_deepliif(folder, epoch=epoch, weights=weights_in(seg_weights))
    click.echo(f"2 of 3: putting {len(model.files)} files together", err=True)
    exported = exported_deepliif(model.network, model.panel, model.network.stride_px)
    manifest = exported.manifest(name=name, version=version, licence=licence)
    files = {"MODEL_CARD.md": model_card(model).encode()}
    if weights:
        files[FILE] = weights_file(model.network, model.options)
    click.echo("3 of 3: writing the graph and comparing its numbers with those of PyTorch; some minutes", err=True)
    difference = export_network(
        exported,
        manifest,
        bundle,
        files=files,
        precision=cast(WeightPrecision, precision),
        samples=listed_set(PairedOptions(manifest=str(validation))) if validation else (),
    )
    shown = ", ".join(f"{source} {weight:g}" for source, weight in model.network.weights.items()) or "none"
    click.echo(f"Segmentations and their weights: {shown}")
    click.echo(f"Wrote {bundle}; ONNX Runtime differs from PyTorch by at most {difference:.1e}")
