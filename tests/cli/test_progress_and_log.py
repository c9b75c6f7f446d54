"""What a run tells of itself: speed and time left, lines of JSON, and the log in the output folder."""

import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from rich.progress import Progress as Shown
from rich.progress import TextColumn

from counterstain.cli.showing import progress
from counterstain.cli.showing.bars import TerminalBars
from counterstain.cli.showing.pace import Pace
from counterstain.cli.showing.progress import JsonLines, progress_bars
from counterstain.jobs.run_log import FILE_NAME, RunLog
from counterstain.progress import Progress
from counterstain.results.summary import Failure


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until its hand, the only element, is moved."""
    hand = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: hand[0])
    return hand


def lines_of(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def step(stage, done, total, mpx):
    """What is told when some parts of equal size are done."""
    return Progress(stage=stage, done=done, total=total, done_mpx=done * mpx, total_mpx=total * mpx)


def test_pace_counts_only_what_this_run_has_done(clock):
    pace = Pace(step("tiles", 101, 111, 0.2))
    assert pace.at(step("tiles", 101, 111, 0.2)) == (None, None)
    clock[0] = 2.0
    speed, left_s = pace.at(step("tiles", 106, 111, 0.2))
    assert speed == pytest.approx(5 * 0.2 / 2.0)
    assert left_s == pytest.approx(5 * 2.0 / 5)
    assert pace.at(step("tiles", 111, 111, 0.2))[1] == pytest.approx(0)


def test_lines_of_json_come_at_most_once_a_second_but_for_the_first_and_the_last_of_a_stage(clock, capsys):
    lines = JsonLines().begin("a")
    for done in range(1, 9):
        lines.step(step("tiles", done, 8, 0.5))
        clock[0] += 0.3
    lines.step(step("cells", 1, 1, 4.0))
    lines.end(failed=True)
    told = lines_of(capsys.readouterr().err)
    assert [(line["stage"], line["done"]) for line in told] == [
        ("begin", 0),
        ("tiles", 1),
        ("tiles", 5),
        ("tiles", 8),
        ("cells", 1),
        ("failed", 1),
    ]
    assert {line["slide"] for line in told} == {"a"}
    assert told[2]["megapixels_per_s"] == pytest.approx(4 * 0.5 / 1.2, abs=1e-3)
    assert told[2]["seconds_left"] == pytest.approx(3 * 1.2 / 4)


def test_a_terminal_shows_speed_and_time_left(monkeypatch, clock, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bars(quiet=False) as bars:
        bar = bars.begin("slide")
        bar.step(step("tiles", 1, 4, 0.5))
        clock[0] = 100.0
        bar.step(step("tiles", 3, 4, 0.5))
    assert "0.0 Mpx/s, 0:00:50 left" in capsys.readouterr().err


def test_slides_at_work_at_once_have_a_bar_each_which_goes_with_its_slide():
    console = Console(file=io.StringIO(), force_terminal=True, width=150)
    with Shown(TextColumn("{task.description} {task.completed}/{task.total} {task.fields[pace]}"), console=console) as shown:
        bars = TerminalBars(shown)
        bars.started(2)
        first, second = bars.begin("one"), bars.begin("two")
        first.step(step("cells", 3, 4, 0.5))
        second.step(step("tiles", 1, 9, 0.5))
        assert [(task.description, task.completed, task.total) for task in shown.tasks] == [
            ("images", 0, 2),
            ("one", 3, 4),
            ("two", 1, 9),
        ]
        first.end()
        assert [(task.description, task.completed) for task in shown.tasks] == [("images", 1), ("two", 1)]


def test_lines_of_slides_at_work_at_once_are_whole_and_name_their_slide(capsys):
    bars = JsonLines()

    def work(name):
        bar = bars.begin(name)
        for done in range(1, 51):
            bar.step(step("tiles" if done % 2 else "cells", done, 50, 0.5))  # a new stage is told at once
        bar.end()

    with ThreadPoolExecutor(4) as pool:
        [*pool.map(work, "abcd")]
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    for name in "abcd":
        own = [line for line in told if line["slide"] == name]
        assert [line["done"] for line in own] == [0, *range(1, 51), 1]
        assert [own[0]["stage"], own[-1]["stage"]] == ["begin", "done"]


def test_lines_of_the_log_that_are_written_at_once_are_whole(tmp_path):
    log = RunLog(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        [*pool.map(lambda number: log.failed(Failure(name=f"{number}", source="x" * 5000, error="odd")), range(100))]
    told = [json.loads(line)["name"] for line in (tmp_path / FILE_NAME).read_text().splitlines()]
    assert sorted(map(int, told)) == [*range(100)]


def test_the_command_tells_a_program_how_far_it_is_even_when_quiet(good, analyze):
    result = analyze("good.png", "--progress", "json", "--quiet", "--format", "json")
    told = lines_of(result.stderr)
    assert [(line["slide"], line["stage"], line["done"], line["total"]) for line in told] == [
        ("good", "begin", 0, 1),
        ("good", "tiles", 1, 1),
        ("good", "done", 1, 1),
    ]
    assert set(told[0]) == {"slide", "stage", "done", "total", "megapixels_per_s", "seconds_left"}


def test_the_log_tells_of_every_run_and_image(good, analyze):
    Path("bad.png").write_bytes(b"")
    analyze("good.png", "bad.png", "none.png", "--format", "json", "--threshold", "0.25")
    Image.new("RGB", (9, 9)).save("odd.png")
    analyze("odd.png", "--format", "json")
    told = lines_of((good.parent / "out" / FILE_NAME).read_text())
    assert [line["event"] for line in told] == ["start", "failed", "done", "failed", "end", "start", "failed", "end"]
    start, missing, done, bad, end = told[:5]
    assert start["options"]["threshold"] == 0.25
    assert start["bundle"]["name"] == "classical"
    assert "numpy" in start["versions"]
    assert (done["name"], done["counts"]["nuclei"]) == ("good", 4)
    assert "is empty" in bad["error"]
    assert "none.png" in missing["source"]
    assert (end["done"], end["failed"]) == (1, 2)
    assert len({line["run"] for line in told[:5]}) == 1


def test_a_log_that_cannot_be_written_costs_a_warning_and_no_result(good, analyze):
    (good.parent / "out" / FILE_NAME).mkdir(parents=True)
    result = analyze("good.png", "--format", "json")
    assert result.exit_code == 0
    assert result.stderr.count("goes on without a log") == 1
    assert (good.parent / "out" / "good" / "analysis.json").is_file()
