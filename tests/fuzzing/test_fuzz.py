"""Damaged inputs end nothing, hang nothing, leave nothing half-written and are not taken for whole; and the search works."""

import json
import random

import pytest
from fuzzing import driver, mutators
from fuzzing.kinds import KINDS
from fuzzing.runner import Outcome, Runner

COUNT, SEED = 300, 20_251


@pytest.mark.slow
def test_damaged_inputs_are_refused_or_read(tmp_path):
    lines = []
    _, faults = driver.fuzz(COUNT, SEED, list(KINDS), lines.append)
    assert faults == [], "\n".join(lines)


def outcome(**changes):
    return Outcome(**({"code": 0, "uncaught": None, "died": None, "output": ""} | changes))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"code": None, "died": "died with -6"}, "died with -6"),
        ({"code": 1, "uncaught": "Traceback\nKeyError: 'a'"}, "KeyError: 'a'"),
        ({"code": 1, "output": "Traceback (most recent call last):\nIndexError: no\nerror: x"}, "unexpected: IndexError: no"),
        ({"code": 7}, "exit code 7"),
        ({"code": 1}, "failed without a message"),
    ],
)
def test_each_kind_of_fault_is_found(tmp_path, changes, what):
    assert [found for found, _ in driver.faults_of(outcome(**changes), tmp_path / "out", None)] == [what]


def test_a_refusal_with_a_message_is_no_fault(tmp_path):
    assert driver.faults_of(outcome(code=1, output="error: a.png is empty"), tmp_path / "out", None) == []


def test_what_is_half_written_or_missing_or_not_whole_is_found(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / ".a.12.part").write_text("")
    record = {"files": ["cells.csv"], "counts": {"nuclei": 3}, "warnings": []}
    (tmp_path / "a" / "analysis.json").write_text(json.dumps(record))
    found = [what for what, _ in driver.faults_of(outcome(), tmp_path, ([{"nuclei": 9}], []))]
    assert found == ["half-written: .a.N.part", "incomplete result", "success on a file that was cut off"]
    record["warnings"] = ["a tile is damaged"]
    (tmp_path / "a" / "analysis.json").write_text(json.dumps(record))
    assert len(driver.faults_of(outcome(), tmp_path, ([{"nuclei": 9}], []))) == 2


def test_a_case_follows_from_its_seed_and_number_alone(tmp_path):
    runs = driver.Fuzz(tmp_path, ["boxes", "recipe"])
    try:
        first, _, again = (runs.case(5, number)[::2] for number in (3, 4, 3))
    finally:
        runs.close()
    assert first == again


def test_no_case_starts_when_the_time_is_over():
    ended, faults = driver.fuzz(5, SEED, ["recipe"], seconds=-1)
    assert (ended.total(), faults) == (0, [])


def test_a_process_that_hangs_is_ended_and_the_next_command_runs(tmp_path):
    runner = Runner(tmp_path, 0.01)
    try:
        runner._limit_s = 60
        assert runner.run(tmp_path, ["--version"]).code == 0
        runner._limit_s = 0.01
        assert "hung" in str(runner.run(tmp_path, ["doctor"]).died)
        runner._limit_s = 60
        assert runner.run(tmp_path, ["--version"]).code == 0
    finally:
        runner.close()


@pytest.mark.parametrize("mutator", [*mutators.BLIND, mutators.png_chunk, mutators.tiff_tag, mutators.json_value])
@pytest.mark.parametrize(
    "data", [b"", b"x", b"[1, {}]", b"\x89PNG\r\n\x1a\n", b"II*\x00\x08\x00\x00\x00", bytes(range(256)) * 9]
)
def test_a_mutator_takes_any_file_and_gives_the_same_for_the_same_numbers(mutator, data):
    changed = [[mutator(random.Random(number), data) for number in range(20)] for _ in range(2)]
    assert changed[0] == changed[1]
