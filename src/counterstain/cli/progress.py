"""How far a run is: bars for a person, one JSON object a line for a program. Both go to standard error."""

import json
import sys
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


class Bars(Protocol):
    """Takes the progress over the images of a run and the stages of the current one."""

    def begin(self, name: str) -> None:
        """Begin with an image."""

    def step(self, stage: Stage, done: int, total: int, megapixels: float) -> None:
        """Say that ``done`` of ``total`` parts of ``megapixels`` each are done in a stage, those of earlier runs included."""

    def end(self, *, failed: bool = False) -> None:
        """End with the image."""


class Silence:
    """Shows nothing."""

    def begin(self, name: str) -> None:
        """Show nothing."""

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
    """One bar for the images and one for the current one, with its stage, megapixels per second and time left."""

    def __init__(self, progress: Progress, images: int) -> None:
        self._progress = progress
        self._images: TaskID = progress.add_task("images", total=images, pace="")
        self._current: TaskID = progress.add_task("tiles", total=None, pace="")
        self._stage: Stage | None = None

    def begin(self, name: str) -> None:
        """Show the name of the image that comes next."""
        self._stage = None
        self._progress.reset(self._current, total=None, description=escape(visible(name)), pace="")

    def step(self, stage: Stage, done: int, total: int, megapixels: float) -> None:
        """Move the bar of the image."""
        if stage != self._stage:
            self._stage, self._pace = stage, Pace(done, total, megapixels)
        speed, left_s = self._pace.at(done)
        shown = "" if speed is None or left_s is None else f"{speed:.1f} Mpx/s, {_clock(left_s)} left"
        self._progress.update(self._current, completed=done, total=total, pace=f"{stage} {shown}".rstrip())

    def end(self, *, failed: bool = False) -> None:
        """Count the image as done."""
        self._progress.advance(self._images)


class JsonLines:
    """One JSON object a line: slide, stage, done, total, megapixels per second, seconds left."""

    def __init__(self) -> None:
        self._slide, self._stage, self._told = "", "", 0.0

    def begin(self, name: str) -> None:
        """Remember the name, which every line has."""
        self._slide, self._stage = name, ""
        self._tell("begin", 0, 1, None, None)

    def step(self, stage: Stage, done: int, total: int, megapixels: float) -> None:
        """Write a line, unless one has just been written."""
        is_first = stage != self._stage
        if is_first:
            self._stage, self._pace = stage, Pace(done, total, megapixels)
        if is_first or done == total or time.monotonic() - self._told >= JSON_INTERVAL_S:
            self._tell(stage, done, total, *self._pace.at(done))

    def end(self, *, failed: bool = False) -> None:
        """Write a last line of the image."""
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
        sys.stderr.write(json.dumps(line, ensure_ascii=True) + "\n")
        sys.stderr.flush()


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
