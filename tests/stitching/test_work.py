import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterstain.errors import OutputError, UsageError
from counterstain.geometry import Box
from counterstain.stitching.work import SETTINGS as SETTINGS_FILE
from counterstain.stitching.work import TILES, TileLog, discard, resume, write_settings
from counterstain.tiling.quality import TileQuality

SETTINGS = {"model": "abc", "threshold": 0.5, "size": (10, 20)}

SHARP = TileQuality(tissue=1.0, blur=0.0, pen=0.0, fold=0.0, black_border=0.0)
SOFT = TileQuality(tissue=0.3333, blur=1.0, pen=0.0001, fold=0.25, black_border=0.1)


def test_a_folder_is_resumed_with_the_settings_it_was_started_with(tmp_path):
    folder = tmp_path / "work"
    assert resume(folder, SETTINGS) is False
    write_settings(folder, SETTINGS)
    assert resume(folder, dict(SETTINGS)) is True


def test_other_settings_are_refused_with_what_differs(tmp_path):
    write_settings(tmp_path, SETTINGS)
    with pytest.raises(UsageError) as caught:
        resume(tmp_path, {**SETTINGS, "model": "xyz", "threshold": 0.6})
    message = str(caught.value)
    assert "model was 'abc' and is 'xyz'" in message
    assert "threshold was 0.5 and is 0.6" in message
    assert "size" not in message
    assert "start anew (overwrite)" in message


def test_other_settings_replace_the_run_when_that_is_asked_for(tmp_path):
    write_settings(tmp_path, SETTINGS)
    (tmp_path / TILES).write_text("0 0 .")
    assert resume(tmp_path, SETTINGS, replace=True) is True
    assert resume(tmp_path, {**SETTINGS, "threshold": 0.6}, replace=True) is False
    assert list(tmp_path.iterdir()) == []


def test_what_a_run_left_that_was_killed_before_it_began_is_removed(tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / ".settings.json.part").write_text("{")
    assert resume(tmp_path, SETTINGS) is False
    assert list(tmp_path.iterdir()) == []


def test_tiles_are_found_done_again(tmp_path):
    with TileLog(tmp_path) as log:
        assert log.done == {}
        log.add(Box(0, 0, 384, 384), SHARP)
        log.add(Box(384, 12345, 10, 384), SOFT)
        assert log.done == {(0, 0): SHARP, (384, 12345): SOFT}
    with TileLog(tmp_path) as log:
        assert log.done == {(0, 0): SHARP, (384, 12345): SOFT}


@given(cut=st.integers(0, 120))
def test_a_line_that_was_cut_off_does_not_count(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("work")
    tiles = [(0, 0), (384, 12345), (768, 38400)]
    with TileLog(folder) as log:
        for row, col in tiles:
            log.add(Box(row, col, 384, 384), SOFT)
    text = (folder / TILES).read_text()
    (folder / TILES).write_text(text[: len(text) - min(cut, len(text))])
    with TileLog(folder) as log:
        whole = dict(log.done)
        assert whole == dict.fromkeys(tiles[: len(whole)], SOFT)
        assert len(whole) == 3 or cut
        log.add(Box(1, 2, 3, 4), SHARP)
    with TileLog(folder) as log:
        assert log.done == whole | {(1, 2): SHARP}


def test_a_folder_whose_removal_is_stopped_half_way_is_never_resumed(tmp_path, monkeypatch):
    write_settings(tmp_path, SETTINGS)
    (tmp_path / TILES).write_text("0 0 .")
    (tmp_path / "maps").mkdir()

    def stopped(folder, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", stopped)
    with pytest.raises(KeyboardInterrupt):
        discard(tmp_path)
    monkeypatch.undo()
    assert resume(tmp_path, SETTINGS) is False
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_discarded(tmp_path):
    discard(tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("content", [b"", b"\0\0\0\0", b"[1]", b"\xff"])
def test_damaged_settings_name_the_folder_and_what_to_do(tmp_path, content):
    (tmp_path / SETTINGS_FILE).write_bytes(content)
    with pytest.raises(OutputError, match=r"is damaged; remove the folder .* and run again"):
        resume(tmp_path, SETTINGS)
    assert resume(tmp_path, SETTINGS, replace=True) is False


@pytest.mark.parametrize(
    "damage", [b"\0\0 5 1.0 0.0 0.0 0.0 0.0 .", b"\xff 5 1.0 0.0 0.0 0.0 0.0 .", b"5 5 x 0.0 0.0 0.0 0.0 ."]
)
def test_a_damaged_line_does_not_count(tmp_path, damage):
    with TileLog(tmp_path) as log:
        log.add(Box(0, 7, 384, 384), SOFT)
    with (tmp_path / TILES).open("ab") as file:
        file.write(b"\n" + damage)
    with TileLog(tmp_path) as log:
        assert log.done == {(0, 7): SOFT}


def test_a_full_disk_is_told_once_by_what_wrote(tmp_path):
    log = TileLog(tmp_path)
    log._file.close()
    log._file = Path("/dev/full").open("a", encoding="ascii")  # noqa: SIM115 (the log closes it)
    with pytest.raises(UsageError, match="where it was full"), log:  # noqa: PT012 (the way of whoever names the place)
        try:
            log.add(Box(0, 0, 384, 384), SHARP)
        except OSError as error:
            raise UsageError("where it was full") from error
