"""Results scored and segmented again, without the model."""

import csv
import json
import shutil

import pytest
from PIL import Image

from counterstain.outputs.names import FORMATS

BOXES = "name,row_px,col_px,height_px,width_px\nleft,0,0,96,48\nright,0,48,96,48\n"


@pytest.fixture
def result(good, analyze):
    assert analyze(good, "--mpp", "0.25").exit_code == 0
    return good.parent / "out" / "good"


def content_of(folder, name="analysis.json"):
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("table", ["cells.csv", "cells.parquet"])
def test_scores_without_options_are_those_of_the_result(result, run, table):
    before = content_of(result)
    (result / ({"cells.csv", "cells.parquet"} - {table}).pop()).unlink()
    assert run("score", result).exit_code == 0
    scores = content_of(result, "scores.json")
    assert {key: scores[key] for key in ("scores", "counts", "thresholds")} == {
        key: before[key] for key in ("scores", "counts", "thresholds")
    }


def test_nothing_but_the_list_of_files_changes_and_analyze_removes_the_scores(result, run, analyze):
    before = {path.name: path.read_bytes() for path in result.iterdir() if path.name != "analysis.json"}
    record = content_of(result)
    for _ in range(2):
        assert run("score", result, "--threshold", "1").exit_code == 0
    assert content_of(result) == {**record, "files": [*record["files"], "scores.json"]}
    assert {name: (result / name).read_bytes() for name in before} == before
    assert analyze("good.png", "--mpp", "0.25", "--overwrite").exit_code == 0
    assert not (result / "scores.json").exists()


def test_a_threshold_below_every_probability_makes_every_nucleus_positive(result, run):
    assert run("score", result, "--threshold", "0", "--marker-threshold", "1").exit_code == 0
    scores = content_of(result, "scores.json")
    assert scores["counts"] == {"nuclei": 4, "positive": 4, "negative": 0}
    assert (scores["thresholds"]["threshold"], scores["thresholds"]["marker_threshold"]) == (0, 1)


def test_all_results_of_a_folder_are_scored_by_region(result, run):
    (result.parent.parent / "boxes.csv").write_text(BOXES)
    shutil.copytree(result, result.parent / "copy")
    done = run("score", result.parent, "--regions", "boxes.csv")
    assert done.exit_code == 0
    rows = [line.split()[:4] for line in done.output.splitlines()[1:7]]
    assert rows == [
        [name, *row] for name in ("copy", "good") for row in (["all", "4", "2"], ["left", "2", "2"], ["right", "2", "0"])
    ]
    assert content_of(result, "scores.json")["regions"] == "boxes.csv"


def test_json_is_one_document(result, run):
    done = run("score", result, "--json")
    assert [image["name"] for image in json.loads(done.output)["images"]] == ["good"]


@pytest.mark.parametrize("command", [["score"], ["segment", "--out", "new"]])
def test_a_folder_without_a_result_is_refused(good, run, command):
    done = run(*command, good.parent)
    assert done.exit_code == 2
    assert "holds no result" in done.output


def test_a_result_without_a_table_says_what_to_do(good, analyze, run):
    analyze(good, "--mpp", "0.25", "--format", "json")
    assert run("score", "out").exit_code == 0  # of cells.npz
    (good.parent / "out" / "good" / "cells.npz").unlink()
    done = run("score", "out")
    assert done.exit_code == 1
    assert "--format csv or parquet" in done.output


def test_a_result_without_a_table_does_not_keep_the_others_from_being_scored(result, run):
    shutil.copytree(result, result.parent / "bad")
    for table in ("cells.csv", "cells.parquet", "cells.npz"):
        (result.parent / "bad" / table).unlink()
    done = run("score", "out")
    assert done.exit_code == 1
    assert "bad holds none of cells.parquet, cells.csv" in done.stderr
    assert "scores.json in 1 of the folders in out, and scores.csv, 1 failed" in done.stdout
    assert content_of(result, "scores.json")["counts"]["nuclei"] == 4
    images = json.loads(run("score", "out", "--json").stdout)["images"]
    assert [(image["name"], image["status"]) for image in images] == [("good", "done"), ("bad", "failed")]


