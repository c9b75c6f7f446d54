"""A process that runs commands and whose death or hang is survived."""

import json
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended."""

    code: int | None
    """Exit code; None when the process died or was killed."""
    uncaught: str | None
    """What Python says of an exception that nobody caught."""
    died: str | None
    """How the process ended, where it did."""
    output: str
    """Standard output and standard error."""


class Runner:
    """Runs one command after the other; ``limit_s`` is the longest that one may take."""

    def __init__(self, scratch: Path, limit_s: float) -> None:
        self._scratch, self._limit_s = scratch, limit_s
        self._process = None

    def run(self, folder: Path, arguments: list[str]) -> Outcome:
        """Run a command in a folder."""
        if self._process is None:
            self._start()
        names = {name: str(self._scratch / name) for name in ("stdout", "stderr")}
        self._process.stdin.write(json.dumps({"folder": str(folder), "arguments": arguments} | names) + "\n")
        self._process.stdin.flush()
        line = self._line()
        output = "".join(Path(name).read_text(errors="replace") if Path(name).exists() else "" for name in names.values())
        if line:
            return Outcome(**json.loads(line), died=None, output=output)
        return Outcome(code=None, uncaught=None, died=self._end(), output=output)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        paths = [str(TESTS), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fuzzing.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        assert self._line() == "ready", "the process that runs the cases does not start"

    def _line(self) -> str:
        """Return the next line of the process; empty when it ended, or said nothing for too long."""
        ready, _, _ = select.select([self._process.stdout], [], [], self._limit_s)
        return self._process.stdout.readline().strip() if ready else ""

    def _end(self) -> str:
        try:
            code = self._process.wait(timeout=1)
            said = f"died with {code}"
        except subprocess.TimeoutExpired:
            self._process.kill()
            said = f"hung for {self._limit_s:g} s"
        self.close()
        return said
