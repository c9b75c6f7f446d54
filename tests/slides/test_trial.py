"""Slides that could end the process are tried in another one first."""

import os

import numpy as np
import pytest
import tifffile
from vendor_slides import write_aperio

from counterstain.errors import SlideError, UnreadableSlideError
from counterstain.slides.checks import trial
from counterstain.slides.checks.trial import check_survives
from counterstain.slides.opening import open_slide

RGB = np.random.default_rng(0).integers(0, 256, (128, 192, 3)).astype(np.uint8)


@pytest.fixture
def slide(tmp_path):
    return write_aperio(tmp_path / "a", RGB, 0.5)


@pytest.fixture
def fatal(tmp_path):
    """A slide at which OpenSlide aborts: it allocates what a tile is said to need, and ends the process when it cannot."""
    path = write_aperio(tmp_path / "fatal", RGB, 0.5)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags["TileWidth"].overwrite(2**30, dtype="I")
    return path


def test_a_good_slide_passes_and_the_helper_serves_the_next_one(slide):
    check_survives(slide)
    helper = trial._helpers[0]
    check_survives(slide)
    assert trial._helpers == [helper]


def test_a_slide_that_ends_its_reader_is_refused_and_the_next_one_is_read(slide, fatal):
    for _ in range(2):
        with pytest.raises(UnreadableSlideError, match=r"fatal\.svs is damaged: .*ended its process"):
            check_survives(fatal)
        check_survives(slide)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_slide_that_takes_for_ever_is_refused(slide, monkeypatch):
    check_survives(slide)
    monkeypatch.setattr(trial, "TIME_LIMIT_S", 0.2)
    os.mkfifo(slide.parent / "endless.svs")  # who opens it waits for someone who writes
    with pytest.raises(UnreadableSlideError, match="or took more than"):
        check_survives(slide.parent / "endless.svs")


def test_a_helper_that_does_not_start_is_said(slide, monkeypatch):
    monkeypatch.setattr(trial, "_helpers", [])
    monkeypatch.setattr(trial.spawn, "get_executable", lambda: str(slide.parent / "missing"))
    with pytest.raises(SlideError, match="cannot start a process"):
        check_survives(slide)


def test_a_name_that_is_no_text_reaches_the_helper(tmp_path):
    path = write_aperio(tmp_path / "name \udcff \n ü", RGB, 0.5)
    check_survives(path)


def test_every_whole_slide_is_tried_before_it_is_opened(slide, monkeypatch):
    tried = []
    monkeypatch.setattr("counterstain.slides.checks.trial.check_survives", tried.append)
    open_slide(slide).close()
    assert tried == [slide]


def test_the_helper_itself_reads_what_it_is_told(slide, capsys, monkeypatch):
    monkeypatch.setattr(trial, "_limit_memory", lambda: None)
    monkeypatch.setattr(trial.sys, "stdin", iter([f'"{slide}"\n']))
    trial.main()
    assert capsys.readouterr().out.split() == ["ready", "done"]
