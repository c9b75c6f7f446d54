import csv
import importlib.util
import json
import subprocess
import sys
from importlib.metadata import version

import pytest
import tifffile
from PIL import Image
from stained_fields import AEC, stained_field

from counterstain.inference import names as backend_names
from counterstain.inference.classical import ClassicalBackend
from counterstain.outputs.names import FORMATS

FILES = [
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


def entries(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_one_image_gives_every_file_and_a_summary(good, analyze):
    result = analyze("good.png")
    assert result.exit_code == 0
    assert entries(good.parent / "out" / "good") == FILES
    assert entries(good.parent / "out") == ["counterstain.log", "good", "summary.csv"]


def test_json_table_and_geojson_count_the_same_nuclei(good, analyze):
    assert analyze("good.png").exit_code == 0
    out = good.parent / "out" / "good"
    counts = json.loads((out / "analysis.json").read_text())["counts"]
    rows = list(csv.DictReader((out / "cells.csv").read_text().splitlines()))
    classes = [
        feature["properties"]["classification"]["name"]
        for feature in json.loads((out / "cells.geojson").read_text())["features"]
    ]
    positive = sum(row["is_positive"] == "true" for row in rows)
    assert counts == {"nuclei": 4, "positive": 2, "negative": 2}
    assert (len(rows), positive) == (4, 2)
    assert (len(classes), classes.count("Positive"), classes.count("Negative")) == (4, 2, 2)


def test_in_a_pipe_the_summary_is_plain_and_there_are_no_bars(good, analyze):
    result = analyze("good.png", "--format", "json")
    assert result.stdout == (
        "Image  Nuclei  Positive  Negative  % positive  95 % interval  Warnings\n"
        "good   4       2         2         50.0        15.0 to 85.0   2\n"
        "1 done; results in out\n"
    )
    assert result.stderr.count("warning: good: ") == 2
    assert "\x1b" not in result.output


def test_quiet_says_nothing_when_all_is_well(good, analyze):
    result = analyze("good.png", "--quiet", "--format", "json")
    assert (result.exit_code, result.output) == (0, "")


def test_json_is_the_only_thing_on_standard_output(good, analyze):
    result = analyze("good.png", "missing.png", "--json", "--format", "csv")
    document = json.loads(result.stdout)
    assert result.exit_code == 1
    done, failed = document["images"]
    assert (done["status"], done["name"], done["counts"]["nuclei"]) == ("done", "good", 4)
    assert done["files"] == ["cells.csv", "cells.npz", "analysis.json"]
    assert (failed["status"], failed["source"]) == ("failed", "missing.png")
    assert "missing.png does not exist" in result.stderr


def test_a_folder_and_a_pattern_and_a_file_name_each_image_once(good, analyze, draw):
    (good.parent / "more").mkdir()
    Image.fromarray(draw()).save("more/deep.JPG")
    (good.parent / "notes.txt").write_text("no image")
    (good.parent / ".hidden.png").write_bytes(good.read_bytes())
    result = analyze(".", "good.png", "**/*", "--format", "json")
    assert result.exit_code == 0
    assert entries(good.parent / "out") == ["counterstain.log", "deep", "good", "summary.csv"]


@pytest.mark.parametrize("named", ["nothing*.png", "empty"])
def test_a_pattern_or_folder_without_an_image_fails_and_the_rest_is_done(good, analyze, named):
    (good.parent / "empty").mkdir()
    result = analyze(named, "good.png", "--format", "json")
    assert result.exit_code == 1
    assert named in result.stderr
    assert entries(good.parent / "out") == ["counterstain.log", "good", "summary.csv"]


def test_running_again_on_the_same_folder_takes_no_output_for_an_input(good, run):
    arguments = ("--out", ".", "--bundle", "classical")
    assert run("analyze", ".", *arguments).exit_code == 0
    assert entries(good.parent / "good") == FILES
    again = run("analyze", ".", "**/*", "good", *arguments, "--overwrite")
    assert entries(good.parent) == ["counterstain.log", "good", "good.png", "summary.csv"]
    assert again.exit_code == 1  # the folder good, named itself, holds no image but outputs
    assert "good holds no image" in again.stderr
    named = run("analyze", "good/dapi.png", *arguments)
    assert named.exit_code == 1
    assert "written by an earlier run" in named.stderr


def test_an_earlier_result_is_kept_unless_overwriting_is_asked_for(good, analyze, draw):
    assert analyze("good.png", "--format", "json").exit_code == 0
    refused = analyze("good.png", "--threshold", "1", "--format", "json")
    assert refused.exit_code == 1
    assert "--overwrite" in refused.stderr
    record = good.parent / "out" / "good" / "analysis.json"
    assert json.loads(record.read_text())["thresholds"]["threshold"] == 0.5
    assert analyze("good.png", "--threshold", "1", "--format", "csv", "--overwrite").exit_code == 0
    assert json.loads(record.read_text())["thresholds"]["threshold"] == 1
    assert entries(good.parent / "out" / "good") == ["analysis.json", "cells.csv", "cells.npz"]


def test_a_later_run_adds_to_the_summary(good, analyze, draw):
    Image.fromarray(draw(positive=False)).save("blue.png")
    analyze("good.png", "--format", "json")
    analyze("blue.png", "--format", "json")
    rows = csv.DictReader((good.parent / "out" / "summary.csv").read_text().splitlines())
    assert [(row["name"], row["status"], row["percent_positive"]) for row in rows] == [
        ("blue", "done", "0.0"),
        ("good", "kept", "50.0"),
    ]


@pytest.mark.parametrize(
    ("arguments", "mpp", "source"),
    [((), 0.25, "assumed"), (("--mpp", "0.5"), 0.5, "option"), (("--magnification", "20"), 0.5, "option")],
)
def test_the_pixel_size_and_where_it_comes_from_are_recorded(good, analyze, arguments, mpp, source):
    result = analyze("good.png", *arguments, "--format", "json")
    slide = json.loads((good.parent / "out" / "good" / "analysis.json").read_text())["slide"]
    assert (slide["mpp"], slide["mpp_source"]) == (mpp, source)
    assert ("is assumed" in result.stderr) == (source == "assumed")


def test_the_pixel_size_of_an_ome_tiff_is_read(folder, analyze, draw):
    tifffile.imwrite("s.ome.tif", draw(), photometric="rgb", metadata={"PhysicalSizeX": 0.3, "PhysicalSizeY": 0.3})
    assert analyze("s.ome.tif", "--format", "json").exit_code == 0
    slide = json.loads((folder / "out" / "s" / "analysis.json").read_text())["slide"]
    assert (slide["mpp"], slide["mpp_source"]) == (0.3, "metadata")


def test_nuclei_far_from_the_expected_size_are_a_warning(good, analyze):
    result = analyze("good.png", "--mpp", "1.0", "--format", "json")
    assert result.exit_code == 0
    assert "median nuclear area" in result.stderr


def test_options_reach_the_segmentation(good, analyze):
    options = ("--decoder", "deepliif", "--marker-threshold", "0.9", "--min-area-um2", "1", "--max-area-um2", "500")
    assert analyze("good.png", *options, "--format", "json").exit_code == 0
    thresholds = json.loads((good.parent / "out" / "good" / "analysis.json").read_text())["thresholds"]
    assert thresholds["decoder"] == "deepliif"
    assert thresholds["marker_threshold"] == 0.9
    assert (thresholds["min_area_um2"], thresholds["max_area_um2"]) == (1.0, 500.0)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--mpp", "0.5", "--magnification", "20"),
        ("--mpp", "0"),
        ("--threshold", "1.5"),
        ("--min-area-um2", "9", "--max-area-um2", "3"),
        ("--format", "xlsx"),
        ("--decoder", "magic"),
        ("--threads", "0"),
        ("--nonsense",),
    ],
)
def test_wrong_usage_is_exit_code_2_and_writes_nothing(good, analyze, arguments):
    result = analyze("good.png", *arguments)
    assert result.exit_code == 2
    assert entries(good.parent) == ["good.png"]


