"""Turn what the user named into images, each with a name for its output folder."""

import glob
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from counterstain.errors import ELSEWHERE, SlideError, UnreadableSlideError, UsageError
from counterstain.results.folder import is_output
from counterstain.slides.companions import without_companions
from counterstain.slides.opening import SLIDE_SUFFIXES, as_unicode, slide_name
from counterstain.slides.sniffing import is_ome_zarr, is_zarr

OUR_FILES = re.compile(r"summary\.csv|analysis\.json|counterstain(-\d+-of-\d+)?\.log", re.IGNORECASE)
"""Names of the files that stand, or are looked for, where the folders of results stand."""

MAX_NAME_ROUNDS = 40
"""How many parent folders may be needed to tell two inputs apart."""

ZIPPED_ZARR = ".zarr.zip"
"""How the name of an OME-Zarr in one file ends; other ZIP files of a folder are no images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One image to analyse."""

    path: Path
    name: str
    """Name of its output folder, different for every input of a run."""
    series: int | None = None
    """Number of the image in a file of several; None takes the one of full size."""


def find_inputs(named: tuple[str, ...]) -> tuple[list[Input], list[tuple[str, SlideError]]]:
    """Return the images behind files, folders and patterns, each once, and what could not be used.

    A folder stands for the images directly in it, a pattern (``*``, ``?``, ``**``) for the images it matches. Of both, hidden
    files and the outputs of earlier runs are left out; an output that is named itself is refused.

    Raises
    ------
    UsageError
        A name is empty.
    """
    paths: dict[Path, Path] = {}  # resolved -> as named, so that one file named twice is analysed once
    faults: list[tuple[str, SlideError]] = []
    if "" in named:
        raise UsageError("one of the PATHS is empty; name a file, a folder or a pattern, or . for the current folder")
    for name in named:
        try:
            for path in _images_behind(name):
                paths.setdefault(path.resolve(), path)
        except SlideError as error:
            faults.append((name, error))
    ordered = list(paths.values())
    return [Input(path=path, name=name) for path, name in zip(ordered, folder_names(ordered), strict=True)], faults


def folder_names(paths: list[Path]) -> list[str]:
    """Return a different folder name for each path: its stem, with as much more of the path as tells equal stems apart.

    ``a/x.png`` and ``b/x.png`` become ``a_x`` and ``b_x``; ``x.png`` and ``x.jpg`` become ``x_png`` and ``x_jpg``. Names that
    differ only in case count as the same, as they do on some disks; paths that do are numbered: ``X.PNG`` and ``x.png`` become
    ``X`` and ``x_2``. No folder is hidden or has the name of a file that stands beside it. The order of the paths changes no
    name.
    """
    rounds = [0] * len(paths)
    ends = _numbers([str(path.absolute()) for path in paths])
    for _ in range(MAX_NAME_ROUNDS):
        names = [f"{_candidate(path, round_)}{end}" for path, round_, end in zip(paths, rounds, ends, strict=True)]
        uses = Counter(name.casefold() for name in names)
        if len(uses) == len(names):
            return names
        rounds = [round_ + (uses[name.casefold()] > 1) for name, round_ in zip(names, rounds, strict=True)]
    raise UsageError("some inputs have names too alike for folders of their own", ELSEWHERE)


def _numbers(texts: list[str]) -> list[str]:
    """Return an ending for each text: none, or ``_2`` and on for texts that differ from others in case alone."""
    alike: dict[str, list[str]] = {}
    for text in sorted(set(texts)):
        alike.setdefault(text.casefold(), []).append(text)
    places = [alike[text.casefold()].index(text) for text in texts]
    return [f"_{place + 1}" if place else "" for place in places]


def _images_behind(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir() and not is_zarr(path):
        return _listed(sorted(path.iterdir()), f"{path} holds no image that can be read ({_suffixes()})")
    if path.exists() or not glob.has_magic(name):
        return [_checked(path)]
    matches = sorted(Path(match) for match in glob.glob(name, recursive=True))  # noqa: PTH207 (absolute patterns)
    return _listed(matches, f"no image matches {name}")


def _checked(path: Path) -> Path:
    if not path.exists():
        raise UnreadableSlideError(f"{path} does not exist")
    if not path.is_file() and not is_zarr(path):
        raise UnreadableSlideError(f"{path} is a directory or a device, not a file")
    if is_output(path):
        raise UnreadableSlideError(f"{path} was written by an earlier run; name the original image instead")
    return path


def _listed(candidates: list[Path], message_when_none: str) -> list[Path]:
    images = without_companions([path for path in candidates if _is_image(path)])
    if not images:
        raise UnreadableSlideError(message_when_none)
    return images


def _is_image(path: Path) -> bool:
    known = path.suffix.lower() in SLIDE_SUFFIXES or path.name.lower().endswith(ZIPPED_ZARR)
    if path.name.startswith(".") or not known or not (path.is_file() or is_ome_zarr(path)):
        return False
    return not is_output(path)


def _visible(stem: str) -> str:
    """Return a name that every disk accepts, for a folder that is not hidden, no parent folder and no name of our files."""
    encoding = sys.getfilesystemencoding()
    visible = stem.encode(encoding, "replace").decode(encoding).lstrip(".") or "image"
    return f"{visible}_image" if OUR_FILES.fullmatch(visible) else visible


def _suffixes() -> str:
    return ", ".join(sorted({*SLIDE_SUFFIXES, ZIPPED_ZARR}))


def _candidate(path: Path, round_: int) -> str:
    """Return the stem; the parent and the stem; the stem and the suffix; then more and more parents with both."""
    stem, suffix = _visible(slide_name(path)), as_unicode(path.suffix.lstrip("."))
    parents = [as_unicode(part) for part in path.absolute().parent.parts if part not in ("..", "/")]
    if round_ == 0:
        return stem
    if round_ == 1:
        return _visible("_".join([*parents[-1:], stem]))
    count = round_ - 2
    return _visible("_".join([*parents[len(parents) - count :][:count], stem, suffix]))
