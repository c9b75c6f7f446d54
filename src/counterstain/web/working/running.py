"""One claimed job: the image is analysed as the command line does it, and its progress goes to the database."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterstain.errors import CounterstainError, Remedy
from counterstain.extras import missing
from counterstain.jobs.analyzing import analyze_images
from counterstain.jobs.boundary import fault_of
from counterstain.jobs.order import Order, order_from
from counterstain.outputs.names import default_formats
from counterstain.progress import Progress
from counterstain.web.problems import RemedyBody, without_paths
from counterstain.web.settings import ServiceSettings
from counterstain.web.store.queue import tell
from counterstain.web.working.lease import Lease
from counterstain.web.working.places import result_folder, source_of

TOLD_EVERY_S = 0.3
"""The page is told of progress no more often than this."""


@dataclass(slots=True)
class JobListener:
    """Writes how far a job is, and stops it where it is to stop."""

    lease: Lease
    error: BaseException | None = None
    _told_at: float = field(default=0.0)

    def started(self, images: int) -> None:
        """Hear that the work begins."""
        self.lease.check()

    def begin(self, name: str) -> "JobListener":
        """Hear that the work on the image begins."""
        return self

    def step(self, progress: Progress) -> None:
        """Write the progress down, and end the work where nobody wants it any more."""
        self.lease.check()
        if progress.done < progress.total and time.monotonic() - self._told_at < TOLD_EVERY_S:
            return
        self._told_at = time.monotonic()
        tell(self.lease.engine, self.lease.claimed, progress.stage, progress.done_mpx, progress.total_mpx)

    def end(self, *, failed: bool = False) -> None:
        """Hear that the image has come to its end."""

    def failed(self, name: str, error: BaseException) -> None:
        """Keep why the image has no result."""
        self.error = error

    def warned(self, name: str, message: str) -> None:
        """Do nothing: the record of the result has the warnings."""


def run_job(settings: ServiceSettings, lease: Lease) -> dict[str, Any] | None:
    """Do a job and return why it failed; None where there is a result.

    Raises
    ------
    StoppedError
        The job is not to go on here.
    """
    claimed, listener = lease.claimed, JobListener(lease)
    home = settings.results / claimed["job_id"]
    if claimed["attempts"] > 1:
        _remove_marks(home)
    source = source_of(settings, claimed)
    try:
        analyze_images((str(source),), order_of(settings, claimed["options"], home), listener)
    except CounterstainError as error:
        listener.error = error
    if listener.error is None and result_folder(settings, claimed) is not None:
        return None
    names = {str(source): claimed["name"], str(home): "the result", str(settings.data): "the store"}
    return problem_of(listener.error or CounterstainError("there is no result"), names)


def order_of(settings: ServiceSettings, options: Mapping[str, Any], home: Path) -> Order:
    """Return what is asked for of the core, by the options of a job."""
    asked = {name: value for name, value in options.items() if name not in ("keep_maps", "formats")}
    maps = () if missing(("zarr",)) or not options.get("keep_maps", True) else ("ome-zarr",)
    formats = dict.fromkeys((*(options.get("formats") or default_formats()), *maps))
    return order_from({"bundle": settings.bundle, **asked, "formats": _fitting(formats)}, home)


def _fitting(formats: Mapping[str, None]) -> tuple[str, ...]:
    """Return the formats; an OME-TIFF holds the same maps as an OME-Zarr, which is read in pieces."""
    return tuple(name for name in formats if not (name == "ome-tiff" and "ome-zarr" in formats))


def problem_of(error: BaseException, names: Mapping[str, str]) -> dict[str, Any]:
    """Return what a client is told of an error, with its own names in place of those of files."""
    known = error if isinstance(error, CounterstainError) else fault_of(error).error if isinstance(error, Exception) else None
    text = known.happened if known else "the work was stopped"
    remedies = [
        RemedyBody(do=without_paths(remedy.do, names), field=remedy.setting, value=remedy.value).model_dump()
        for remedy in _for_the_web(known)
    ]
    return {"detail": without_paths(text, names), "remedies": remedies}


def _for_the_web(error: CounterstainError | None) -> tuple[Remedy, ...]:
    """Return the remedies that a client has: it chooses no folders."""
    return tuple(remedy for remedy in (error.remedies if error else ()) if remedy.setting not in ("out", "overwrite", "slide"))


def _remove_marks(home: Path) -> None:
    """Remove the marks of a worker that is gone: its number may be that of another process, on another machine too."""
    for mark in home.glob(".*.run"):
        shutil.rmtree(mark, ignore_errors=True)
