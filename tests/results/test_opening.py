"""A result that was written opens as the analysis that it was."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from counterstain.cells.table import COLUMNS
from counterstain.errors import CounterstainError, OutputError, UsageError
from counterstain.geometry import Box
from counterstain.results.folder import write_folder
from counterstain.results.opening import open_result

GOLDEN = Path(__file__).parents[1] / "outputs" / "golden"


@pytest.fixture
def on_disk(analysis, tmp_path):
    """The drawn analysis, whose image lies on disk."""
    path = tmp_path / "tile.png"
    Image.fromarray(analysis.slide.read(Box(0, 0, 12, 16), 0.25)).save(path, dpi=(101600, 101600))
    return dataclasses.replace(analysis, source=str(path), overview_sha256="ab", tissue_mm2=0.5)


def assert_same(found, analysis):
    names = ("manifest", "fingerprint", "scores", "overview_sha256", "tissue_mm2", "source", "warnings", "timings_s", "tiles")
    for name in names:
        assert getattr(found, name) == getattr(analysis, name), name
    assert found.cells.thresholds == analysis.cells.thresholds
    (part,) = found.cells.parts()
    for name in COLUMNS:
        np.testing.assert_array_equal(found.cells[name], analysis.cells[name])
        np.testing.assert_array_equal(part[name], analysis.cells[name])
    for one, other in zip(part.outlines, analysis.cells.outlines, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("formats", [("json",), ("csv", "geojson", "ome-tiff", "tiles")])
def test_what_was_written_opens_as_what_it_was(on_disk, tmp_path, formats):
    write_folder(on_disk, tmp_path / "out", formats)
    found = open_result(tmp_path / "out")
    assert_same(found, on_disk)
    slide = found.slide
    assert (slide.name, slide.size, slide.resolution) == ("tile", on_disk.slide.size, on_disk.slide.resolution)


def test_maps_are_there_where_they_were_kept(on_disk, tmp_path):
    write_folder(on_disk, tmp_path / "with", ("ome-tiff",))
    write_folder(on_disk, tmp_path / "without", ("csv",))
    found = open_result(tmp_path / "with").maps
    np.testing.assert_array_equal(found["dapi"][:, :], on_disk.maps["dapi"][:, :])
    without = open_result(str(tmp_path / "without")).maps
    assert (without.size, without.mpp, without.planes) == (on_disk.maps.size, on_disk.maps.mpp, {})


def test_a_box_of_a_result_is_a_part_of_its_table(on_disk, tmp_path):
    write_folder(on_disk, tmp_path / "out", ("json",))
    found = open_result(tmp_path / "out").cells.within(Box(0, 0, 6, 5))
    assert found["cell_id"].tolist() == [100]
    np.testing.assert_array_equal(found.outlines[0], on_disk.cells.outlines[0])


def test_the_image_is_opened_when_its_pixels_are_asked_for(on_disk, tmp_path):
    write_folder(on_disk, tmp_path / "out", ("json",))
    (tmp_path / "tile.png").rename(tmp_path / "moved.png")
    with open_result(tmp_path / "out").slide as slide, pytest.raises(CounterstainError, match="name the image of the result"):
        slide.read(Box(0, 0, 2, 2), 0.25)
    with open_result(tmp_path / "out", slide=tmp_path / "moved.png").slide as slide:
        assert slide.read(Box(0, 0, 2, 2), 0.25).tolist() == [[[240] * 3] * 2] * 2


def test_an_image_of_another_size_is_not_taken_for_that_of_the_result(on_disk, tmp_path):
    write_folder(on_disk, tmp_path / "out", ("json",))
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "tile.png", dpi=(101600, 101600))
    with (
        open_result(tmp_path / "out").slide as slide,
        pytest.raises(UsageError, match="is not the image that"),
    ):
        slide.read(Box(0, 0, 2, 2), 0.25)


def test_the_golden_file_of_outlines_is_read_and_written_with_the_same_content(analysis, tmp_path):
    assert_same(open_result(GOLDEN / "v2" / "tile"), analysis)
    write_folder(analysis, tmp_path / "out", ("json",))
    with np.load(GOLDEN / "v2" / "tile" / "cells.npz") as expected, np.load(tmp_path / "out" / "cells.npz") as found:
        assert found.files == expected.files == ["version", "unit", "table/0", "outlines/0", "squares"]
        for name in found.files:
            assert found[name].dtype == expected[name].dtype
            assert found[name].tobytes() == expected[name].tobytes()


def test_a_result_without_nuclei_opens(analysis, tmp_path):
    write_folder(dataclasses.replace(analysis, cells=analysis.cells.within(Box(99, 99, 1, 1))), tmp_path / "out", ("json",))
    assert len(open_result(tmp_path / "out").cells) == 0


def test_a_result_of_an_earlier_version_takes_its_outlines_from_the_file_for_qupath(analysis):
    found = open_result(GOLDEN / "v1" / "tile")
    assert_same(found, analysis)


@pytest.mark.parametrize("name", ["cells.geojson", "cells.geojson.gz"])
def test_outlines_are_found_in_either_file_for_qupath(analysis, tmp_path, name):
    write_folder(analysis, tmp_path / "out", ("csv", name.removeprefix("cells.")))
    (tmp_path / "out" / "cells.npz").unlink()
    assert_same(open_result(tmp_path / "out"), analysis)


def test_a_result_without_any_outlines_says_so(tmp_path):
    shutil.copytree(GOLDEN / "v1" / "tile", tmp_path / "tile")
    (tmp_path / "tile" / "cells.geojson").unlink()
    found = open_result(tmp_path / "tile")
    assert [len(ring) for ring in found.cells.outlines] == [0, 0, 0]
    assert "outlines of the nuclei were not kept" in found.warnings[-1]
    assert found.cells.within(Box(0, 0, 5, 5))["cell_id"].tolist() == [100]


FEATURE = '{"properties": {"name": "100"}, "geometry": 3}'


@pytest.mark.parametrize("text", ["", "[]", '{"features": [\n{"type": "Feature"},\n', "{\n" + FEATURE])
def test_a_damaged_file_for_qupath_is_refused(tmp_path, text):
    shutil.copytree(GOLDEN / "v1" / "tile", tmp_path / "tile")
    (tmp_path / "tile" / "cells.geojson").write_text(text)
    with pytest.raises(OutputError, match=r"cannot read .*cells\.geojson"):
        open_result(tmp_path / "tile")


def test_a_folder_without_a_result_or_with_a_later_one_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no result"):
        open_result(tmp_path)
    shutil.copytree(GOLDEN / "v1" / "tile", tmp_path / "tile")
    later = json.loads((tmp_path / "tile" / "analysis.json").read_text()) | {"format_version": 99}
    (tmp_path / "tile" / "analysis.json").write_text(json.dumps(later))
    with pytest.raises(UsageError, match="later format"):
        open_result(tmp_path / "tile")
