"""Files with several images, from the command to the files that it writes."""

import csv
import json

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from counterstain.cli.main import main

MPP = 0.25


def field(side=96, seed=0):
    """Blue disks and brown disks on a pale ground."""
    rows, cols = np.mgrid[:side, :side]
    image = np.full((side, side, 3), 240, np.uint8)
    for number, (row, col) in enumerate(np.random.default_rng(seed).integers(12, side - 12, (6, 2))):
        image[np.hypot(rows - row, cols - col) < 9] = (110, 70, 40) if number % 2 else (90, 100, 170)
    return image


@pytest.fixture
def path(tmp_path):
    options = {"photometric": "rgb", "metadata": None, "resolution": (1e4 / MPP,) * 2, "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(tmp_path / "two.tif") as writer:
        for seed in (0, 1):
            writer.write(field(seed=seed), **options)
    return tmp_path / "two.tif"


def run(path, out, *options):
    return CliRunner().invoke(main, ["analyze", str(path), "--out", str(out), "--bundle", "classical", *options])


def test_a_file_of_two_fields_is_refused_with_the_options_that_analyse_them(path, tmp_path):
    result = run(path, tmp_path / "out")
    assert result.exit_code == 1
    assert "choose one with --series 0, or analyse each with --series all" in " ".join(result.output.split())


def test_each_field_gets_a_result_that_names_it(path, tmp_path):
    out = tmp_path / "out"
    assert run(path, out, "--series", "all").exit_code == 0
    for number in (0, 1):
        slide = json.loads((out / f"two_series{number}" / "analysis.json").read_text())["slide"]
        assert (slide["name"], slide["origin"]["series"], slide["origin"]["images"]) == (f"two_series{number}", number, 2)
        assert slide["origin"]["left_out"] == [f"series {1 - number} (96 x 96 px)"]
    with (out / "summary.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert [(row["series"], row["images"], row["width_px"], row["frame_row_px"]) for row in rows] == [
        ("0", "2", "96", "0"),
        ("1", "2", "96", "0"),
    ]
    log = [json.loads(line) for line in (out / "counterstain.log").read_text().splitlines()]
    assert [line["origin"]["series"] for line in log if line["event"] == "done"] == [0, 1]


def test_one_field_is_analysed_by_its_number_and_another_is_no_repetition_of_it(path, tmp_path):
    out = tmp_path / "out"
    assert run(path, out, "--series", "1").exit_code == 0
    assert json.loads((out / "two" / "analysis.json").read_text())["slide"]["origin"]["series"] == 1
    assert "1 kept" in run(path, out, "--series", "1").output
    other = run(path, out, "--series", "0")
    assert other.exit_code == 1
    assert "series was 1 and is 0" in " ".join(other.output.split())


def test_a_field_is_segmented_again_from_its_own_image(path, tmp_path):
    run(path, tmp_path / "out", "--series", "all")
    result = CliRunner().invoke(main, ["segment", str(tmp_path / "out"), "--out", str(tmp_path / "again")])
    assert result.exit_code == 0, result.output
    for number in (0, 1):
        records = [
            json.loads((tmp_path / out / f"two_series{number}" / "analysis.json").read_text()) for out in ("out", "again")
        ]
        assert records[0]["counts"] == records[1]["counts"]
        assert records[1]["slide"]["origin"]["series"] == number


@pytest.mark.parametrize("series", ["one", "-1", "", "1.5"])
def test_a_series_that_is_no_number_is_wrong_usage(path, tmp_path, series):
    assert run(path, tmp_path / "out", "--series", series).exit_code == 2


def test_names_of_fields_that_meet_those_of_other_files_are_refused(path, tmp_path):
    tifffile.imwrite(tmp_path / "two_series1.tif", field(), photometric="rgb")
    result = CliRunner().invoke(
        main, ["analyze", str(tmp_path), "--out", str(tmp_path / "out"), "--bundle", "classical", "--series", "all"]
    )
    assert result.exit_code == 2
    assert "several images would be called two_series1" in " ".join(result.output.split())


def test_an_option_that_contradicts_the_file_is_in_every_output(path, tmp_path):
    out = tmp_path / "out"
    result = run(path, out, "--series", "0", "--mpp", "0.5", "--json")
    text = "0.5 um per pixel was given and is taken, but the file states 0.25"
    assert text in json.loads((out / "two" / "analysis.json").read_text())["warnings"][0]
    assert text in (out / "summary.csv").read_text()
    assert text in result.output
