"""A model bundle: a folder (or a zip of it) with ``manifest.json`` and ONNX weights.

Loading a bundle checks the SHA-256 of every weight file and executes nothing. Each file is read once and the bytes that were
checked are the bytes that are used; large files wait for their use in a private copy, see ``counterstain.inference.weights``.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from counterstain.errors import BundleError
from counterstain.inference.bundle_files import MANIFEST as MANIFEST
from counterstain.inference.bundle_files import OpenFile, open_bundle
from counterstain.inference.graphs.check import check_operators
from counterstain.inference.weights import CheckedWeights, source_of
from counterstain.panel import DEVICE_NAMES, Panel
from counterstain.tiling.stains import HEMATOXYLIN_AND_DAB, STAIN_HUES

FORMAT_VERSION = 1

MAX_TILE_PX = 8192
"""Largest side of a tile: one takes 0.8 GB before the network sees it."""

MAX_WEIGHT_FILES = 64

_FILE_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_. -]{0,126}[A-Za-z0-9_-])?")

_MAX_FAULTS = 20
"""Mistakes of a manifest that a message lists; the manifest of a stranger could have a million."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"must be printable, got {text[:80]!r}")
    return text


Line = Annotated[str, Field(max_length=1000), AfterValidator(_printable)]
"""A text that is shown to people and written into tables: a terminal would obey control characters in it."""