def test_a_later_format_is_refused(result, run):
    (result / "analysis.json").write_text(json.dumps({**content_of(result), "format_version": 99}))
    assert "later format" in run("score", result).output


def test_segmenting_with_equal_options_gives_the_same_cells(result, run):
    done = run("segment", result, "--out", "again")
    assert done.exit_code == 0, done.output
    again = result.parents[1] / "again" / "good"
    for name in ("cells.csv", "cells.geojson", "cells.parquet", "segmentation.png", "overlay.png", "modalities.ome.tiff"):
        if name != "modalities.ome.tiff":  # holds an identifier of its own
            assert (again / name).read_bytes() == (result / name).read_bytes(), name
    old, new = content_of(result), content_of(again)
    assert {key for key in old if old[key] != new[key]} <= {"timings_s"}
    assert run("segment", "again", "--out", "third", "--format", "csv").exit_code == 0


def test_segmenting_with_other_options_gives_other_cells(result, run):
    assert run("segment", result, "--out", "none", "--min-area-um2", "500", "--format", "csv").exit_code == 0
    assert content_of(result.parents[1] / "none" / "good")["counts"]["nuclei"] == 0


def test_the_image_may_have_moved_but_must_be_the_same(result, run, good):
    good.rename(good.parent / "good.moved.png")
    done = run("segment", result, "--out", "again", "--format", "csv")
    assert done.exit_code == 1
    assert "--slide" in done.output
    (good.parent / "there").mkdir()
    (good.parent / "good.moved.png").rename(good.parent / "there" / "good.png")
    assert run("segment", result, "--out", "again", "--format", "csv", "--slide", "there/good.png").exit_code == 0


def test_maps_are_never_replaced_by_themselves(result, run):
    done = run("segment", result, "--out", "out", "--overwrite")
    assert done.exit_code == 1
    assert "choose another" in done.output


def test_the_image_of_a_result_is_never_replaced(result, run, good):
    place = good.parent / "new" / "good"
    place.mkdir(parents=True)
    original = good.rename(place / "overlay.png").read_bytes()
    done = run("segment", result, "--out", "new", "--slide", place / "overlay.png", "--overwrite")
    assert done.exit_code == 1
    assert "would replace its own input" in done.output
    assert (place / "overlay.png").read_bytes() == original


def test_another_image_is_refused(result, run, draw):
    Image.fromarray(draw(80)).save("small.png")
    done = run("segment", result, "--out", "x", "--slide", "small.png")
    assert done.exit_code == 1
    assert "not the image" in done.output


def test_maps_in_ome_zarr_give_the_same_cells(good, analyze, run):
    formats = ("--format", "ome-zarr", "--format", "csv")
    assert analyze(good, "--mpp", "0.25", *formats).exit_code == 0
    assert analyze(good, "--mpp", "0.25", *formats, "--overwrite").exit_code == 0
    done = run("segment", "out", "--out", "again", *formats)
    assert done.exit_code == 0, done.output
    assert (good.parent / "again/good/cells.csv").read_bytes() == (good.parent / "out/good/cells.csv").read_bytes()
    assert (good.parent / "again/good/maps.ome.zarr/zarr.json").is_file()


def test_all_formats_are_written_when_named(good, analyze):
    named = [text for name in FORMATS for text in ("--format", name)]
    assert analyze(good, "--mpp", "0.25", *named).exit_code == 0
    folder = good.parent / "out" / "good"
    assert {path.name for path in folder.iterdir()} == set(content_of(folder)["files"])


