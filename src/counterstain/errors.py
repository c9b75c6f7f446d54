"""Every error this package raises on purpose.

::

    CounterstainError
    ├── UsageError            the request itself is wrong: an unknown name, a threshold out of range
    ├── SlideError            one input cannot be used; the others of a batch go on
    │   ├── UnreadableSlideError     missing, empty, truncated, not an image, a decompression bomb
    │   ├── UnsupportedSlideError    a valid image of a kind that is refused (CMYK, animated, ...)
    │   └── MissingResolutionError   a whole slide that does not say its micrometres per pixel
    ├── BundleError           a model bundle is incomplete, altered or of an unknown format
    ├── BackendError          a model returned something that is not a map (NaN, wrong shape)
    ├── OutputError           a result cannot be written (no permission, disk full)
    └── TrainingError         training data or a checkpoint cannot be used

A message says what was expected, what was found and what to do about it. A foreign error is wrapped with ``raise ... from``
and the path or the tile is added with ``add_note``.
"""


class CounterstainError(Exception):
    """Base of every error that this package raises on purpose."""


class UsageError(CounterstainError):
    """The request itself is wrong; nothing was done."""


class SlideError(CounterstainError):
    """One input cannot be used."""


class UnreadableSlideError(SlideError):
    """The file is missing, empty, truncated, not an image, or too large to decode safely."""


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


def in_full(error: BaseException) -> str:
    """Return the message of an error with its notes, which say where it was met."""
    return "; ".join([str(error), *getattr(error, "__notes__", [])])
