"""Read a list of image sets: which files belong together, of which patient they are, and what they are used for.

A set list is TOML or CSV. Sets are split by patient (or slide), never by tile, and that is checked. Nothing here decodes
pixels.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from PIL import Image

from counterstain.errors import TrainingError
from counterstain.options import load_options
from counterstain.training.datasets.folders import STRIP_PANELS

Split = Literal["train", "validation", "test"]

_OWN_COLUMNS = ("patient", "split", "strip")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetEntry:
    """One line of a set list: one or many image sets of one patient."""

    patient: str
    """The patient or slide; all its sets are in one split."""
    split: Split
    strip: str = ""
    """Pattern of files with all panels side by side, relative to the set list."""
    images: dict[str, str] = field(default_factory=dict)
    """Name -> pattern of files for ``image`` (or the first name); for the others a file, or a folder with files of the same
    name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetList:
    """A set list as it is written."""

    sets: tuple[SetEntry, ...]
    panels: tuple[str, ...] = STRIP_PANELS
    """What the panels of a strip show, from left to right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelFile:
    """Where one image of a set is: panel ``index`` of ``count`` side by side in a file."""

    name: str
    path: Path
    index: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """Co-registered images of one field, not read yet."""

    name: str
    patient: str
    panels: tuple[PanelFile, ...]


def read_set_list(path: Path, split: Split, names: tuple[str, ...]) -> tuple[ImageSet, ...]:
    """Return the sets of one split, each with (at least) the images that are asked for.

    Parameters
    ----------
    names : of images that every set must have.

    Returns
    -------
    Sets in the order of the list, files of a pattern in alphabetical order; empty when the split is.

    Raises
    ------
    TrainingError
        A patient is in two splits, a file is listed twice, a pattern finds nothing, an image is missing, or the images of a set
        differ in size.
    """
    listed = _read_csv(path) if path.suffix == ".csv" else load_options(SetList, path)
    _check_patients(path, listed.sets)
    _check_files(path, [found for entry in listed.sets for found in _expand(entry, listed.panels, path.parent)])
    chosen = [found for entry in listed.sets if entry.split == split for found in _expand(entry, listed.panels, path.parent)]
    for found in chosen:
        _check_set(found, names)
    return tuple(chosen)


def _read_csv(path: Path) -> SetList:
    entries = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise TrainingError(f"cannot read the set list {path}: {error.strerror or error}") from error
    for number, row in enumerate(rows, start=2):
        if row.get("split") not in ("train", "validation", "test") or not row.get("patient"):
            raise TrainingError(
                f"{path}, line {number}: expected a patient and a split of train, validation or test, got {row}"
            )
        images = {name: value for name, value in row.items() if name not in _OWN_COLUMNS and value}
        split = cast(Split, row["split"])
        entries.append(SetEntry(patient=row["patient"], split=split, strip=row.get("strip") or "", images=images))
    return SetList(sets=tuple(entries))


def _check_patients(path: Path, entries: tuple[SetEntry, ...]) -> None:
    splits: dict[str, str] = {}
    for entry in entries:
        before = splits.setdefault(entry.patient, entry.split)
        if before != entry.split:
            raise TrainingError(
                f"{path}: patient {entry.patient!r} is in the splits {before} and {entry.split}; tiles of one patient resemble "
                "each other, so put all of them into one split"
            )


def _check_files(path: Path, sets: list[ImageSet]) -> None:
    owners: dict[tuple[Path, int], str] = {}
    for one in sets:
        for panel in one.panels:
            if owners.setdefault((panel.path.resolve(), panel.index), one.patient) != one.patient:
                raise TrainingError(f"{path}: {panel.path} is listed for two patients")


def _expand(entry: SetEntry, panels: tuple[str, ...], root: Path) -> Iterator[ImageSet]:
    """Yield one set per file that the entry's pattern finds."""
    if bool(entry.strip) == bool(entry.images):
        raise TrainingError(f"the set of patient {entry.patient!r} needs either a strip or images, and not both")
    if entry.strip:
        for path in _found(root, entry.strip, entry.patient):
            strip = tuple(PanelFile(name=name, path=path, index=i, count=len(panels)) for i, name in enumerate(panels))
            yield ImageSet(name=path.stem, patient=entry.patient, panels=strip)
        return
    lead = "image" if "image" in entry.images else next(iter(entry.images))
    for path in _found(root, entry.images[lead], entry.patient):
        files = {name: path if name == lead else _partner(root / value, path.name) for name, value in entry.images.items()}
        alone = tuple(PanelFile(name=name, path=file) for name, file in files.items())
        yield ImageSet(name=path.stem, patient=entry.patient, panels=alone)


def _found(root: Path, pattern: str, patient: str) -> list[Path]:
    path = Path(pattern)
    base = Path(path.anchor) if path.is_absolute() else root
    exact = (root / path).is_file()  # a name may hold brackets, which a pattern would read otherwise
    paths = [root / path] if exact else sorted(base.glob(str(path.relative_to(path.anchor))))
    if not paths:
        raise TrainingError(f"patient {patient!r}: no file {pattern} in {root}")
    return paths


def _partner(path: Path, name: str) -> Path:
    return path / name if path.is_dir() else path


def _check_set(found: ImageSet, names: tuple[str, ...]) -> None:
    has = {panel.name for panel in found.panels}
    missing = [name for name in names if name not in has]
    if missing:
        raise TrainingError(
            f"the set {found.name!r} of patient {found.patient!r} has no {', '.join(missing)}; it has {', '.join(sorted(has))}"
        )
    sizes = {panel.name: _size(panel, found) for panel in found.panels}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {width} x {height}" for name, (width, height) in sizes.items())
        raise TrainingError(f"the images of the set {found.name!r} of patient {found.patient!r} differ in size (px): {listed}")


def _size(panel: PanelFile, found: ImageSet) -> tuple[int, int]:
    """Return width and height of one panel, from the header of its file."""
    try:
        with Image.open(panel.path) as image:
            width, height = image.size
    except FileNotFoundError as error:
        raise TrainingError(
            f"the {panel.name} of the set {found.name!r} of patient {found.patient!r} is missing: {panel.path}"
        ) from error
    except OSError as error:
        raise TrainingError(f"the {panel.name} of the set {found.name!r} is not a readable image: {panel.path}") from error
    if width % panel.count:
        raise TrainingError(
            f"{panel.path}: expected {panel.count} panels of equal width side by side, got {width} x {height} px"
        )
    return width // panel.count, height
