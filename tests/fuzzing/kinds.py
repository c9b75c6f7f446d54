"""What is damaged, how, and which command then reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzzing import mutators, seeds
from fuzzing.child import LOAD_BUNDLE, LOAD_CHECKPOINT, LOAD_MODEL, LOAD_RECIPE

OUT = "out"
"""Where a command writes, inside the folder of its case."""

BLIND = mutators.BLIND


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of input."""

    make: Callable[[Path], None]
    """Writes a good input into a folder."""
    mutators: tuple[Callable, ...]
    arguments: tuple[str, ...]
    """Of the command that reads it; its exit code is 0 for the good input."""
    prepare: tuple[str, ...] = ()
    """A command that is run once on what ``make`` wrote; what it makes is damaged."""
    damaged: str = "**/*"
    """Which files are damaged."""
    mend: Callable[[Path], None] = lambda _: None
    """Makes right what would hide the damage, such as a checksum."""
    lives_in: str = OUT
    """Where the results are looked at."""
    suffixes: tuple[tuple[str, tuple[Callable, ...]], ...] = ()
    """Mutators of files of one suffix, in place of the others."""


def _analyze(name, *more):
    return ("analyze", name, "--out", OUT, "--bundle", "classical", "--mpp", "0.25", *more)


def _image(make, name, *known):
    return Kind(make=make, mutators=(*BLIND, *known, *known), arguments=_analyze(name, "--format", "csv", "--format", "tiles"))


def _regions(make, name, mutators_of):
    return Kind(
        make=lambda folder: (seeds.png(folder), make(folder)),
        prepare=_analyze("a.png", "--format", "csv"),
        mutators=mutators_of,
        damaged=name,
        arguments=("score", f"{OUT}/a", "--regions", name),
    )


_IN_RESULTS = (
    (".json", (*BLIND, mutators.json_value, mutators.json_value, mutators.json_value)),
    (".csv", (*BLIND, mutators.table_row, mutators.table_row, mutators.table_row)),
)

KINDS = {
    "png": _image(seeds.png, "a.png", mutators.png_chunk),
    "jpeg": _image(seeds.jpeg, "a.jpg", mutators.jpeg_marker),
    "tiff": _image(seeds.tiff, "a.tif", mutators.tiff_tag, mutators.tiff_tag),
    "tiled tiff": _image(seeds.tiled_tiff, "a.tif", mutators.tiff_tag, mutators.tiff_tag),
    "ome-tiff": _image(seeds.ome_tiff, "a.ome.tif", mutators.tiff_tag, mutators.tiff_tag),
    "svs": _image(seeds.svs, "a.svs", mutators.tiff_tag, mutators.tiff_tag),
    "jpeg tiff": _image(seeds.jpeg_tiff, "a.tif", mutators.tiff_tag, mutators.jpeg_marker),
    "zip of an ome-zarr": _image(seeds.zipped_zarr, "a.ome.zarr.zip"),
    "ome-zarr": _image(seeds.ome_zarr, "a.ome.zarr", mutators.json_value),
    "geojson": _regions(seeds.geojson, "a.geojson", (*BLIND, *[mutators.json_value] * 6)),
    "boxes": _regions(seeds.boxes, "a.csv", (*BLIND, *[mutators.table_row] * 6)),
    "bundle": Kind(
        make=lambda folder: (seeds.png(folder), seeds.bundle(folder)),
        mutators=BLIND,
        damaged="bundle/*",
        suffixes=_IN_RESULTS,
        arguments=("analyze", "a.png", "--out", OUT, "--bundle", "bundle", "--threads", "1", "--format", "csv"),
    ),
    "zip of a bundle": Kind(
        make=seeds.zipped_bundle, mutators=BLIND, damaged="bundle.zip", arguments=(LOAD_BUNDLE, "bundle.zip")
    ),
    "graph": Kind(
        make=seeds.bundle,
        mutators=BLIND,
        mend=seeds.state_checksums,
        damaged="bundle/model.onnx",
        arguments=(LOAD_BUNDLE, "bundle"),
    ),
    "result": Kind(
        make=seeds.png,
        prepare=_analyze("a.png", "--format", "csv", "--format", "tiles", "--format", "geojson"),
        mutators=BLIND,
        damaged=f"{OUT}/a/*",
        suffixes=_IN_RESULTS,
        arguments=("score", OUT, "--threshold", "0.4"),
    ),
    "maps": Kind(
        make=seeds.png,
        prepare=_analyze("a.png", "--format", "csv", "--format", "ome-tiff"),
        mutators=(*BLIND, mutators.tiff_tag),
        damaged=f"{OUT}/a/*",
        suffixes=_IN_RESULTS,
        arguments=("segment", OUT, "--out", "again", "--format", "csv"),
        lives_in="again",
    ),
    "recipe": Kind(
        make=seeds.recipe, mutators=(*BLIND, *[mutators.setting] * 8), damaged="a.toml", arguments=(LOAD_RECIPE, "a.toml")
    ),
    "published model": Kind(
        make=seeds.published,
        mutators=BLIND,
        damaged="model/*",
        suffixes=((".txt", (*BLIND, *[mutators.setting] * 8)),),
        arguments=(LOAD_MODEL, "model"),
    ),
    "checkpoint": Kind(make=seeds.checkpoint, mutators=BLIND, damaged="a.pt", arguments=(LOAD_CHECKPOINT, "a.pt")),
}
