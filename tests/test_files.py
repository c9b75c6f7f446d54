import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from counterstain.errors import OutputError
from counterstain.files import claimed, replacing, replacing_folder

DEAD = 99_999_999
"""A process id that no system gives."""


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def write_half(writing, fault):
    with writing as hidden:
        (hidden / "new.csv" if hidden.is_dir() else hidden).write_text("half")
        raise fault


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    with replacing(tmp_path / "a.txt") as hidden:
        hidden.write_text("x")
        assert not (tmp_path / "a.txt").exists()
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_an_interrupted_file_leaves_what_was_there_before(tmp_path, fault):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(fault):
        write_half(replacing(tmp_path / "a.txt"), fault)
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_a_full_disk_says_so_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OutputError, match="disk is full"), replacing(tmp_path / "a.txt") as hidden:
        hidden.write_text("x")
    assert names(tmp_path) == []


def test_a_file_where_a_folder_is_needed_is_named(tmp_path):
    (tmp_path / "out").write_text("a file")
    with (
        pytest.raises(OutputError, match="a file stands where a folder is needed"),
        replacing(tmp_path / "out" / "a") as hidden,
    ):
        hidden.write_text("x")


def test_an_error_without_advice_keeps_the_system_s_words(tmp_path):
    with pytest.raises(OutputError, match="odd"), replacing(tmp_path / "a"):
        raise OSError("odd")


def test_an_error_of_the_system_is_shown_without_its_number(tmp_path):
    fault = OSError(errno.EBUSY, "Device or resource busy", "a")
    with pytest.raises(OutputError, match=r"cannot write .*a: Device or resource busy$"), replacing(tmp_path / "a"):
        raise fault


def test_a_folder_appears_only_when_it_is_complete(tmp_path):
    with replacing_folder(tmp_path / "deep" / "out", lambda name: True) as hidden:
        (hidden / "a").write_text("x")
        assert not (tmp_path / "deep" / "out").exists()
    assert names(tmp_path / "deep") == ["out"]


def test_a_replaced_folder_keeps_what_is_not_ours(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "old.csv").write_text("old")
    with replacing_folder(out, lambda name: name == "old.csv") as hidden:
        (hidden / "new.csv").write_text("new")
    assert names(out) == ["new.csv", "notes.txt"]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_an_interrupted_folder_leaves_what_was_there_before(tmp_path, fault):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.csv").write_text("old")
    with pytest.raises(fault):
        write_half(replacing_folder(out, lambda name: True), fault)
    assert names(out) == ["old.csv"]
    assert names(tmp_path) == ["out"]


def test_a_disk_that_fills_between_the_two_renames_restores_the_old_folder(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.csv").write_text("old")
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: full_disk() if str(a).endswith(".part") else real(a, b))
    with pytest.raises(OutputError, match="disk is full"), replacing_folder(out, lambda name: True) as hidden:
        (hidden / "new.csv").write_text("new")
    assert names(out) == ["old.csv"]
    assert names(tmp_path) == ["out"]


def test_what_a_killed_run_set_aside_is_put_back(tmp_path):
    aside, stale = tmp_path / f".out.{DEAD}.old", tmp_path / f".out.{DEAD}.part"
    aside.mkdir()
    stale.mkdir()
    (aside / "notes.txt").write_text("mine")
    (stale / "half").write_text("half")
    with replacing_folder(tmp_path / "out", lambda name: name != "notes.txt") as hidden:
        (hidden / "new.csv").write_text("new")
    assert names(tmp_path / "out") == ["new.csv", "notes.txt"]
    assert names(tmp_path) == ["out"]


def test_a_folder_does_not_replace_a_file(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="file stands"), replacing_folder(tmp_path / "out", lambda name: True) as hidden:
        (hidden / "a").write_text("x")
    assert (tmp_path / "out").read_text() == "mine"
    assert names(tmp_path) == ["out"]


def test_two_runs_do_not_remove_each_other_s_work(tmp_path):
    theirs = tmp_path / f".out.{os.getppid()}.part"
    theirs.mkdir()
    (theirs / "half").write_text("half")
    with pytest.raises(OutputError, match="another run is writing to this folder"), replacing_folder(tmp_path / "out", bool):
        pass
    assert names(tmp_path) == [theirs.name]
    assert names(theirs) == ["half"]


