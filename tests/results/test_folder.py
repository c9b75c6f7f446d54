import errno
import importlib.util
import os

import pytest

from counterstain.errors import OutputError, UsageError
from counterstain.outputs.names import (
    FORMATS,
    WHOLE_IMAGE_PIXELS,
    check_formats,
    default_formats,
    formats_for,
    needs_modalities,
    skipped_formats,
)
from counterstain.panel import DEFAULT_PANEL
from counterstain.results.folder import check_apart, check_free, homes, is_output, write_folder, written_files


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_all_formats_together_give_every_file(analysis, tmp_path):
    written = write_folder(analysis, tmp_path / "tile", default_formats())
    assert sorted(written) == names(tmp_path / "tile")
    assert names(tmp_path / "tile") == [
        "analysis.json",
        "cells.csv",
        "cells.geojson",
        "cells.npz",
        "cells.parquet",
        "dapi.png",
        "hematoxylin.png",
        "lap2.png",
        "marker.png",
        "modalities.ome.tiff",
        "overlay.png",
        "segmentation.png",
        "tiles.csv",
    ]


def test_files_of_a_run_are_known_as_outputs_and_strangers_are_not(analysis, tmp_path):
    write_folder(analysis, tmp_path / "tile", ("overlay",))
    (tmp_path / "tile" / "mine.png").write_text("x")
    assert is_output(tmp_path / "tile" / "overlay.png")
    assert not is_output(tmp_path / "tile" / "mine.png")
    assert written_files(tmp_path) == frozenset()


def test_overwriting_removes_files_of_formats_that_are_no_longer_asked_for(analysis, tmp_path):
    write_folder(analysis, tmp_path / "tile", ("overlay", "csv"))
    (tmp_path / "tile" / "mine.png").write_text("x")
    write_folder(analysis, tmp_path / "tile", ("csv",))
    assert names(tmp_path / "tile") == ["analysis.json", "cells.csv", "cells.npz", "mine.png"]


def test_a_disk_that_fills_at_the_third_file_leaves_nothing(analysis, tmp_path, monkeypatch):
    real, calls = os.replace, []

    def third_fails(source, target):
        calls.append(target)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", third_fails)
    with pytest.raises(OutputError, match="disk is full"):
        write_folder(analysis, tmp_path / "tile", default_formats())
    assert names(tmp_path) == []


def test_an_earlier_result_is_not_replaced_unasked(analysis, tmp_path):
    check_free(tmp_path / "tile", ("csv",), DEFAULT_PANEL)
    write_folder(analysis, tmp_path / "tile", ("csv",))
    with pytest.raises(OutputError, match=r"replace it \(overwrite\), or choose another folder \(out\)"):
        check_free(tmp_path / "tile", ("csv",), DEFAULT_PANEL)


def test_a_stranger_s_file_is_not_replaced_unasked(tmp_path):
    (tmp_path / "tile").mkdir()
    (tmp_path / "tile" / "dapi.png").write_text("mine")
    check_free(tmp_path / "tile", ("csv",), DEFAULT_PANEL)
    with pytest.raises(OutputError, match=r"dapi\.png"):
        check_free(tmp_path / "tile", ("modalities",), DEFAULT_PANEL)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "tile").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        check_free(tmp_path / "tile", ("csv",), DEFAULT_PANEL)


def test_a_folder_that_holds_an_input_however_deep_is_not_replaced(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "tile")
    inhabited = homes([tmp_path / "tile" / "raw" / "a.png", tmp_path / "b.png"])
    for name in ("tile", "tile/raw", "link"):
        with pytest.raises(OutputError, match="would replace its own input; choose another folder"):
            check_apart(tmp_path / name, inhabited)
    check_apart(tmp_path / "a", inhabited)


def test_an_unknown_format_lists_the_known_ones():
    with pytest.raises(UsageError, match="geojson"):
        check_formats(["xlsx"])


def test_without_pyarrow_parquet_is_skipped_unless_asked_for(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "parquet" not in default_formats()
    assert skipped_formats() == ("parquet",)
    check_formats(default_formats())
    with pytest.raises(OutputError, match=r"pip install"):
        check_formats(["parquet"])


def test_each_thing_that_a_format_lacks_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OutputError, match=r'spatialdata needs zarr, pyarrow; run: .* -m pip install "counterstain\[slides\]"'):
        check_formats(["spatialdata"])


def test_every_format_describes_itself():
    assert all(form.description for form in FORMATS.values())


def test_pictures_are_left_out_of_a_slide_that_is_too_large_for_them():
    assert formats_for(tuple(FORMATS), WHOLE_IMAGE_PIXELS, named=False) == tuple(FORMATS)
    assert formats_for(tuple(FORMATS), WHOLE_IMAGE_PIXELS + 1, named=False) == (
        *("csv", "geojson", "parquet", "tiles", "geojson.gz", "ome-zarr", "h5ad", "spatialdata", "density", "json"),
    )


def test_the_inferred_planes_of_a_large_slide_are_written_when_they_are_asked_for():
    assert formats_for(("csv", "ome-tiff"), 10**10, named=True) == ("csv", "ome-tiff")


def test_a_picture_that_was_asked_for_is_not_left_out_in_silence():
    with pytest.raises(OutputError, match="the formats overlay can only be written for up to 250,000,000 pixels"):
        formats_for(("csv", "overlay"), WHOLE_IMAGE_PIXELS + 1, named=True)
    assert formats_for(("csv", "json"), 10**10, named=True) == ("csv", "json")


def test_inferred_images_are_needed_by_the_formats_that_show_them():
    assert [name for name in FORMATS if needs_modalities((name,))] == ["modalities", "ome-tiff", "ome-zarr"]
