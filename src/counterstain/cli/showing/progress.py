"""How far a run is: bars for a person, one JSON object a line for a program. Both go to standard error."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from counterstain.cli.showing.console import show_error, show_warning
from counterstain.cli.showing.pace import Pace
from counterstain.jobs.listening import ImageListener, Listener, Silence
from counterstain.progress import Progress

JSON_INTERVAL_S = 1.0
"""Between two lines of one stage; its first and last step are always told."""


class Bars(Protocol):
    """Shows the progress of a run."""

    def started(self, images: int) -> None:
        """Begin with a run."""

    def begin(self, name: str) -> ImageListener:
        """Begin with an image."""


@dataclass(frozen=True, slots=True)
class OnTheConsole:
    """The ``Listener`` of the command line: progress as the user wants it, errors and warnings as they come."""

    bars: Bars
    warnings: bool = True

    def started(self, images: int) -> None:
        """Show how many images there are."""
        self.bars.started(images)

    def begin(self, name: str) -> ImageListener:
        """Show that an image is at work."""
        return self.bars.begin(name)

    def failed(self, name: str, error: BaseException) -> None:
        """Write the error."""
        show_error(name, error)

    def warned(self, name: str, message: str) -> None:
        """Write the warning."""
        if self.warnings:
            show_warning(name, message)


class JsonLines:
    """One JSON object a line: slide, stage, done, total, megapixels per second, seconds left."""

    def started(self, images: int) -> None:
        """Write nothing: each line is about one image."""

    def begin(self, name: str) -> "JsonLinesOfImage":
        """Write the first line of an image."""
        return JsonLinesOfImage(name)


class JsonLinesOfImage:
    """The lines of one image; each has its name."""

    def __init__(self, name: str) -> None:
        self._slide, self._stage, self._told = name, "", 0.0
        self._tell("begin", 0, 1, None, None)

    def step(self, progress: Progress) -> None:
        """Write a line, unless one of this image has just been written."""
        stage, done, total = progress.stage, progress.done, progress.total
        is_first = stage != self._stage
        if is_first:
            self._stage, self._pace = stage, Pace(progress)
        if is_first or done == total or time.monotonic() - self._told >= JSON_INTERVAL_S:
            self._tell(stage, done, total, *self._pace.at(progress))

    def end(self, *, failed: bool = False) -> None:
        """Write the last line."""
        self._tell("failed" if failed else "done", 1, 1, None, 0.0)

    def _tell(self, stage: str, done: int, total: int, speed: float | None, left_s: float | None) -> None:
        self._told = time.monotonic()
        line = {
            "slide": self._slide,
            "stage": stage,
            "done": done,
            "total": total,
            "megapixels_per_s": None if speed is None else round(speed, 3),
            "seconds_left": None if left_s is None else round(left_s, 1),
        }
        with _one_line_at_a_time:
            sys.stderr.write(json.dumps(line, ensure_ascii=True) + "\n")
            sys.stderr.flush()


_one_line_at_a_time = threading.Lock()


@contextmanager
def listening(*, quiet: bool, as_json: bool = False, warnings: bool = True) -> Iterator[Listener]:
    """Yield the listener of a run; see ``progress_bars`` for what of its progress is shown."""
    with progress_bars(quiet=quiet, as_json=as_json) as bars:
        yield OnTheConsole(bars, warnings)


@contextmanager
def progress_bars(*, quiet: bool, as_json: bool = False) -> Iterator[Bars]:
    """Yield JSON lines where asked for, else bars where standard error is a terminal, else silence; ``quiet`` has no bars."""
    if as_json:
        yield JsonLines()
        return
    if quiet or not sys.stderr.isatty():
        yield Silence()
        return
    from counterstain.cli.showing.bars import terminal_bars

    with terminal_bars() as bars:
        yield bars