def test_the_folder_of_another_name_is_nobody_s_business(tmp_path):
    theirs = tmp_path / f".out.b.{os.getppid()}.part"
    theirs.mkdir()
    with replacing_folder(tmp_path / "out", bool) as hidden:
        (hidden / "a").write_text("x")
    assert names(tmp_path) == [theirs.name, "out"]


def test_a_link_to_a_folder_stays_and_the_folder_is_replaced(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "old.csv").write_text("old")
    (tmp_path / "elsewhere" / "notes.txt").write_text("mine")
    (tmp_path / "out").symlink_to("elsewhere")
    with replacing_folder(tmp_path / "out", lambda name: name == "old.csv") as hidden:
        (hidden / "new.csv").write_text("new")
    assert (tmp_path / "out").is_symlink()
    assert names(tmp_path / "elsewhere") == ["new.csv", "notes.txt"]
    assert names(tmp_path) == ["elsewhere", "out"]


def test_a_claimed_folder_is_refused_to_others_and_free_afterwards(tmp_path):
    with claimed(tmp_path / "out"):
        assert names(tmp_path) == [f".out.{os.getpid()}.run"]
        with replacing_folder(tmp_path / "out", bool) as hidden:
            (hidden / "a").write_text("x")
        assert names(tmp_path) == [f".out.{os.getpid()}.run", "out"]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("end", ["run", "part", "old"])
def test_a_folder_that_another_process_works_on_cannot_be_claimed(tmp_path, end):
    theirs = tmp_path / f".out.{os.getppid()}.{end}"
    theirs.mkdir()
    with pytest.raises(OutputError, match="another run is writing to this folder"), claimed(tmp_path / "out"):
        pass
    assert names(tmp_path) == [theirs.name]


def test_the_claim_of_a_process_that_died_is_void(tmp_path):
    (tmp_path / f".out.{DEAD}.run").mkdir()
    with claimed(tmp_path / "out"):
        assert names(tmp_path) == [f".out.{os.getpid()}.run"]


@pytest.mark.parametrize("first", [claimed, lambda folder: replacing_folder(folder, bool)])
@pytest.mark.parametrize("second", [claimed, lambda folder: replacing_folder(folder, bool)])
def test_of_two_threads_on_one_folder_one_is_refused_and_the_other_goes_on(tmp_path, first, second):
    entered, leave = threading.Event(), threading.Event()

    def held():
        with first(tmp_path / "out"):
            entered.set()
            assert leave.wait(60)

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(held)
        assert entered.wait(60)
        before = names(tmp_path)
        with (
            pytest.raises(OutputError, match="another run of this process is writing to this folder"),
            second(tmp_path / "out"),
        ):
            pass
        assert names(tmp_path) == before
        leave.set()
        working.result()
    with second(tmp_path / "out"):
        pass


def test_of_many_threads_on_one_folder_at_once_none_removes_what_another_writes(tmp_path):
    start = threading.Barrier(8)

    def write(number):
        start.wait(60)
        try:
            with claimed(tmp_path / "out"), replacing_folder(tmp_path / "out", lambda name: name == "a") as hidden:
                (hidden / "a").write_text(str(number))
        except OutputError:
            return None
        return str(number)

    with ThreadPoolExecutor(8) as pool:
        written = {number for number in pool.map(write, range(8)) if number}
    assert (tmp_path / "out" / "a").read_text() in written
    assert names(tmp_path) == ["out"]


def test_the_thread_that_claimed_a_folder_may_claim_it_again_and_keeps_it(tmp_path):
    with claimed(tmp_path / "out"):
        with claimed(tmp_path / "out"):
            pass
        assert names(tmp_path) == [f".out.{os.getpid()}.run"]
    assert names(tmp_path) == []


def test_folders_beside_each_other_are_written_at_the_same_time(tmp_path):
    with claimed(tmp_path / "a"), ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: claimed(tmp_path / "b").__enter__()).result()
