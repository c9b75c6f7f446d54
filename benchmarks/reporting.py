"""Where a number was measured, plain text tables, and the results files."""

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from counterstain.versions import package_versions

RESULTS = Path(__file__).parent / "results"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned columns, the first to the left and the others to the right; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def write_results(name: str, title: str, parts: Sequence[tuple[str, str]]) -> Path:
    """Write ``results/NAME.md``: when, where and how it was measured, then each text with its table."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.md"
    facts = "\n".join(f"- {key}: {value}" for key, value in circumstances().items())
    body = "\n".join(f"{text}\n\n```text\n{shown}\n```\n" for text, shown in parts)
    path.write_text(f"# {title}\n\n{facts}\n\n{body}", encoding="utf-8")
    return path


def circumstances() -> dict[str, str]:
    """Return date, machine, versions and command."""
    packages = ", ".join(f"{package} {version}" for package, version in package_versions().items())
    arguments = [Path(text).name if text.startswith("/") else text for text in sys.argv[1:]]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{cpu_name()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": f"Python {platform.python_version()}, {packages}",
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments]),
    }


def cpu_name() -> str:
    """Return the processor's name as the system tells it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