def test_parquet_without_pyarrow_is_skipped_by_default_and_an_error_when_asked_for(good, analyze, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    asked = analyze("good.png", "--format", "parquet")
    assert asked.exit_code == 1
    assert 'pip install "counterstain[slides]"' in asked.stderr
    result = analyze("good.png")
    assert result.exit_code == 0
    assert "not written: parquet" in result.stdout
    assert "cells.parquet" not in entries(good.parent / "out" / "good")


def test_help_names_every_format(run):
    text = run("analyze", "--help").stdout
    assert all(name in text for name in FORMATS)


def test_ctrl_c_leaves_what_was_finished_and_no_half_file(good, analyze, draw, monkeypatch):
    class Interrupted(ClassicalBackend):
        calls = 0

        def run(self, batch):
            Interrupted.calls += 1
            if Interrupted.calls == 2:
                raise KeyboardInterrupt
            return super().run(batch)

    monkeypatch.setitem(backend_names.BACKENDS, "classical", lambda threads: Interrupted())
    Image.fromarray(draw()).save("second.png")
    result = analyze("good.png", "second.png", "--format", "csv")
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr
    assert entries(good.parent / "out") == ["counterstain.log", "good"]
    assert entries(good.parent / "out" / "good") == ["analysis.json", "cells.csv", "cells.npz"]


def test_the_group_and_its_help_import_nothing_heavy():
    code = (
        "import sys; from click.testing import CliRunner; from counterstain.cli.main import main;"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0;"
        "sys.exit(', '.join({'numpy', 'torch', 'pydantic', 'onnxruntime', 'rich', 'skimage'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_analysing_imports_no_torch(good):
    code = (
        "import sys; from counterstain.cli.main import main;"
        "main(['analyze', 'good.png', '--out', 'out', '--bundle', 'classical', '-q'], standalone_mode=False);"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_command_says_its_version(run):
    assert version("counterstain") in run("--version").stdout


def test_an_unknown_command_is_wrong_usage(run):
    assert run("analyse").exit_code == 2


def test_a_real_tile_gives_every_file(data_dir, folder, analyze):
    result = analyze(data_dir / "deepliif-bc4" / "ihc" / "22_2.png")
    assert result.exit_code == 0
    assert entries(folder / "out" / "22_2") == FILES
    content = json.loads((folder / "out" / "22_2" / "analysis.json").read_text())
    rows = list(csv.DictReader((folder / "out" / "22_2" / "cells.csv").read_text().splitlines()))
    assert len(rows) == content["counts"]["nuclei"] > 100
    assert sum(row["is_positive"] == "true" for row in rows) == content["counts"]["positive"]


def test_another_stain_is_warned_of_in_every_output(folder, analyze, run):
    Image.fromarray(stained_field(AEC)).save("red.png")
    result = analyze("red.png", "--format", "ome-tiff", "--format", "csv")
    assert result.exit_code == 0
    assert "looks red" in result.stderr
    assert "looks red" in json.loads((folder / "out" / "red" / "analysis.json").read_text())["warnings"][0]
    assert "looks red" in (folder / "out" / "summary.csv").read_text()
    assert "looks red" in (folder / "out" / "counterstain.log").read_text()
    assert "looks red" in run("score", "out").stderr
    assert "looks red" in run("segment", "out", "--out", "again", "--format", "csv").stderr
