"""Results that are open: the few that were asked for last, each of which any number of requests may read."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterstain.analysis import Analysis
from counterstain.errors import OutputError
from counterstain.results.opening import open_result
from counterstain.results.record import Record, read_record
from counterstain.slides.taking_turns import TakingTurns
from counterstain.web.viewing.pyramid import Pyramid, pyramid_of

MOST_OPEN = 8
"""A result with 200,000 nuclei takes about 20 MB once all its columns were asked for."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """One result."""

    folder: Path
    record: Record
    analysis: Analysis
    """Its slide may be read by several threads."""
    tag: str
    """Changes when the result is made anew."""

    @cached_property
    def cell_ids(self) -> NDArray[np.int64]:
        """The (n,) identifiers of all nuclei in order: the place of one, from 1, is its number."""
        return np.asarray(self.analysis.cells["cell_id"])

    @cached_property
    def pyramid(self) -> Pyramid:
        """The levels of the slide."""
        return pyramid_of(self.analysis.slide)


class OpenResults:
    """Opens results and keeps the last ones open."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Opened] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, name: str, folder: Path, image: Path) -> Opened:
        """Return a result, opened unless it is open already.

        Raises
        ------
        OutputError
            It is damaged.
        """
        with self._lock:
            if name in self._open:
                self._open.move_to_end(name)
                return self._open[name]
        opened = _opened(folder, image)
        with self._lock:
            self._open[name] = opened
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)  # whoever still reads it holds it open
        return opened

    def close(self, name: str) -> None:
        """Forget a result that is about to be removed."""
        with self._lock:
            self._open.pop(name, None)


def _opened(folder: Path, image: Path) -> Opened:
    record = read_record(folder)
    if record is None:
        raise OutputError("the record of the result cannot be read")
    analysis = open_result(folder, slide=image)
    tag = f"{(folder / 'analysis.json').stat().st_mtime_ns:x}-{len(analysis.cells):x}"
    return Opened(folder=folder, record=record, tag=tag, analysis=replace(analysis, slide=TakingTurns(analysis.slide)))
