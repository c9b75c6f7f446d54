"""Whatever goes wrong in one image, expected or not, the others are done, and what is needed to mend it is kept."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from counterstain.jobs import batch, rescoring, resegmenting

ODD = {
    "IndexError": lambda: [].pop(),
    "ZeroDivisionError": lambda: 1 // 0,
    "UnicodeEncodeError": lambda: "\udcff".encode(),
    "Error": lambda: next(csv.reader(["x" * 200_000])),
    "RecursionError": lambda: (_ for _ in ()).throw(RecursionError("too deep")),
    "AssertionError": lambda: (_ for _ in ()).throw(AssertionError),
}
"""Errors that no code here raises on purpose, as one odd file brought each to light."""


@pytest.fixture
def three(folder, draw):
    """Three good images in the current folder."""
    for name in ("a", "b", "c"):
        Image.fromarray(draw()).save(folder / f"{name}.png")
    return folder


def odd_for(monkeypatch, module, name, odd, is_odd):
    """Let a function of a module meet an odd error where it is given something odd."""
    function = getattr(module, name)

    def watched(first, *args, **kwargs):
        if is_odd(first):
            odd()
        return function(first, *args, **kwargs)

    monkeypatch.setattr(module, name, watched)


def log_of(out):
    return [json.loads(line) for line in (out / "counterstain.log").read_text().splitlines()]


@pytest.mark.parametrize("kind", ODD)
def test_an_unexpected_error_in_one_image_leaves_the_others_done(three, analyze, monkeypatch, kind):
    odd_for(monkeypatch, batch, "analyze", ODD[kind], lambda slide: slide.name == "b")
    result = analyze("a.png", "b.png", "c.png", "--format", "json", "--json")
    assert result.exit_code == 1
    assert f"error: b.png: an error that was not expected here, {kind}: " in result.stderr
    assert "issue tracker" in result.stderr
    entries = json.loads(result.stdout)["images"]
    assert [(entry["name"], entry["status"]) for entry in entries] == [("a", "done"), ("c", "done"), ("b", "failed")]
    assert entries[-1]["type"] == kind
    assert "issue tracker" in entries[-1]["remedies"][0]["do"]
    rows = list(csv.DictReader((three / "out" / "summary.csv").read_text().splitlines()))
    assert [(row["name"], row["status"]) for row in rows] == [("a", "done"), ("c", "done"), ("b", "failed")]
    failed = next(line for line in log_of(three / "out") if line["event"] == "failed")
    assert failed["type"] == kind
    assert failed["traceback"].startswith("Traceback")
    assert "test_one_bad_image.py" in failed["traceback"]
    assert log_of(three / "out")[-1]["event"] == "end"
    assert not list((three / "out").glob(".b*"))


def test_an_error_that_says_all_there_is_to_say_has_no_traceback(three, analyze):
    Path("empty.png").write_bytes(b"")
    assert analyze("empty.png", "a.png", "--format", "json").exit_code == 1
    failed = next(line for line in log_of(three / "out") if line["event"] == "failed")
    assert (failed["type"], "traceback" in failed) == ("UnreadableSlideError", False)


@pytest.mark.parametrize("command", ["segment", "score"])
def test_an_unexpected_error_in_one_result_leaves_the_others_done(three, analyze, run, monkeypatch, command):
    analyze("a.png", "b.png", "c.png", "--format", "csv", "--format", "ome-tiff")
    module, name = {"segment": (resegmenting, "read_manifest"), "score": (rescoring, "read_cells")}[command]
    odd_for(monkeypatch, module, name, ODD["IndexError"], lambda path: path.name == "b")
    result = run(command, "out", "--json", *(("--out", "again", "--format", "csv") if command == "segment" else ()))
    assert result.exit_code == 1
    entries = json.loads(result.stdout)["images"]
    assert [(entry["name"], entry["status"]) for entry in entries] == [("a", "done"), ("c", "done"), ("b", "failed")]
    assert (entries[-1]["type"], Path(entries[-1]["source"]).name) == ("IndexError", "b.png")


def test_a_failed_image_is_one_kind_of_entry_whatever_the_command(three, analyze, run):
    analyze("a.png", "--format", "csv")
    Path("none.png").write_bytes(b"")
    for table in (three / "out" / "a").glob("cells*"):
        table.unlink() if table.is_file() else shutil.rmtree(table)
    entries = [
        json.loads(run(*arguments, "--json").stdout)["images"][-1]
        for arguments in (
            ("analyze", "none.png", "--out", "other", "--bundle", "classical"),
            ("score", "out"),
            ("segment", "out", "--out", "again"),
        )
    ]
    keys = ["status", "name", "source", "error", "type", "remedies"]
    assert [[*entry] for entry in entries] == [keys] * 3


def test_names_that_differ_in_case_alone_and_those_of_our_own_files_have_results(folder, draw, analyze):
    for name in ("x.png", "X.PNG", "counterstain.log.png", "summary.csv.png"):
        Image.fromarray(draw()).save(folder / name, format="PNG")
    assert analyze("x.png", "X.PNG", "counterstain.log.png", "summary.csv.png", "--format", "json").exit_code == 0
    folders = {path.name for path in (folder / "out").iterdir() if path.is_dir()}
    assert folders == {"X", "x_2", "counterstain.log_image", "summary.csv_image"}
    assert "3 kept" in analyze("x.png", "X.PNG", "counterstain.log.png", "--format", "json").stdout


def test_the_log_holds_lists_as_lists(good, analyze):
    analyze("good.png", "--format", "json", "--format", "csv", "--shard", "1/1")
    options = json.loads((good.parent / "out" / "counterstain-1-of-1.log").read_text().splitlines()[0])["options"]
    assert options["formats"] == ["json", "csv"]
    assert options["shard"] == "1/1"


CHILD = """
import sys, time
from counterstain.cli.main import main
from counterstain.jobs import batch

def slow(*args, **kwargs):
    print("at work", flush=True)
    time.sleep(60)

batch.analyze = slow
main(["analyze", "good.png", "--out", "out", "--bundle", "classical"])
"""


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_a_message_and_a_line_in_the_log(good, number):
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "at work\n"
        child.send_signal(number)
        start = time.monotonic()
        _, error = child.communicate(timeout=50)
    assert time.monotonic() - start < 50
    assert child.returncode == 130
    assert error == "Interrupted. What was finished is complete, and nothing is half-written.\n"
    assert [line["event"] for line in log_of(good.parent / "out")] == ["start", "interrupted"]
    assert not list((good.parent / "out").glob(".good*"))


@pytest.mark.parametrize("command", ["score", "segment"])
@pytest.mark.parametrize("damage", [lambda text: text[:900], lambda text: text.replace('"mpp": 0.25', '"mpp": "x"')])
def test_a_result_whose_record_was_changed_is_named_and_the_others_are_done(three, analyze, run, command, damage):
    analyze("a.png", "b.png", "--format", "csv", "--format", "ome-tiff")
    record = three / "out" / "b" / "analysis.json"
    record.write_text(damage(record.read_text()))
    more = ("--out", "again", "--format", "csv") if command == "segment" else ()
    result = run(command, "out", "--json", *more)
    assert result.exit_code == 1
    entries = json.loads(result.stdout)["images"]
    assert [(entry["name"], entry["status"]) for entry in entries] == [("a", "done"), ("b", "failed")]
    assert "analysis.json was changed or damaged" in result.stderr
    alone = run(command, "out/b", *more, *(("--overwrite",) if more else ()))
    assert alone.exit_code == 1
    assert "analysis.json was changed or damaged" in alone.stderr
