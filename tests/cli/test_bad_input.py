"""Every bad input: what fails is named, what can be read is done, and the good image of the batch always is."""

import csv
import errno
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from counterstain.errors import BackendError
from counterstain.inference import names as backend_names
from counterstain.inference.bundle import write_bundle
from counterstain.inference.classical import ClassicalBackend


def entries(folder):
    return sorted(entry.name for entry in folder.iterdir())


def summary(folder):
    return {row["source"]: row for row in csv.DictReader((folder / "out" / "summary.csv").read_text().splitlines())}


def animated(as_png):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save("bad.png", format="GIF", save_all=True, append_images=frames[1:])


REFUSED = {
    "text": (lambda png, draw: b"this is no image", "not a"),
    "empty": (lambda png, draw: b"", "empty"),
    "truncated": (lambda png, draw: png(Image.fromarray(draw()))[:-300], "truncated"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unreadable_file_is_named_and_the_good_image_is_done(good, analyze, as_png, draw, name):
    content, expected = REFUSED[name]
    (good.parent / "bad.png").write_bytes(content(as_png, draw))
    check_refused(analyze("bad.png", "good.png", "--format", "json"), good.parent, expected)


def test_the_tiff_library_writes_nothing_of_its_own(good):
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save("bad.tif", compression="tiff_lzw")
    content = bytearray((good.parent / "bad.tif").read_bytes())
    first = int.from_bytes(content[4:8], "little")  # of the directory, whose first tag gets a type that does not exist
    content[first + 4 : first + 6] = b"\xff\xff"
    (good.parent / "bad.tif").write_bytes(content)
    command = [sys.executable, "-m", "counterstain", "analyze", "bad.tif", "--out", "out", "--bundle", "classical"]
    code = "import sys; from counterstain.cli.main import main; main(sys.argv[1:])"
    done = subprocess.run([command[0], "-c", code, *command[3:]], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert all(line.startswith("error: ") for line in done.stderr.splitlines())


def test_a_decompression_bomb_is_refused(good, analyze, bomb_bytes):
    (good.parent / "bad.png").write_bytes(bomb_bytes)
    check_refused(analyze("bad.png", "good.png", "--format", "json"), good.parent, "pixels")


def test_an_animated_image_is_refused(good, analyze, as_png):
    animated(as_png)
    check_refused(analyze("bad.png", "good.png", "--format", "json"), good.parent, "animated")


def test_a_cmyk_image_is_refused(good, analyze):
    Image.new("CMYK", (40, 40)).save("bad.png", format="JPEG")
    check_refused(analyze("bad.png", "good.png", "--format", "json"), good.parent, "CMYK")


def test_a_missing_file_is_named(good, analyze):
    check_refused(analyze("bad.png", "good.png", "--format", "json"), good.parent, "does not exist")


def check_refused(result, folder, expected):
    assert result.exit_code == 1
    assert result.stderr.count("bad.png") >= 1
    assert expected.lower() in result.stderr.lower()
    assert "Traceback" not in result.output
    assert "1 done, 1 failed" in result.stdout
    assert entries(folder / "out") == ["counterstain.log", "good", "summary.csv"]
    rows = summary(folder)
    assert rows["good.png"]["status"] == "done"
    assert rows["bad.png"]["status"] == "failed"
    assert expected.lower() in rows["bad.png"]["error"].lower()


READ = {
    "wide and low": lambda draw: Image.fromarray(draw()[20:40]),
    "without nuclei": lambda draw: Image.fromarray(np.arange(200, 256, dtype=np.uint8).repeat(3 * 56).reshape(56, 56, 3)),
    "palette": lambda draw: Image.fromarray(draw()).quantize(8),
    "transparent": lambda draw: Image.fromarray(np.dstack([draw(), np.full(draw().shape[:2], 90, np.uint8)])),
}


@pytest.mark.parametrize("name", READ)
def test_an_odd_image_is_analysed_to_the_end(folder, analyze, draw, name):
    image = READ[name](draw)
    image.save("odd.png")
    result = analyze("odd.png")
    assert result.exit_code == 0
    content = json.loads((folder / "out" / "odd" / "analysis.json").read_text())
    assert (content["slide"]["width_px"], content["slide"]["height_px"]) == image.size
    with Image.open(folder / "out" / "odd" / "segmentation.png") as drawn:
        assert drawn.size == image.size


NO_STAIN = {
    "grey": lambda draw: Image.fromarray(draw()).convert("L"),
    "16-bit grey": lambda draw: Image.fromarray(draw()[:, :, 0].astype(np.uint16) * 257),
    "inverted": lambda draw: Image.fromarray(255 - draw()),
}


@pytest.mark.parametrize("name", NO_STAIN)
def test_what_is_no_bright_field_image_is_refused_unless_the_user_insists(good, analyze, draw, name):
    NO_STAIN[name](draw).save("bad.png")
    check_refused(analyze("bad.png", "good.png", "--format", "json"), good.parent, "not a bright-field image")
    result = analyze("bad.png", "--any-stain", "--format", "json", "--json")
    assert result.exit_code == 0
    assert "not a bright-field image" in json.loads(result.stdout)["images"][0]["warnings"][0]


def test_an_image_without_nuclei_has_no_score_and_says_so(folder, analyze):
    READ["without nuclei"](None).save("pale.png")
    result = analyze("pale.png", "--format", "json")
    content = json.loads((folder / "out" / "pale" / "analysis.json").read_text())
    assert content["counts"] == {"nuclei": 0, "positive": 0, "negative": 0}
    assert content["scores"][0]["value"] is None
    assert "no nucleus" in result.stderr
    assert result.stdout.splitlines()[1].split()[:5] == ["pale", "0", "0", "0", "-"]


UNCOUNTABLE = {
    "one pixel": (lambda draw: draw()[:1, :1], "smaller than a nucleus"),
    "three pixels wide": (lambda draw: draw()[:, 20:23], "smaller than a nucleus"),
    "all white": (lambda draw: np.full((40, 60, 3), 255, np.uint8), "one colour"),
    "all black": (lambda draw: np.zeros((40, 60, 3), np.uint8), "one colour"),
    "one colour": (lambda draw: np.full((40, 60, 3), 140, np.uint8), "one colour"),
}


@pytest.mark.parametrize("name", UNCOUNTABLE)
def test_an_image_in_which_nothing_can_be_counted_is_refused(good, analyze, draw, name):
    pixels, expected = UNCOUNTABLE[name]
    Image.fromarray(pixels(draw)).save("bad.png")
    check_refused(analyze("bad.png", "good.png", "--format", "json"), good.parent, expected)


@pytest.mark.parametrize("option", ["--mpp", "--magnification", "--threshold", "--min-area-um2"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
def test_a_number_that_is_none_is_wrong_usage(good, analyze, option, value):
    result = analyze("good.png", f"{option}={value}")
    assert result.exit_code == 2
    assert option in result.stderr
    assert not (good.parent / "out").exists()


@pytest.mark.parametrize("empty", ["PATH", "--out", "--bundle"])
def test_an_empty_argument_is_wrong_usage(good, run, empty):
    result = run(
        "analyze",
        "" if empty == "PATH" else "good.png",
        *(f"{name}={'' if name == empty else value}" for name, value in {"--out": "out", "--bundle": "classical"}.items()),
    )
    assert result.exit_code == 2
    assert "empty" in result.stderr
    assert not (good.parent / "summary.csv").exists()


def test_a_damaged_record_in_the_way_stops_nothing(good, analyze):
    (good.parent / "out" / "strange").mkdir(parents=True)
    for folder in (good.parent / "out" / "strange", good.parent):
        (folder / "analysis.json").write_text('{"format": "counterstain analysis", "files": [1, {}]}')
    result = analyze("good.png", "--format", "json")
    assert result.exit_code == 0
    assert list(summary(good.parent)) == ["good.png"]


def test_a_pixel_size_that_is_far_too_coarse_is_refused(good, analyze):
    result = analyze("good.png", "--mpp", "250")
    assert result.exit_code == 1
    assert "too coarse" in result.stderr


def test_an_image_in_the_folder_of_its_own_result_is_never_replaced(good, run):
    place = good.parent / "data" / "overlay"
    place.mkdir(parents=True)
    original = good.read_bytes()
    for name in ("overlay.png", "dapi.png"):
        (place / name).write_bytes(original)
    result = run("analyze", place, "--out", "data", "--bundle", "classical", "--overwrite")
    assert result.exit_code == 1
    assert "would replace its own input; choose another folder with --out" in result.stderr
    assert entries(place) == ["dapi.png", "overlay.png"]
    assert (place / "overlay.png").read_bytes() == original


def test_an_image_that_another_run_is_at_is_left_to_it(good, analyze, draw):
    Image.fromarray(draw()).save("bad.png")
    claim, work = (good.parent / "out" / name for name in (f".bad.{os.getppid()}.run", ".bad.work"))
    for folder in (claim, work):
        folder.mkdir(parents=True)
    result = analyze("bad.png", "good.png", "--format", "json", "--overwrite")
    assert "another run is writing to this folder" in result.stderr
    assert entries(good.parent / "out") == [claim.name, work.name, "counterstain.log", "good", "summary.csv"]


def test_a_result_that_appeared_meanwhile_is_not_replaced(good, analyze, monkeypatch):
    class Racing(ClassicalBackend):
        def run(self, batch):
            (good.parent / "out" / "good").mkdir(exist_ok=True)
            (good.parent / "out" / "good" / "analysis.json").write_text("of the faster run")
            return super().run(batch)

    monkeypatch.setitem(backend_names.BACKENDS, "classical", lambda threads: Racing())
    assert "already holds analysis.json" in analyze("good.png", "--format", "json").stderr
    assert (good.parent / "out" / "good" / "analysis.json").read_text() == "of the faster run"


def test_a_file_where_the_output_folder_should_be_is_named(good, run):
    (good.parent / "out").write_text("a file")
    result = run("analyze", "good.png", "--out", "out", "--bundle", "classical")
    assert result.exit_code == 1
    assert "a file stands where a folder is needed" in result.stderr
    assert (good.parent / "out").read_text() == "a file"


def test_an_output_folder_that_cannot_be_written_says_so(good, run, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    result = run("analyze", "good.png", "--out", "out", "--bundle", "classical")
    assert result.exit_code == 1
    assert "no permission" in result.stderr


def test_a_disk_that_fills_up_leaves_no_half_result_and_fails_that_image_alone(good, analyze, draw, monkeypatch):
    Image.fromarray(draw()).save("big.png")
    real = os.replace

    def full_for_big(source, target):
        if "big" in str(target) and str(target).endswith("cells.csv"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full_for_big)
    result = analyze("big.png", "good.png", "--format", "csv")
    assert result.exit_code == 1
    assert "the disk is full" in result.stderr
    assert entries(good.parent / "out") == ["counterstain.log", "good", "summary.csv"]
    assert summary(good.parent)["big.png"]["status"] == "failed"


def test_a_disk_that_is_full_from_the_start_is_an_error_and_leaves_nothing_but_the_log(good, analyze, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    result = analyze("good.png", "--format", "csv")
    assert result.exit_code == 1
    assert "the disk is full" in result.stderr
    assert "Traceback" not in result.output
    assert entries(good.parent / "out") == ["counterstain.log"]


def test_nan_from_a_model_fails_that_image_alone(good, analyze, draw, monkeypatch):
    class Faulty(ClassicalBackend):
        calls = 0

        def run(self, batch):
            Faulty.calls += 1
            outputs = super().run(batch)
            if Faulty.calls == 1:
                outputs["dapi"][0, 0, 3, 3] = np.nan
            return outputs

    monkeypatch.setitem(backend_names.BACKENDS, "classical", lambda threads: Faulty())
    Image.fromarray(draw()).save("first.png")
    result = analyze("first.png", "good.png", "--format", "json")
    assert result.exit_code == 1
    assert "nan" in result.stderr.lower()
    assert entries(good.parent / "out") == ["counterstain.log", "good", "summary.csv"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="its disks take only names that are text")
def test_a_name_that_is_not_utf_8_spoils_nothing(good, analyze):
    shutil.copy("good.png", os.fsdecode(b"b\xe9.png"))
    (good.parent / os.fsdecode(b"\xe9mpty.png")).write_bytes(b"")
    result = analyze(".", "--format", "json")
    assert result.exit_code == 1
    assert "2 done, 1 failed" in result.stdout
    assert entries(good.parent / "out") == ["b\ufffd", "counterstain.log", "good", "summary.csv"]
    assert summary(good.parent)["b\ufffd.png"]["status"] == "done"
    assert "is empty" in summary(good.parent)["\ufffdmpty.png"]["error"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="its disks take only names that are text")
@pytest.mark.parametrize("form", ["table", "json"])
def test_a_folder_of_results_whose_name_is_not_utf_8_can_be_shown(good, run, form):
    out = os.fsdecode(b"o\xe9")
    json_option = ["--json"] if form == "json" else []
    result = run("analyze", "good.png", "--out", out, "--bundle", "classical", "--format", "json", *json_option)
    assert result.exit_code == 0
    shown = json.loads(result.stdout)["out"] if form == "json" else result.stdout.rstrip().split(" in ")[1]
    assert shown == "o\ufffd"


def test_an_image_that_the_memory_cannot_hold_fails_alone(good, analyze, draw, monkeypatch):
    class Hungry(ClassicalBackend):
        calls = 0

        def run(self, batch):
            Hungry.calls += 1
            if Hungry.calls == 1:
                raise MemoryError
            return super().run(batch)

    monkeypatch.setitem(backend_names.BACKENDS, "classical", lambda threads: Hungry())
    Image.fromarray(draw()).save("bad.png")
    check_refused(analyze("bad.png", "good.png", "--format", "json"), good.parent, "memory")


def test_an_error_of_the_system_is_shown_without_its_number(good, analyze, monkeypatch):
    class Unlucky(ClassicalBackend):
        def run(self, batch):
            raise OSError(errno.EIO, "Input/output error", "good.png")

    monkeypatch.setitem(backend_names.BACKENDS, "classical", lambda threads: Unlucky())
    result = analyze("good.png")
    assert result.exit_code == 1
    assert result.stderr == "error: good.png: Input/output error\n"


def test_a_fault_of_the_program_is_not_hidden(good, analyze, monkeypatch):
    class Broken(ClassicalBackend):
        def run(self, batch):
            raise ZeroDivisionError

    monkeypatch.setitem(backend_names.BACKENDS, "classical", lambda threads: Broken())
    result = analyze("good.png")
    assert result.exit_code == 1
    assert "an error that was not expected here, ZeroDivisionError" in result.stderr
    assert entries(good.parent / "out") == ["counterstain.log", "summary.csv"]


def test_notes_of_an_error_are_shown_and_in_the_summary(good, analyze, monkeypatch):
    class Refusing(ClassicalBackend):
        def run(self, batch):
            error = BackendError("the model refuses")
            error.add_note("in the first layer")
            raise error

    monkeypatch.setitem(backend_names.BACKENDS, "classical", lambda threads: Refusing())
    result = analyze("good.png")
    assert result.exit_code == 1
    assert "error: good.png: the model refuses\n  in the first layer" in result.stderr
    for name in ("summary.csv", "counterstain.log"):
        assert "the model refuses; in the first layer" in (good.parent / "out" / name).read_text()


def test_a_bundle_with_a_wrong_checksum_is_refused_before_anything_is_written(good, run):
    write_bundle(good.parent / "bundle", ClassicalBackend().manifest, {"model.onnx": b"weights"})
    (good.parent / "bundle" / "model.onnx").write_bytes(b"altered")
    result = run("analyze", "good.png", "--out", "out", "--bundle", "bundle")
    assert result.exit_code == 1
    assert "altered or damaged" in result.stderr
    assert not (good.parent / "out").exists()


def test_a_bundle_that_lacks_a_key_is_refused_with_the_key(good, run):
    write_bundle(good.parent / "bundle", ClassicalBackend().manifest, {})
    manifest = good.parent / "bundle" / "manifest.json"
    content = json.loads(manifest.read_text())
    del content["licence"]
    manifest.write_text(json.dumps(content))
    result = run("analyze", "good.png", "--out", "out", "--bundle", "bundle")
    assert result.exit_code == 1
    assert "licence" in result.stderr


def test_an_unknown_model_is_a_usage_error_that_lists_the_known(good, run):
    result = run("analyze", "good.png", "--out", "out", "--bundle", "nothing")
    assert result.exit_code == 2
    assert "no model 'nothing'; expected one of: classical, default" in result.stderr
