"""How far a run is: bars for a person, one JSON object a line for a program. Both go to standard error."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from counterstain.cli.console import visible

Stage = Literal["tiles", "cells"]
"""The network goes over tiles, then blocks of finished maps are cut into cells."""

JSON_INTERVAL_S = 1.0
"""Between two lines of one stage; its first and last step are always told."""


class Bar(Protocol):
    """Takes the progress of one image, from one thread."""

    def step(self, stage: Stage, done: int, total: int, megapixels: float) -> None:
        """Say that ``done`` of ``total`` parts of ``megapixels`` each are done in a stage, those of earlier runs included."""

    def end(self, *, failed: bool = False) -> None:
        """End with the image."""


class Bars(Protocol):
    """Takes the progress of a run, which may be at work on several images at once, each in a thread of its own."""

    def begin(self, name: str) -> Bar:
        """Begin with an image."""


class Silence:
    """Shows nothing."""

    def begin(self, name: str) -> "Silence":
        """Show nothing."""
        return self

    def step(self, stage: Stage, done: int, total: int, megapixels: float) -> None:
        """Show nothing."""

    def end(self, *, failed: bool = False) -> None:
        """Show nothing."""


class Pace:
    """Speed and time left of one stage, by what this run has done since the first step that was told."""

    def __init__(self, done: int, total: int, megapixels: float) -> None:
        self._first, self._start = done - 1, time.monotonic()
        self._total, self._megapixels = total, megapixels

    def at(self, done: int) -> tuple[float | None, float | None]:
        """Return megapixels per second and seconds left, both None as long as nothing can be said."""
        seconds, parts = time.monotonic() - self._start, done - self._first - 1
        if not parts or seconds <= 0:
            return None, 0.0 if done == self._total else None
        return parts * self._megapixels / seconds, (self._total - done) * seconds / parts


class TerminalBars:
    """One bar for the images and below it one for each that is at work."""

    def __init__(self, progress: Progress, images: int) -> None:
        self._progress = progress
        self._images: TaskID = progress.add_task("images", total=images, pace="")

    def begin(self, name: str) -> "TerminalBar":
        """Show a bar with the name of the image."""
        return TerminalBar(self._progress, self._images, name)


class TerminalBar:
    """The bar of one image, with its stage, megapixels per second and time left; it goes when the image is done."""

    def __init__(self, progress: Progress, images: TaskID, name: str) -> None:
        self._progress, self._images = progress, images
        self._own: TaskID = progress.add_task(escape(visible(name)), total=None, pace="")
        self._stage: Stage | None = None

    def step(self, stage: Stage, done: int, total: int, megapixels: float) -> None:
        """Move the bar."""
        if stage != self._stage:
            self._stage, self._pace = stage, Pace(done, total, megapixels)
        speed, left_s = self._pace.at(done)
        shown = "" if speed is None or left_s is None else f"{speed:.1f} Mpx/s, {_clock(left_s)} left"
        self._progress.update(self._own, completed=done, total=total, pace=f"{stage} {shown}".rstrip())

    def end(self, *, failed: bool = False) -> None:
        """Count the image as done and take its bar away."""
        self._progress.remove_task(self._own)
        self._progress.advance(self._images)


class JsonLines:
    """One JSON object a line: slide, stage, done, total, megapixels per second, seconds left."""

    def begin(self, name: str) -> "JsonLinesOfImage":
        """Write the first line of an image."""
        return JsonLinesOfImage(name)


class JsonLinesOfImage:
    """The lines of one image; each has its name."""

    def __init__(self, name: str) -> None:
        self._slide, self._stage, self._told = name, "", 0.0
        self._tell("begin", 0, 1, None, None)

    def step(self, stage: Stage, done: int, total: int, megapixels: float) -> None:
        """Write a line, unless one of this image has just been written."""
        is_first = stage != self._stage
        if is_first:
            self._stage, self._pace = stage, Pace(done, total, megapixels)
        if is_first or done == total or time.monotonic() - self._told >= JSON_INTERVAL_S:
            self._tell(stage, done, total, *self._pace.at(done))

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
def progress_bars(images: int, *, quiet: bool, as_json: bool = False) -> Iterator[Bars]:
    """Yield JSON lines where asked for, else bars where standard error is a terminal, else silence; ``quiet`` has no bars."""
    if as_json:
        yield JsonLines()
        return
    if quiet or not sys.stderr.isatty():
        yield Silence()
        return
    texts = TextColumn("{task.description}"), TextColumn("{task.fields[pace]}")
    columns = (texts[0], BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), texts[1])
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield TerminalBars(progress, images)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
