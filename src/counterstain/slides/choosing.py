"""Choose the image of a file with several that is analysed: the one of full size that is neither a smaller copy nor a label.

Knows no file format: a reader lists what a file holds, and takes what is chosen. Labels, macros and overviews may show a name,
so they are never chosen, not even where they are asked for.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from counterstain.errors import Remedy, UnreadableSlideError, UnsupportedSlideError
from counterstain.geometry import Size
from counterstain.slides.base import Origin
from counterstain.slides.pixel_size import Sides

_ASSOCIATED = re.compile(
    r"(?<![a-z])(labels?|macro|overview|preview|thumbnail|thumb|barcode|navigator)(?![a-z])", re.IGNORECASE
)

COARSER = 1.5
"""An image whose stated pixels are larger than those of the finest by this factor is an overview of it."""

SMALL_SHARE = 0.25
"""An image that states no pixel size and has less than this share of the pixels of the largest is not taken for a field, and
a warning says so."""

EACH = "all"
"""Instead of a number: every image of full size, each with a result of its own."""

OF_ITS_OWN = Remedy("save the image to analyse as a file of its own")

MAX_NAMED = 8
"""Number of images that a message lists at most; a file may hold hundreds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One image of a file, as its headers describe it."""

    number: int
    """Its place in the file, from 0."""
    name: str = ""
    """Empty where the file gives it none."""
    size: Size
    sides: Sides | None = None
    """Height and width of a pixel in micrometres, where the file states any that can be believed."""
    is_reduced: bool = False
    """Whether the file marks it as a smaller copy of another image."""

    def __str__(self) -> str:
        named = f' "{self.name}"' if self.name else ""
        return f"series {self.number}{named} ({self.size.width} x {self.size.height} px)"


def is_associated(name: str) -> bool:
    """Return whether an image is a label, a macro, an overview or a thumbnail by its name."""
    return _ASSOCIATED.search(name) is not None


def choose(candidates: Sequence[Candidate], path: Path, series: int | None = None) -> Origin:
    """Return the image that is analysed, and what the record says of it and of the others.

    Parameters
    ----------
    candidates : every image of the file, in its order; the smaller levels of a pyramid are none.
    path : names the file in messages.
    series : number of the image that the user asks for; None takes the one of full size.

    Raises
    ------
    UnreadableSlideError
        The file holds no image.
    UnsupportedSlideError
        It holds several of full size and none is asked for, or the one that is asked for is not there or is a label.
    """
    if not candidates:
        raise UnreadableSlideError(f"{path} holds no image; the file is damaged or truncated")
    if series is not None:
        return _origin(_asked(candidates, path, series), candidates)
    fields = of_full_size(candidates)
    if not fields:
        raise UnsupportedSlideError(
            f"{path} holds labels and overviews only, by their names: {_listed(candidates)}; they may show the name of a "
            "person and are not read",
            OF_ITS_OWN,
        )
    if len(fields) > 1:
        raise UnsupportedSlideError(
            f"{path} holds {len(fields)} images of full size: {_listed(fields)}",
            Remedy("choose one", "series", str(fields[0].number)),
            Remedy("analyse each", "series", EACH),
        )
    return _origin(fields[0], candidates)


def of_full_size(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the images that are neither labels nor smaller copies, in their order; a single image is one whatever it says."""
    if len(candidates) == 1:
        return list(candidates)
    named = [candidate for candidate in candidates if not is_associated(candidate.name)]
    full = [candidate for candidate in named if not candidate.is_reduced] or named
    finest = min((_mpp(candidate.sides) for candidate in full if candidate.sides), default=0.0)
    fine = [candidate for candidate in full if not candidate.sides or not _mpp(candidate.sides) > COARSER * finest]
    largest = max((candidate.size.area for candidate in fine), default=0)
    return [candidate for candidate in fine if candidate.sides or candidate.size.area >= SMALL_SHARE * largest]


def _asked(candidates: Sequence[Candidate], path: Path, series: int) -> Candidate:
    found = next((candidate for candidate in candidates if candidate.number == series), None)
    if found is None:
        raise UnsupportedSlideError(f"{path} has no series {series}; it holds {_listed(candidates)}")
    if len(candidates) > 1 and is_associated(found.name):
        raise UnsupportedSlideError(
            f"{path}: {found} is a label or an overview by its name, which may show the name of a person and is never read",
            OF_ITS_OWN,
        )
    return found


def _origin(chosen: Candidate, candidates: Sequence[Candidate]) -> Origin:
    others = [candidate for candidate in candidates if candidate is not chosen]
    doubtful = [other for other in others if not (other.sides or other.is_reduced or is_associated(other.name))]
    warnings = []
    if doubtful and not all(other.size.area >= SMALL_SHARE * chosen.size.area for other in doubtful):
        warnings.append(f"only {chosen} of the file was analysed; it does not say what the others are: {_listed(doubtful)}")
    return Origin(
        series=chosen.number,
        name=chosen.name,
        images=len(candidates),
        fields=len(of_full_size(candidates)),
        left_out=tuple(str(other) for other in others),
        warnings=tuple(warnings),
    )


def _mpp(sides: Sides) -> float:
    return max(sides)


def _listed(candidates: Sequence[Candidate]) -> str:
    more = [f"and {len(candidates) - MAX_NAMED} more"] if len(candidates) > MAX_NAMED else []
    return ", ".join([*map(str, candidates[:MAX_NAMED]), *more])
