"""``counterstain.log``: what every run into a folder was asked and what came of each image, one JSON object a line."""

import json
import os
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from counterstain.errors import OutputError
from counterstain.files import explained
from counterstain.jobs.listening import SILENCE, Listener
from counterstain.jobs.shard import Shard
from counterstain.results.part import as_json, finite
from counterstain.results.record import Record
from counterstain.results.summary import Failure
from counterstain.versions import package_versions

FILE_NAME = "counterstain.log"


class RunLog:
    """Appends to the log of a folder; each line is there as a whole as soon as what it tells has happened.

    Several images may be logged at the same time. Where the log cannot be written there is a warning, and no result is lost.
    """

    def __init__(self, out: Path, shard: Shard | None = None, listener: Listener = SILENCE) -> None:
        """Begin the log of a folder; each shard has a file of its own, as a network drive may mix the lines of machines."""
        self._listener = listener
        self._path = out / (f"counterstain-{shard.number}-of-{shard.total}.log" if shard else FILE_NAME)
        self._run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}"
        self._start, self._is_broken = time.monotonic(), False
        self._one_line_at_a_time = threading.Lock()

    def started(self, options: Mapping[str, Any], model: Mapping[str, str], images: int) -> None:
        """Log what the run was asked to do, with which model and versions."""
        asked = {name: _plain(value) for name, value in options.items()}
        self._add("start", {"versions": package_versions(), "bundle": dict(model), "options": asked, "images": images})

    def done(self, name: str, content: Record) -> None:
        """Tell of an image that is done."""
        told: dict[str, Any] = {"counts": as_json(content.counts), "timings_s": content.timings_s, "warnings": content.warnings}
        told |= {"origin": content.slide.origin and as_json(content.slide.origin)}
        told |= {"frame": content.slide.frame and as_json(content.slide.frame)}
        told |= {"mpp": content.slide.mpp, "mpp_source": content.slide.mpp_source}
        self._add("done", {"name": name, "source": content.slide.source, **told})

    def kept(self, name: str, source: str) -> None:
        """Tell of an image whose result was there already."""
        self._add("kept", {"name": name, "source": source})

    def failed(self, failure: Failure) -> None:
        """Tell of an image that failed, with the traceback of an error that was not expected."""
        told = {"name": failure.name, "source": failure.source, "error": failure.error, "type": failure.kind}
        self._add("failed", {**told, "traceback": failure.traceback} if failure.traceback else told)

    def interrupted(self, done: int, failed: int) -> None:
        """Tell that the run was stopped before its end, by Ctrl-C or by a signal."""
        self._add("interrupted", self._ending(done, failed))

    def ended(self, done: int, failed: int) -> None:
        """Tell that the run has come to its end; a run without such a line was stopped."""
        self._add("end", self._ending(done, failed))

    def _ending(self, done: int, failed: int) -> dict[str, Any]:
        return {"done": done, "failed": failed, "seconds": round(time.monotonic() - self._start, 3)}

    def _add(self, event: str, more: dict[str, Any]) -> None:
        line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "run": self._run, "event": event, **finite(more)}
        text = json.dumps(line, ensure_ascii=True, allow_nan=False) + "\n"
        with self._one_line_at_a_time:
            if not self._is_broken:
                self._append(text)

    def _append(self, text: str) -> None:
        try:
            with explained(self._path), self._path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except OutputError as error:
            self._is_broken = True
            self._listener.warned(self._path.name, f"{error}; the run goes on without a log")


def _plain(value: Any) -> Any:
    """Return the value of an option made of JSON's own types: lists stay lists, and a path or a share is its text."""
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | None) else str(value)
