"""The same command again keeps what it has written; another one is refused and says what differs."""

import csv
import json

import pytest
from PIL import Image

BOXES = "name,row_px,col_px,height_px,width_px\nleft,0,0,96,48\n"
OPTIONS = ("--mpp", "0.25", "--format", "csv")


@pytest.fixture
def result(good, analyze):
    assert analyze("good.png", *OPTIONS).exit_code == 0
    return good.parent / "out" / "good"


def modified(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_the_same_command_again_changes_nothing_and_succeeds(result, analyze):
    before = modified(result)
    again = analyze("good.png", *OPTIONS)
    assert again.exit_code == 0
    assert "0 done, 1 kept from earlier runs" in again.stdout
    assert modified(result) == before
    (row,) = csv.DictReader((result.parent / "summary.csv").read_text().splitlines())
    assert (row["status"], row["nuclei"], row["error"]) == ("kept", "4", "")


def test_a_run_that_was_stopped_between_two_images_does_the_second_alone(result, analyze, draw):
    Image.fromarray(draw()).save("late.png")
    before = modified(result)
    again = analyze("good.png", "late.png", *OPTIONS, "--json")
    assert again.exit_code == 0
    assert [(image["name"], image["status"]) for image in json.loads(again.stdout)["images"]] == [
        ("good", "kept"),
        ("late", "done"),
    ]
    assert modified(result) == before
    events = [json.loads(line)["event"] for line in (result.parent / "counterstain.log").read_text().splitlines()]
    assert events == ["start", "done", "end", "start", "kept", "done", "end"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--mpp", "0.25", "--format", "csv", "--threshold", "0.7"), "threshold was 0.5 and is 0.7"),
        (("--mpp", "0.25", "--format", "csv", "--decoder", "deepliif"), "decoder was 'watershed' and is 'deepliif'"),
        (("--mpp", "0.5", "--format", "csv"), "mpp was 0.25 and is 0.5"),
        (("--format", "csv"), "mpp_source was 'option' and is 'assumed'"),
        (("--mpp", "0.25", "--format", "csv", "--regions", "boxes.csv"), "its regions differ"),
        (("--mpp", "0.25", "--format", "csv", "--format", "geojson"), "it lacks cells.geojson"),
        (("--mpp", "0.25", "--format", "csv", "--bundle", "default"), "model was 'classical-"),
    ],
)
def test_another_command_is_refused_and_told_what_differs(result, run, options, said):
    (result.parent.parent / "boxes.csv").write_text(BOXES)
    before = modified(result)
    bundle = () if "--bundle" in options else ("--bundle", "classical")
    other = run("analyze", "good.png", "--out", "out", *bundle, *options)
    assert other.exit_code == 1
    assert said in " ".join(other.stderr.split())
    assert "replace it with --overwrite" in " ".join(other.stderr.split())
    assert modified(result) == before


def test_the_result_of_another_image_of_the_same_name_and_size_is_not_kept(result, analyze, draw):
    Image.fromarray(draw(positive=False)).save("good.png")
    again = analyze("good.png", *OPTIONS)
    assert again.exit_code == 1
    assert "it is of another image" in " ".join(again.stderr.split())


def test_a_result_with_the_same_regions_is_kept(result, analyze):
    (result.parent.parent / "boxes.csv").write_text(BOXES)
    assert analyze("good.png", *OPTIONS, "--regions", "boxes.csv", "--overwrite").exit_code == 0
    assert "1 kept" in analyze("good.png", *OPTIONS, "--regions", "boxes.csv").stdout
    assert "its regions differ" in analyze("good.png", *OPTIONS).stderr.replace("\n", " ")


def test_a_result_whose_file_was_taken_away_is_not_kept(result, analyze):
    (result / "cells.csv").unlink()
    assert "it lacks cells.csv" in analyze("good.png", *OPTIONS).stderr.replace("\n", " ")
