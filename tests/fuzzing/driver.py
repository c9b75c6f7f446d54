"""Damage good inputs at random, run the commands that read them, and tell what should not have happened.

Case number ``i`` of a seed is the same whatever the count. Faults are: an exception that nobody caught, a hang, the death of
the process, an exit code that is none of ours, failure without a message, something half-written, and success on a file that
was cut off, with other numbers and no word about it.
"""

import argparse
import collections
import json
import math
import random
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from fuzzing.kinds import KINDS, Kind
from fuzzing.mutators import truncate
from fuzzing.runner import Outcome, Runner

CODES = (0, 1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What should not have happened."""

    case: int
    kind: str
    mutator: str
    file: str
    what: str
    detail: str = ""


class Fuzz:
    """The good inputs, made once, and the process that reads the damaged ones."""

    def __init__(self, folder: Path, kinds: list[str], limit_s: float = 120.0) -> None:
        self._folder, self._runner = folder, Runner(folder, limit_s)
        self._seeds = {name: self._make(name) for name in kinds}
        self._expected: dict[str, object] = {}
        for name in kinds:
            outcome = self._run(name, self._copy(name))
            assert outcome.code == 0, f"{name}: the good input fails: {outcome}"
            self._expected[name] = numbers_of(self._folder / "case" / KINDS[name].lives_in)

    def case(self, seed: int, number: int) -> tuple[str, Outcome, list[Fault]]:
        """Run one case; returns its kind, how it ended and its faults."""
        rng = random.Random(f"{seed}-{number}")
        name = rng.choice(list(self._seeds))
        folder = self._copy(name)
        path, mutator = damage(rng, KINDS[name], folder)
        outcome = self._run(name, folder)
        known = {"case": number, "kind": name, "mutator": mutator, "file": path.relative_to(folder).as_posix()}
        whats = faults_of(
            outcome, folder / KINDS[name].lives_in, self._expected[name] if mutator == truncate.__name__ else None
        )
        return name, outcome, [Fault(**known, what=what, detail=detail) for what, detail in whats]

    def close(self) -> None:
        """End the process."""
        self._runner.close()

    def _make(self, name: str) -> Path:
        folder = self._folder / "seeds" / name.replace(" ", "-")
        folder.mkdir(parents=True)
        KINDS[name].make(folder)
        if KINDS[name].prepare:
            outcome = self._runner.run(folder, list(KINDS[name].prepare))
            assert outcome.code == 0, f"{name}: {outcome}"
        return folder

    def _copy(self, name: str) -> Path:
        folder = self._folder / "case"
        shutil.rmtree(folder, ignore_errors=True)
        return Path(shutil.copytree(self._seeds[name], folder))

    def _run(self, name: str, folder: Path) -> Outcome:
        return self._runner.run(folder, list(KINDS[name].arguments))


def damage(rng: random.Random, kind: Kind, folder: Path) -> tuple[Path, str]:
    """Damage one file of a case; returns it, and the name of the mutator."""
    path = rng.choice(sorted(path for path in folder.glob(kind.damaged) if path.is_file()))
    mutator = rng.choice(dict(kind.suffixes).get(path.suffix, kind.mutators))
    path.write_bytes(mutator(rng, path.read_bytes()))
    kind.mend(folder)
    return path, mutator.__name__


def faults_of(outcome: Outcome, out: Path, expected: object) -> list[tuple[str, str]]:
    """Return what should not have happened, and details of it.

    Parameters
    ----------
    expected : the numbers of the good input, where success with others means that something missing was not noticed.
    """
    faults = []
    if outcome.died:
        faults.append((outcome.died, outcome.output[-2000:]))
    if outcome.uncaught:
        faults.append((outcome.uncaught.strip().splitlines()[-1][:200], outcome.uncaught))
    written = "".join(path.read_text(errors="replace") for path in out.rglob("*.log")) if out.exists() else ""
    told = outcome.output + written
    if "Traceback" in told:
        last = re.findall(
            r"(?:^|not expected here, |\\n)(\w+(?:\.\w+)*(?:Error|Exception|Warning)[^\n\\;]*)", told, re.MULTILINE
        )
        faults.append((f"unexpected: {last[-1][:200] if last else ''}", told))
    if outcome.code is not None and outcome.code not in CODES:
        faults.append((f"exit code {outcome.code}", outcome.output))
    if outcome.code in (1, 2) and not outcome.uncaught and "rror" not in outcome.output:
        faults.append(("failed without a message", outcome.output))
    faults += [("half-written: " + re.sub(r"\d+", "N", name), name) for name in _leftovers(out)]
    if outcome.code == 0:
        faults += [("incomplete result", name) for name in _missing(out)]
        if expected is not None and numbers_of(out) != expected and "arning" not in outcome.output and not _warned(out):
            faults.append(("success on a file that was cut off", f"{numbers_of(out)}, not {expected}\n{outcome.output}"))
    return faults


def _leftovers(out: Path) -> list[str]:
    """Return what a command left half-written: it has a hidden name."""
    return [path.name for path in sorted(out.rglob(".*"))] if out.exists() and not (out / ".zattrs").exists() else []


def _records(out: Path) -> list[tuple[Path, dict]]:
    found = []
    for path in sorted(out.rglob("analysis.json")) if out.exists() else []:
        try:
            found.append((path, json.loads(path.read_text())))
        except ValueError:
            continue  # it was damaged before the command ran
    return [(path, content) for path, content in found if isinstance(content, dict)]


def _missing(out: Path) -> list[str]:
    """Return the files that a record names and that are not there."""
    return [
        f"{path.parent.name}/{name}"
        for path, content in _records(out)
        for name in content.get("files") or []
        if isinstance(name, str) and not (path.parent / name).exists()
    ]


def _warned(out: Path) -> bool:
    return any(content.get("warnings") for _, content in _records(out))


def numbers_of(out: Path) -> object:
    """Return what was counted: the numbers that the user reads."""
    scores = [json.loads(path.read_text()).get("scores") for path in sorted(out.rglob("scores.json"))] if out.exists() else []
    return [content.get("counts") for _, content in _records(out)], scores


def fuzz(
    count: int, seed: int, kinds: list[str], report=print, *, seconds: float = math.inf
) -> tuple[collections.Counter, list[Fault]]:
    """Run cases, no new one when the seconds are over, and return how many of each kind ended how, and all faults."""
    ended, faults, end = collections.Counter(), [], time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="counterstain-fuzz-") as folder:
        runs = Fuzz(Path(folder), kinds)
        try:
            for number in range(count):
                if time.monotonic() > end:
                    break
                name, outcome, found = runs.case(seed, number)
                ended[name, outcome.code] += 1
                faults += found
                for fault in found:
                    report(f"case {fault.case}: {fault.kind}, {fault.mutator} of {fault.file}: {fault.what}")
        finally:
            runs.close()
    return ended, faults


def table(ended: collections.Counter) -> str:
    """Return a Markdown table of how the cases of each kind ended."""
    names = sorted({name for name, _ in ended})
    lines = ["| damaged | cases | done | refused | wrong usage | died |", "|---|---:|---:|---:|---:|---:|"]
    for name in names:
        counts = [ended[name, code] for code in (0, 1, 2, None)]
        lines.append(f"| {name} | {sum(counts)} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(lines)


def main() -> int:
    """Run cases as the command line says; the exit code is 1 when there was a fault."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=math.inf, help="start no case later than this")
    parser.add_argument("--kind", action="append", choices=sorted(KINDS))
    parser.add_argument("--details", type=Path, help="write each fault in full to this file")
    given = parser.parse_args()
    started = time.monotonic()
    kinds = given.kind or list(KINDS)
    ended, faults = fuzz(given.count, given.seed, kinds, lambda line: print(line, flush=True), seconds=given.seconds)
    print(table(ended))
    whats = collections.Counter((fault.kind, fault.what) for fault in faults)
    for (kind, what), times in whats.most_common():
        print(f"{times} x {kind}: {what}")
    print(f"{ended.total()} cases of seed {given.seed} in {time.monotonic() - started:.0f} s: {len(faults)} faults")
    if given.details:
        given.details.write_text("\n\n".join(f"== {fault}\n{fault.detail}" for fault in faults))
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
