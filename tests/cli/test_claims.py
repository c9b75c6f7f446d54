"""Two commands at one folder, and what a killed command left beside its result."""

import json
import os
from pathlib import Path

import pytest

from counterstain.jobs import batch


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("good", ("analyze", "good.png", "--bundle", "classical", "--out", "out")),
        ("good", ("segment", "first", "--out", "out")),
        ("colon", ("demo", "--bundle", "classical", "--out", "out")),
    ],
)
def test_a_folder_that_another_command_is_at_work_on_is_left_to_it(good, run, name, arguments):
    assert run("analyze", "good.png", "--bundle", "classical", "--out", "first").exit_code == 0
    theirs = Path("out") / f".{name}.{os.getppid()}.run"
    theirs.mkdir(parents=True)
    result = run(*arguments)
    assert result.exit_code == 1
    assert f"another run is writing to this folder: {Path('out').resolve() / name}" in result.stderr
    assert theirs.is_dir()
    assert not (Path("out") / name).exists()


def leave_work(age_s):
    """Leave the folder of work of a run that began ``age_s`` seconds before the result was written; return it."""
    work, written = Path("out/.good.work"), Path("out/good/analysis.json").stat().st_mtime
    work.mkdir()
    for name in ("settings.json", "tiles.txt"):
        (work / name).write_text(json.dumps({}))
        os.utime(work / name, (written - age_s, written - age_s))
    return work


def test_the_work_of_a_run_that_was_killed_when_all_was_written_is_removed_by_the_next(good, analyze):
    analyze("good.png", "--format", "json")
    work = leave_work(10)
    assert "1 kept" in analyze("good.png", "--format", "json").stdout
    assert not work.exists()


def test_the_work_of_an_unfinished_run_that_is_to_replace_a_result_is_kept(good, analyze):
    analyze("good.png", "--format", "json")
    work = leave_work(-10)
    assert analyze("good.png", "--format", "json").exit_code == 0
    assert work.is_dir()


def test_where_there_is_no_result_work_is_never_removed(tmp_path):
    work = batch.work_of(tmp_path / "slide")
    work.mkdir()
    batch.remove_finished_work(tmp_path / "slide")
    assert work.is_dir()