class WeightFile(BaseModel):
    """One file of weights, relative to the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    file: str = Field(max_length=300)
    sha256: Annotated[str, Field(max_length=64), AfterValidator(_printable)]

    @model_validator(mode="after")
    def _stays_inside(self) -> Self:
        path = PurePosixPath(self.file)
        named_well = all(_FILE_PART.fullmatch(part) and part.split(".")[0].lower() not in DEVICE_NAMES for part in path.parts)
        if not path.parts or path.is_absolute() or not named_well or self.file != path.as_posix():
            raise ValueError(f"{self.file!r} must be a file inside the bundle, in letters, digits, and _ - . within a name")
        if path.as_posix().lower() == MANIFEST:
            raise ValueError(f"{self.file!r} cannot be the manifest itself")
        return self


_Shift = Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)]
_Scale = Annotated[float, Field(ge=1e-6, le=1000, allow_inf_nan=False)]
_Area = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class Normalisation(BaseModel):
    """The network reads ``(x - mean) / std`` for RGB x in [0, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    mean: tuple[_Shift, _Shift, _Shift] = (0.5, 0.5, 0.5)
    std: tuple[_Scale, _Scale, _Scale] = (0.5, 0.5, 0.5)


class Manifest(BaseModel):
    """Everything about a model that is not a weight."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    format_version: Literal[1] = 1
    name: Line
    version: Line
    panel: Panel
    mpp: float = Field(ge=0.01, le=100, allow_inf_nan=False)
    """Micrometres per pixel that the model was trained at; slides are resampled to it."""
    tile_px: int = Field(gt=0, le=MAX_TILE_PX)
    margin_px: int = Field(ge=0)
    stride_px: int = Field(default=1, gt=0)
    """Tile sides must be multiples of this."""
    normalisation: Normalisation = Normalisation()
    decoder: str = Field(default="watershed", pattern=r"^[a-z][a-z0-9_]*$")
    """What cuts the maps into nuclei, by a name of ``counterstain.cells.decoders.names``; an unknown one is refused before work
    starts."""
    expected_nuclear_area_um2: tuple[_Area, _Area]
    """The range in which the median nuclear area of an image normally lies; outside it a warning says so."""
    stains: tuple[str, ...] = Field(default=HEMATOXYLIN_AND_DAB, max_length=len(STAIN_HUES))
    """What the images of the training were stained with; other stains are warned of."""
    licence: Line
    training_data: tuple[Line, ...] = Field(default=(), max_length=1000)
    weights: tuple[WeightFile, ...] = Field(default=(), max_length=MAX_WEIGHT_FILES)

    @field_validator("stains")
    @classmethod
    def _stains_have_names(cls, stains: tuple[str, ...]) -> tuple[str, ...]:
        if not stains or set(stains) - STAIN_HUES.keys():
            raise ValueError(f"expected one or more of {', '.join(STAIN_HUES)}")
        return stains

    @model_validator(mode="after")
    def _tile_has_a_core(self) -> Self:
        if self.tile_px <= 2 * self.margin_px or self.tile_px % self.stride_px:
            raise ValueError(
                f"tile_px {self.tile_px} must be more than twice margin_px {self.margin_px} "
                f"and a multiple of stride_px {self.stride_px}"
            )
        return self

    @model_validator(mode="after")
    def _names_and_ranges_are_sound(self) -> Self:
        names = [weight.file.lower() for weight in self.weights]
        if len(set(names)) != len(names):
            raise ValueError(f"weight files must differ, in more than upper and lower case: {names}")
        low, high = self.expected_nuclear_area_um2
        if low >= high:
            raise ValueError(f"expected_nuclear_area_um2 must be a range, the smaller number first, got {low:g} and {high:g}")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A model that was read and checked."""

    source: Path
    """The folder or zip it came from."""
    manifest: Manifest
    weights: Mapping[str, bytes]
    """File name in the manifest -> content; ``graph_of`` gives a large one without reading it again."""
    fingerprint: str
    """SHA-256 of the manifest, which holds those of the weights."""


def default_bundle_path() -> Path:
    """Return the folder of the bundle that comes with the package."""
    return Path(__file__).parents[1] / "bundles" / "default"


def load_bundle(path: str | Path) -> Bundle:
    """Read and check a bundle.

    Parameters
    ----------
    path : a folder with ``manifest.json``, or a zip of that folder or of its files.

    Raises
    ------
    BundleError
        When a file or a key is missing, a checksum differs, or the format is not known.
    """
    path = Path(path)
    with open_bundle(path) as open_file:
        return _load(path, open_file)


def graph_of(bundle: Bundle) -> bytes | Path:
    """Return the only ONNX graph of a bundle as a runtime loads it: its content, or a private copy when it is large.

    The copy is removed with the bundle, so a runtime that reads the path later must keep the bundle.

    Raises
    ------
    BundleError
        When the bundle has none, or several, or it holds what no graph of a bundle may: see ``counterstain.inference.graphs``.
    """
    graphs = [name for name in bundle.weights if name.endswith(".onnx")]
    if len(graphs) != 1:
        raise BundleError(f"the bundle {bundle.source} lists {len(graphs)} .onnx files, expected 1")
    graph = source_of(bundle.weights, graphs[0])
    check_operators(graph, f"{graphs[0]} of the bundle {bundle.source}")
    return graph


def _load(source: Path, open_file: OpenFile) -> Bundle:
    with _part(source, MANIFEST), open_file(MANIFEST) as stream:
        text = stream.read()
    manifest, weights = _parse_manifest(source, text), CheckedWeights()
    for weight in manifest.weights:
        with _part(source, weight.file), open_file(weight.file) as stream:
            _check(source, weight, weights.take(weight.file, stream))
    return Bundle(source=source, manifest=manifest, weights=weights, fingerprint=hashlib.sha256(text).hexdigest())


@contextmanager
def _part(source: Path, name: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise BundleError(f"the bundle {source} has no readable {name}: {reason}") from error


def _parse_manifest(source: Path, text: bytes) -> Manifest:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{MANIFEST} of {source} is not JSON: {error}") from error
    found = values.get("format_version", FORMAT_VERSION) if isinstance(values, dict) else None
    if found != FORMAT_VERSION:
        raise BundleError(
            f"the bundle {source} has format version {str(found)[:40]}, this version of counterstain reads {FORMAT_VERSION}; "
            "to upgrade, in an updated clone of its repository run: pip install --force-reinstall ."
        )
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        faults = [_describe(fault) for fault in error.errors(include_input=False, include_url=False)[:_MAX_FAULTS]]
        raise BundleError("\n  ".join([f"{MANIFEST} of {source} is not valid:", *faults])) from error


def _describe(fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    return f"missing key: {key}" if fault["type"] == "missing" else f"{key[:200] or 'manifest'}: {fault['msg'][:1000]}"


def _check(source: Path, weight: WeightFile, found: str) -> None:
    if found != weight.sha256:
        raise BundleError(
            f"{weight.file} of the bundle {source} was altered or damaged: expected SHA-256 {weight.sha256}, found {found}; "
            "copy it again, or, for the model of the package, in a clone of its repository run: pip install --force-reinstall ."
        )


def write_bundle(folder: str | Path, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle folder, replacing one of that name, and return it as loaded.

    The folder appears complete or not at all.

    Parameters
    ----------
    folder : its parent must exist.
    manifest : its ``weights`` are ignored and computed.
    files : name -> content of each weight file; other files, such as a model card, are listed the same way.

    Raises
    ------
    BundleError
        When it cannot be written, or something that is not a bundle stands in its place.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError(f"{folder} exists and is not a bundle; choose another name, so that it is not replaced")
    hashes = tuple(WeightFile(file=name, sha256=hashlib.sha256(content).hexdigest()) for name, content in files.items())
    text = manifest.model_copy(update={"weights": hashes}).model_dump_json(indent=2) + "\n"
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as workspace:
            complete = Path(workspace) / "new"
            for name, content in {**files, MANIFEST: text.encode()}.items():
                (complete / name).parent.mkdir(parents=True, exist_ok=True)
                (complete / name).write_bytes(content)
            _put_in_place(complete, folder, Path(workspace) / "old")
    except OSError as error:
        raise BundleError(f"cannot write the bundle {folder}: {error.strerror or error}") from error
    return load_bundle(folder)


def _put_in_place(complete: Path, folder: Path, old: Path) -> None:
    """Rename the new folder to its name; the one before it comes back when that fails."""
    if not folder.exists():
        complete.rename(folder)
        return
    folder.rename(old)
    try:
        complete.rename(folder)
    except OSError:
        old.rename(folder)
        raise
