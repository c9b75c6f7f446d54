"""How far the work on a slide is, in parts and in megapixels. Knows neither who works nor who listens."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from counterstain.geometry import Box

Stage = Literal["tiles", "cells"]
"""The network goes over tiles, then blocks of finished maps are cut into cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is done of one stage, by earlier runs too."""

    stage: Stage
    done: int
    """Parts, which are tiles or blocks."""
    total: int
    done_mpx: float
    """Megapixels, at the resolution of the model, of the parts that are done."""
    total_mpx: float


OnProgress = Callable[[Progress], object]
"""Called with the progress of one slide, from one thread; an error that it raises ends the work."""


def unheard(progress: Progress) -> None:
    """Ignore progress."""


class PartsDone:
    """Counts the parts of one stage and tells of each that is done."""

    def __init__(self, stage: Stage, parts: Iterable[Box], tell: OnProgress) -> None:
        areas = [part.size.area for part in parts]
        self._stage, self._tell = stage, tell
        self._total, self._total_px = len(areas), sum(areas)
        self._done = self._done_px = 0

    def before(self, parts: Iterable[Box]) -> None:
        """Count parts that an earlier run has done, of which nothing is told."""
        areas = [part.size.area for part in parts]
        self._done, self._done_px = self._done + len(areas), self._done_px + sum(areas)

    def add(self, part: Box) -> None:
        """Count a part that has just been done and tell of it."""
        self.before([part])
        self._tell(
            Progress(
                stage=self._stage,
                done=self._done,
                total=self._total,
                done_mpx=self._done_px / 1e6,
                total_mpx=self._total_px / 1e6,
            )
        )
