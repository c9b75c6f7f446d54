"""The boundary around the work on one image: whatever goes wrong there is reported, and the other images are done."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from counterstain.errors import CounterstainError, Remedy, SlideError, UnexpectedError, in_full
from counterstain.results.summary import Failure
from counterstain.slides.opening import as_unicode

Result = TypeVar("Result")

TOO_LITTLE_MEMORY = "the memory of this computer is too small for it"
SMALLER_PIECES = Remedy("save it as a tiled, pyramidal TIFF"), Remedy("cut it")
REPORT = Remedy("report it in the issue tracker of the project, with the traceback that counterstain.log holds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why the work on an image gave nothing."""

    error: CounterstainError
    """In words that a person can read."""
    kind: str
    """Name of the type of the error as it was raised."""
    traceback: str = ""
    """Where it was raised, for those who mend it; empty where ``error`` says all that there is to say."""

    def failure(self, name: str, source: object) -> Failure:
        """Return what the summary, the log and the document say of the image."""
        return Failure(
            name=name,
            source=as_unicode(str(source)),
            error=as_unicode(in_full(self.error)),
            kind=self.kind,
            remedies=self.error.remedies,
            traceback=as_unicode(self.traceback),
        )


def attempt(work: Callable[[], Result]) -> Result | Fault:
    """Return what the work on one image gives, or why it gives nothing.

    Every error is caught, unforeseen ones too: a fault of this program or of a library that one odd file brings to light must
    not take the other images with it. What ends a run, such as Ctrl-C, is not caught.
    """
    try:
        return work()
    except Exception as error:  # noqa: BLE001 (the one boundary per image)
        return fault_of(error)


def fault_of(error: Exception) -> Fault:
    """Return an error as one that a person can read, with its notes."""
    kind = type(error).__name__
    if isinstance(error, CounterstainError):
        return Fault(error=error, kind=kind)
    if isinstance(error, MemoryError):
        return Fault(error=_with_notes(SlideError(TOO_LITTLE_MEMORY, *SMALLER_PIECES), error), kind=kind)
    if isinstance(error, OSError) and error.strerror:
        text = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
        return Fault(error=_with_notes(SlideError(text), error), kind=kind)
    unexpected = UnexpectedError(f"an error that was not expected here, {kind}: {error}", REPORT)
    return Fault(error=_with_notes(unexpected, error), kind=kind, traceback="".join(traceback.format_exception(error)))


def _with_notes(error: CounterstainError, raised: Exception) -> CounterstainError:
    for note in getattr(raised, "__notes__", []):
        error.add_note(note)
    return error
