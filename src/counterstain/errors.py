"""Every error this package raises on purpose.

::

    CounterstainError
    ├── UsageError            the request itself is wrong: an unknown name, a threshold out of range
    ├── SlideError            one input cannot be used; the others of a batch go on
    │   ├── UnreadableSlideError     missing, empty, truncated, not an image, a decompression bomb
    │   │   └── DamagedTileError         one tile; readers name it and go on with the others
    │   ├── UnsupportedSlideError    a valid image of a kind that is refused (CMYK, animated, ...)
    │   └── MissingResolutionError   a whole slide that does not say its micrometres per pixel
    ├── BundleError           a model bundle is incomplete, altered or of an unknown format
    ├── BackendError          a model returned something that is not a map (NaN, wrong shape)
    ├── OutputError           a result cannot be written (no permission, disk full)
    ├── TrainingError         training data or a checkpoint cannot be used
    └── UnexpectedError       a fault of this program, or of a library, that one input brought to light

A message says what was expected and what was found. What to do about it are the ``remedies``: data, as the same remedy is an
option of a command, a field of a form and a parameter of a function. A foreign error is wrapped with ``raise ... from`` and the
path or the tile is added with ``add_note``.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing that a person can do about an error."""

    do: str
    """Such as "choose another folder": what to do, in words that do not say where a setting is made."""
    setting: str = ""
    """Name of the setting that does it, such as ``out``; empty where none does."""
    value: str = ""
    """An example of its value; empty where that goes without saying."""

    def __str__(self) -> str:
        given = f"{self.setting} {self.value}".strip()
        return f"{self.do} ({given})" if given else self.do


ELSEWHERE = Remedy("choose another folder", "out")
REPLACE = Remedy("replace it", "overwrite")


class CounterstainError(Exception):
    """Base of every error that this package raises on purpose.

    Parameters
    ----------
    happened : what was expected and what was found.
    remedies : what to do about it, each of which helps; they stand in ``str()`` of the error too.
    """

    def __init__(self, happened: str = "", *remedies: Remedy) -> None:
        super().__init__(happened, *remedies)
        self.happened, self.remedies = happened, remedies

    def worded(self, word: Callable[[Remedy], str] = str) -> str:
        """Return what happened and what to do, with each remedy in the words of whoever shows the error."""
        *others, last = [word(remedy) for remedy in self.remedies] or [""]
        advice = f"{', '.join(others)}, or {last}" if others else last
        return f"{self.happened}; {advice}" if advice else self.happened

    def __str__(self) -> str:
        return self.worded()


class UsageError(CounterstainError):
    """The request itself is wrong; nothing was done."""


class SlideError(CounterstainError):
    """One input cannot be used."""


class UnreadableSlideError(SlideError):
    """The file is missing, empty, truncated, not an image, or too large to decode safely."""


class DamagedTileError(UnreadableSlideError):
    """One tile of a slide cannot be decoded. Readers name it (``Slide.damage``) and go on with the others."""


class UnsupportedSlideError(SlideError):
    """A valid image of a kind that is refused because reading it would mean guessing."""


class MissingResolutionError(SlideError):
    """A whole slide without a pixel size, and none was given."""


class BundleError(CounterstainError):
    """A model bundle is incomplete, altered, or of an unknown format."""


class BackendError(CounterstainError):
    """A model returned something that is not a set of maps."""


class OutputError(CounterstainError):
    """A result could not be written."""


class TrainingError(CounterstainError):
    """Training data, a training configuration or a checkpoint cannot be used."""


class UnexpectedError(CounterstainError):
    """A fault of this program, or of a library, that one input brought to light."""


def in_full(error: BaseException) -> str:
    """Return the message of an error with its notes, which say where it was met."""
    return "; ".join([str(error), *getattr(error, "__notes__", [])])
