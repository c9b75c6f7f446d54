"""Bars of progress on a terminal. Imported only where there is one: rich is slow to import."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Shown

from counterstain.cli.showing.console import visible
from counterstain.cli.showing.pace import Pace
from counterstain.progress import Progress, Stage


@contextmanager
def terminal_bars() -> Iterator["TerminalBars"]:
    """Yield the bars of a run; they go with it."""
    texts = TextColumn("{task.description}"), TextColumn("{task.fields[pace]}")
    columns = (texts[0], BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), texts[1])
    with Shown(*columns, console=Console(stderr=True), transient=True) as shown:
        yield TerminalBars(shown)


class TerminalBars:
    """One bar for the images and below it one for each that is at work."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._images: TaskID = shown.add_task("images", total=None, pace="")

    def started(self, images: int) -> None:
        """Show how many images there are."""
        self._shown.update(self._images, total=images)

    def begin(self, name: str) -> "TerminalBar":
        """Show a bar with the name of the image."""
        return TerminalBar(self._shown, self._images, name)


class TerminalBar:
    """The bar of one image, with its stage, megapixels per second and time left; it goes when the image is done."""

    def __init__(self, shown: Shown, images: TaskID, name: str) -> None:
        self._shown, self._images = shown, images
        self._own: TaskID = shown.add_task(escape(visible(name)), total=None, pace="")
        self._stage: Stage | None = None

    def step(self, progress: Progress) -> None:
        """Move the bar."""
        if progress.stage != self._stage:
            self._stage, self._pace = progress.stage, Pace(progress)
        speed, left_s = self._pace.at(progress)
        shown = "" if speed is None or left_s is None else f"{speed:.1f} Mpx/s, {_clock(left_s)} left"
        pace = f"{progress.stage} {shown}".rstrip()
        self._shown.update(self._own, completed=progress.done, total=progress.total, pace=pace)

    def end(self, *, failed: bool = False) -> None:
        """Count the image as done and take its bar away."""
        self._shown.remove_task(self._own)
        self._shown.advance(self._images)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
