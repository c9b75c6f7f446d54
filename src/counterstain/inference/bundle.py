"""A model bundle: a folder (or a zip of it) with ``manifest.json`` and ONNX weights.

Loading a bundle checks the SHA-256 of every weight file and executes nothing. Each file is read once and the bytes that were
checked are the bytes that are used; large files wait for their use in a private copy, see ``counterstain.inference.weights``.
"""

import hashlib
import json
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from counterstain.errors import BundleError
from counterstain.inference.weights import CheckedWeights, source_of
from counterstain.panel import Panel

FORMAT_VERSION = 1

MANIFEST = "manifest.json"

MAX_FILE_BYTES = 2_000_000_000
"""Files of a zip that would unpack to more are refused."""


class WeightFile(BaseModel):
    """One file of weights, relative to the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    sha256: str

    @model_validator(mode="after")
    def _stays_inside(self) -> Self:
        path = PurePosixPath(self.file)
        if path.is_absolute() or ".." in path.parts or "\\" in self.file or ":" in self.file or not path.parts:
            raise ValueError(f"{self.file!r} must be a file inside the bundle")
        return self


class Normalisation(BaseModel):
    """The network reads ``(x - mean) / std`` for RGB x in [0, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


class Manifest(BaseModel):
    """Everything about a model that is not a weight."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    name: str
    version: str
    panel: Panel
    mpp: float = Field(gt=0, allow_inf_nan=False)
    """Micrometres per pixel that the model was trained at; slides are resampled to it."""
    tile_px: int = Field(gt=0)
    margin_px: int = Field(ge=0)
    stride_px: int = Field(default=1, gt=0)
    """Tile sides must be multiples of this."""
    normalisation: Normalisation = Normalisation()
    decoder: Literal["watershed", "deepliif"] = "watershed"
    expected_nuclear_area_um2: tuple[float, float]
    """The range in which the median nuclear area of an image normally lies; outside it a warning says so."""
    licence: str
    training_data: tuple[str, ...] = ()
    weights: tuple[WeightFile, ...] = ()

    @model_validator(mode="after")
    def _tile_has_a_core(self) -> Self:
        if self.tile_px <= 2 * self.margin_px or self.tile_px % self.stride_px:
            raise ValueError(
                f"tile_px {self.tile_px} must be more than twice margin_px {self.margin_px} "
                f"and a multiple of stride_px {self.stride_px}"
            )
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


OpenFile = Callable[[str], BinaryIO]
"""A file of the bundle by its name, to be read once; KeyError or OSError when it is not there."""


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
    try:
        if path.is_dir():
            return _load(path, lambda name: (path / name).open("rb"))
        with zipfile.ZipFile(path) as archive:
            return _load(path, _zip_opener(archive))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:  # damaged, or encrypted
        raise BundleError(f"{path} is neither a bundle folder nor a readable zip of one: {error}") from error
    except FileNotFoundError as error:
        raise BundleError(f"{path} does not exist; expected a bundle folder or a zip of one") from error
    except OSError as error:
        raise BundleError(f"cannot read the bundle {path}: {error.strerror or error}") from error


def graph_of(bundle: Bundle) -> bytes | Path:
    """Return the only ONNX graph of a bundle as a runtime loads it: its content, or a private copy when it is large.

    The copy is removed with the bundle, so a runtime that reads a path later than at once must keep the bundle.

    Raises
    ------
    BundleError
        When the bundle has none, or several.
    """
    graphs = [name for name in bundle.weights if name.endswith(".onnx")]
    if len(graphs) != 1:
        raise BundleError(f"the bundle {bundle.source} lists {len(graphs)} .onnx files, expected 1")
    return source_of(bundle.weights, graphs[0])


def _zip_opener(archive: zipfile.ZipFile) -> OpenFile:
    """Return an opener of files beside the manifest, at the top of the archive or in its only folder."""
    tops = {name.split("/")[0] for name in archive.namelist()}
    folder = "" if MANIFEST in archive.namelist() or len(tops) != 1 else f"{tops.pop()}/"

    def opened(name: str) -> BinaryIO:
        if archive.getinfo(folder + name).file_size > MAX_FILE_BYTES:
            raise BundleError(f"{name} in {archive.filename} unpacks to more than {MAX_FILE_BYTES:,} bytes")
        return cast(BinaryIO, archive.open(folder + name))

    return opened


def _load(source: Path, opened: OpenFile) -> Bundle:
    with _part(source, MANIFEST), opened(MANIFEST) as stream:
        text = stream.read()
    manifest, weights = _parse_manifest(source, text), CheckedWeights()
    for weight in manifest.weights:
        with _part(source, weight.file), opened(weight.file) as stream:
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
    except ValueError as error:
        raise BundleError(f"{MANIFEST} of {source} is not JSON: {error}") from error
    found = values.get("format_version", FORMAT_VERSION) if isinstance(values, dict) else None
    if found != FORMAT_VERSION:
        raise BundleError(
            f"the bundle {source} has format version {found}, this version of counterstain reads {FORMAT_VERSION}; "
            "to upgrade, in an updated clone of its repository run: pip install --force-reinstall ."
        )
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        raise BundleError("\n  ".join([f"{MANIFEST} of {source} is not valid:", *map(_describe, error.errors())])) from error


def _describe(fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    return f"missing key: {key}" if fault["type"] == "missing" else f"{key or 'manifest'}: {fault['msg']}"


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
        When it cannot be written.
    """
    folder = Path(folder)
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
