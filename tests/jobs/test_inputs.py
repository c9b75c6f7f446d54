import os
import string
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterstain.errors import UsageError
from counterstain.jobs.inputs import find_inputs, folder_names

PARTS = st.text(string.ascii_letters[:3] + "_", min_size=1, max_size=2)
PATHS = st.builds(
    lambda folders, stem, suffix: Path(*folders, stem + suffix),
    st.lists(PARTS, max_size=2),
    PARTS,
    st.sampled_from([".png", ".jpg"]),
)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["x.png"], ["x"]),
        (["summary.csv.png", "SUMMARY.CSV.tif"], ["summary.csv_image_png", "SUMMARY.CSV_image_tif"]),
        (["counterstain.log.png", "counterstain-2-of-9.log.svs"], ["counterstain.log_image", "counterstain-2-of-9.log_image"]),
        (["analysis.json.png"], ["analysis.json_image"]),
        (["X.PNG", "x.png"], ["X", "x_2"]),
        (["a/x.Png", "a/X.PNG", "a/x.png"], ["x_2", "X", "x_3"]),
        ([".a/x.png", "b/x.png"], ["a_x", "b_x"]),
        (["...png", ".hid.png", "a/.ome.tif"], ["image", "hid", "ome"]),
        (["slide.ome.tif"], ["slide"]),
        (["x.png", "y.png"], ["x", "y"]),
        (["a/x.png", "b/x.jpg", "b/y.png"], ["a_x", "b_x", "y"]),
        (["a/x.png", "a/x.jpg"], ["x_png", "x_jpg"]),
        (["a/x.png", "b/X.png"], ["a_x", "b_X"]),
        (["p/a/x.png", "q/a/x.png", "q/a/x.jpg"], ["p_a_x_png", "q_a_x_png", "x_jpg"]),
        (["a/x.png", "b/x.png", "c/a_x.png"], ["x_png", "b_x", "c_a_x"]),
    ],
)
def test_names_take_as_much_of_the_path_as_tells_them_apart(paths, names):
    assert folder_names([Path(path) for path in paths]) == names


@given(st.lists(PATHS, unique_by=str, max_size=6))
def test_names_always_differ_and_do_not_depend_on_the_order(paths):
    try:
        names = folder_names(paths)
    except UsageError:
        return  # underscores can make different paths spell the same
    assert len({name.casefold() for name in names}) == len(paths)
    assert dict(zip(reversed(paths), folder_names(paths[::-1]), strict=True)) == dict(zip(paths, names, strict=True))


def test_names_that_nothing_can_tell_apart_are_an_error():
    with pytest.raises(UsageError, match=r"\(out\)"):
        folder_names([Path("x.png"), Path("x.png")])


def test_inputs_keep_the_order_in_which_they_were_named(folder):
    for name in ("b.png", "a.png", "c.txt"):
        Path(name).write_text("x")
    inputs, faults = find_inputs(("c.txt", "b.png", "."))
    assert [str(item.path) for item in inputs] == ["c.txt", "b.png", "a.png"]
    assert faults == []


def test_a_file_whose_name_looks_like_a_pattern_is_taken_as_it_is(folder):
    Path("tile[1].png").write_text("x")
    inputs, faults = find_inputs(("tile[1].png",))
    assert [item.name for item in inputs] == ["tile[1]"]
    assert faults == []


def test_an_empty_name_is_not_the_current_folder(good):
    with pytest.raises(UsageError, match="empty"):
        find_inputs(("good.png", ""))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_no_image(folder):
    os.mkfifo("a.png")
    assert "not a file" in str(find_inputs(("a.png",))[1][0][1])


def test_names_keep_to_what_the_system_can_write(monkeypatch):
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    assert folder_names([Path("b\u00e9.png")]) == ["b?"]


def test_a_zipped_ome_zarr_of_a_folder_is_an_image_and_another_archive_is_not(tmp_path):
    for name in ("field.ome.zarr.zip", "letters.zip", "slide.png"):
        (tmp_path / name).write_bytes(b"content")
    found, faults = find_inputs((str(tmp_path),))
    assert [item.path.name for item in found] == ["field.ome.zarr.zip", "slide.png"]
    assert faults == []