def test_segmenting_equals_the_run_with_another_decoder_and_pixel_size(good, analyze, run):
    options = (
        "--decoder",
        "deepliif",
        "--threshold",
        "0.3",
        "--max-area-um2",
        "2000",
        "--format",
        "csv",
        "--format",
        "geojson",
    )
    assert analyze(good, "--mpp", "0.4", *options, "--format", "ome-tiff").exit_code == 0
    assert run("segment", "out", "--out", "again", *options).exit_code == 0
    for name in ("cells.csv", "cells.geojson"):
        assert (good.parent / "again/good" / name).read_bytes() == (good.parent / "out/good" / name).read_bytes()
    assert content_of(good.parent / "again" / "good")["counts"]["nuclei"] > 0


def test_a_slide_that_does_not_fit_in_memory_is_segmented_block_by_block_with_the_same_files(result, run, monkeypatch):
    options = ("--slide", "good.png", "--format", "csv", "--format", "geojson", "--max-area-um2", "60")
    assert run("segment", "out/good", "--out", "whole", *options).exit_code == 0
    monkeypatch.setattr("counterstain.jobs.resegmenting.IN_MEMORY_PIXELS", 1000)
    assert run("segment", "out/good", "--out", "blocks", *options).exit_code == 0
    for name in ("cells.csv", "cells.geojson"):
        assert (result.parents[1] / "blocks/good" / name).read_bytes() == (result.parents[1] / "whole/good" / name).read_bytes()
    assert [path.name for path in (result.parents[1] / "blocks").iterdir() if path.name.startswith(".")] == []


def test_an_interrupted_segmentation_goes_on_and_one_with_other_options_starts_anew(result, run, monkeypatch):
    monkeypatch.setattr("counterstain.jobs.resegmenting.IN_MEMORY_PIXELS", 1000)
    monkeypatch.setattr(
        "counterstain.jobs.resegmenting.write_folder", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error"))
    )
    options = ("--slide", "good.png", "--format", "csv", "--out", "new")
    assert run("segment", "out/good", *options).exit_code == 1
    (part,) = (result.parents[1] / "new/.good.cells/cells").iterdir()
    first = part.stat().st_mtime_ns
    assert run("segment", "out/good", *options).exit_code == 1
    assert part.stat().st_mtime_ns == first
    assert run("segment", "out/good", *options, "--max-area-um2", "60").exit_code == 1
    assert part.stat().st_mtime_ns > first


def test_the_document_of_a_segmentation_says_what_the_file_says(result, run):
    done = run("segment", "out/good", "--out", "new", "--slide", "good.png", "--format", "csv", "--json")
    (image,) = json.loads(done.stdout)["images"]
    assert image["timings_s"] == content_of(result.parents[1] / "new" / "good")["timings_s"] != {}


def table_of(folder):
    with (folder / "scores.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_table_has_every_result_and_region_with_its_thresholds(result, run):
    (result.parent.parent / "boxes.csv").write_text(BOXES.replace("left", "=left"))
    shutil.copytree(result, result.parent / "copy")
    assert run("score", result).exit_code == 0
    assert [(row["name"], row["region"], row["status"]) for row in table_of(result.parent)] == [("good", "all", "done")]
    assert run("score", "out/copy", "--regions", "boxes.csv", "--threshold", "1").exit_code == 0
    rows = table_of(result.parent)
    assert [(row["name"], row["region"], row["status"]) for row in rows] == [
        ("copy", "all", "done"),
        ("copy", "'=left", "done"),
        ("copy", "right", "done"),
        ("good", "all", "kept"),
    ]
    assert [row["threshold"] for row in rows] == ["1.0", "1.0", "1.0", "0.5"]
    assert (rows[1]["nuclei"], rows[3]["nuclei"], rows[3]["positive"], rows[3]["percent_positive"]) == ("2", "4", "2", "50.0")
    assert float(rows[1]["density"]) * float(rows[1]["area_mm2"]) == pytest.approx(2, rel=1e-2)
    assert "only 4 nuclei were counted" in rows[3]["warnings"]
