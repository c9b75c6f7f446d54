"""The outcome of a run: new results, those that were there already, and failures. Each is logged as soon as it is known."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from counterstain.errors import OutputError
from counterstain.jobs.boundary import fault_of
from counterstain.jobs.listening import Listener
from counterstain.jobs.run_log import RunLog
from counterstain.results.part import Part
from counterstain.results.record import Record
from counterstain.results.summary import Failure, write_summary

Content = TypeVar("Content", bound=Part)


@dataclass(slots=True, kw_only=True)
class Outcome(Generic[Content]):
    """What came of a run."""

    out: Path
    """Folder of the results."""
    summary: Path | None = None
    """``summary.csv``, once it is written."""
    records: list[tuple[str, Content]] = field(default_factory=list)
    """Output folder's name and the content of its ``analysis.json``, or of what else was written into it."""
    kept: set[str] = field(default_factory=set)
    """Those of the names whose result an earlier run has written."""
    failures: list[Failure] = field(default_factory=list)
    log: RunLog

    @property
    def fresh(self) -> int:
        """Number of results that this run has made."""
        return len(self.records) - len(self.kept)

    def done(self: "Outcome[Record]", name: str, content: Record) -> None:
        """Add a result."""
        self.records.append((name, content))
        self.log.done(name, content)

    def was_done(self: "Outcome[Record]", name: str, content: Record) -> None:
        """Add the result of an earlier run."""
        self.records.append((name, content))
        self.kept.add(name)
        self.log.kept(name, content.slide.source)

    def add_damaged(self, damaged: Iterable[tuple[Path, OutputError]], listener: Listener) -> None:
        """Add folders whose record cannot be read, and tell the listener."""
        for path, error in damaged:
            self.failed(fault_of(error).failure(path.name, path))
            listener.failed(str(path), error)

    def failed(self, failure: Failure) -> None:
        """Add an input that has no result."""
        self.failures.append(failure)
        self.log.failed(failure)


@contextmanager
def keep_log(outcome: Outcome[Record], options: Mapping[str, Any], images: int, model: Mapping[str, str]) -> Iterator[None]:
    """Tell the log of the beginning and of the end of a run; the model is empty where none runs."""
    outcome.log.started(options, model, images)
    try:
        yield
    except KeyboardInterrupt:
        outcome.log.interrupted(outcome.fresh, len(outcome.failures))
        raise
    outcome.log.ended(outcome.fresh, len(outcome.failures))


def sum_up(outcome: Outcome[Record]) -> Outcome[Record]:
    """Write ``summary.csv`` and return the outcome with its path."""
    done = {name for name, _ in outcome.records} - outcome.kept
    return replace(outcome, summary=write_summary(outcome.out, done, outcome.failures))
