"""``counterstain analyze --cluster`` as a process of its own: what it writes, what it says, and how it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pyarrow.parquet
import pytest
from dask_processes import running, wait_for
from PIL import Image

from counterstain.inference.bundle import MANIFEST, default_bundle_path

pytestmark = pytest.mark.slow

COUNTERSTAIN = (sys.executable, "-c", "from counterstain.cli.main import main; main()")


def field(seed, side):
    """Blue and brown disks of 19 px, 28 px apart, on tinted ground."""
    generator = np.random.default_rng(seed)
    image = generator.integers(205, 232, (side, side, 3), dtype=np.uint8)
    rows, cols = np.mgrid[:19, :19]
    disk = (rows - 9) ** 2 + (cols - 9) ** 2 <= 81
    for row in range(10, side - 28, 28):
        for col in range(10, side - 28, 28):
            image[row : row + 19, col : col + 19][disk] = [(90, 50, 20), (90, 110, 170)][int(generator.random() < 0.5)]
    return image


@pytest.fixture
def folder(tmp_path):
    """Four images, of which the third is none."""
    for number, name in enumerate("abcd"):
        Image.fromarray(field(number, 1100 - 100 * number)).save(tmp_path / f"{name}.png")
    (tmp_path / "c.png").write_bytes(b"no image")
    return tmp_path


def start(folder, out, *more, images=("a.png", "b.png", "c.png", "d.png"), bundle="classical"):
    """Start the command in a session of its own, as a terminal does."""
    command = [*COUNTERSTAIN, "analyze", *images, "--out", out, "--bundle", bundle, "--mpp", "0.25", *more]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def run(*arguments, **named):
    process = start(*arguments, **named)
    out, error = process.communicate(timeout=280)
    return process.returncode, out, error


def lines_of(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def assert_same_files(one, two):
    files, others = ({file.name: file.read_bytes() for file in place.iterdir()} for place in (one, two))
    assert files.keys() == others.keys()
    differ = {name for name in files if files[name] != others[name]}
    assert differ <= {"analysis.json", "modalities.ome.tiff", "cells.parquet"}  # the last by its groups of rows
    tables = [pyarrow.parquet.read_table(place / "cells.parquet") for place in (one, two)]
    assert tables[0].equals(tables[1])
    first, second = (json.loads(content["analysis.json"]) for content in (files, others))
    assert {key for key in first if first[key] != second[key]} == {"timings_s"}


def test_several_slides_at_once_give_the_files_and_the_order_of_one_machine_and_one_that_fails_stops_none(folder):
    status, out, _ = run(folder, "one", "--json")
    assert status == 1
    expected = json.loads(out)["images"]
    status, out, error = run(folder, "two", "--json", "--progress", "json", "--cluster", "local:2")
    assert status == 1
    found = json.loads(out)["images"]
    assert [image["name"] for image in found] == [image["name"] for image in expected] == ["a", "b", "d", "c"]
    for name in "abd":
        assert_same_files(folder / "one" / name, folder / "two" / name)
    one, two = ((folder / out / "summary.csv").read_bytes() for out in ("one", "two"))
    assert one == two
    assert sorted(path.name for path in (folder / "two").iterdir()) == ["a", "b", "counterstain.log", "d", "summary.csv"]
    told = [(line["slide"], line["stage"]) for line in lines_of(error)]
    first_done = next(number for number, (_, stage) in enumerate(told) if stage == "done")
    assert {slide for slide, _ in told[:first_done]} >= {"a", "b", "c"}  # the next are begun before the first has ended
    assert {stage for slide, stage in told if slide == "c"} == {"begin", "failed"}
    assert [stage for slide, stage in told if slide == "d"][-1] == "done"


def test_ctrl_c_ends_with_130_and_leaves_no_process_and_the_run_goes_on_from_there(folder):
    images = ("a.png", "b.png", "d.png")
    process = start(folder, "out", "--progress", "json", "--cluster", "local:2", images=images)
    for line in process.stderr:
        if line.startswith("{") and json.loads(line)["stage"] == "tiles":
            break
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted." in error
    assert [line for line in error.splitlines() if not line.startswith("{")] == [
        "Interrupted. What was finished is complete, and nothing is half-written."
    ]
    wait_for(lambda: not group_lives(process.pid), "the end of the workers", limit_s=20)
    assert run(folder, "out", images=images)[0] == 0
    assert run(folder, "whole", images=images)[0] == 0
    for name in "abd":
        assert_same_files(folder / "out" / name, folder / "whole" / name)


def group_lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_when_the_scheduler_dies_every_slide_says_so_and_the_same_command_without_it_goes_on(folder, tmp_path):
    images = ("a.png", "b.png", "d.png")
    with running(tmp_path) as processes:
        command = start(folder, "out", "--progress", "json", "--cluster", str(processes.file), images=images)
        for line in command.stderr:
            if line.startswith("{") and json.loads(line)["stage"] == "tiles":
                break
        processes.started[0].kill()
        _, error = command.communicate(timeout=120)
    assert command.returncode == 1
    failed = [line for line in error.splitlines() if line.startswith("error: ")]
    assert failed
    assert all("the scheduler was lost; start it and its workers again and repeat the command" in line for line in failed)
    assert run(folder, "out", images=images)[0] == 0
    assert run(folder, "whole", images=images)[0] == 0
    for name in "abd":
        assert_same_files(folder / "out" / name, folder / "whole" / name)


OTHER_VERSION = """
import counterstain.versions as versions, dask.__main__, sys
real = versions.package_versions
versions.package_versions = lambda: {**real(), "numpy": "0.1"}
sys.argv = ["dask", "worker", *sys.argv[1:]]
dask.__main__.main()
"""


def on_a_worker_elsewhere(folder, tmp_path, out, image, *, program=("-m", "dask", "worker"), bundle="classical"):
    """Run the command on one worker whose current folder is ``elsewhere``, to which /proc/self/cwd leads it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    with running(tmp_path, workers=0) as processes:
        processes.start_worker(program=program, cwd=elsewhere)
        return run(folder, out, "--cluster", str(processes.file), images=(image,), bundle=bundle)


def test_a_worker_of_another_version_is_named_with_the_remedy(folder, tmp_path):
    status, _, error = on_a_worker_elsewhere(folder, tmp_path, "out", "a.png", program=("-c", OTHER_VERSION))
    assert status == 1
    assert "a worker has numpy 0.1 instead of" in error
    assert "install the same versions everywhere" in error


def test_a_worker_that_does_not_see_the_results_or_the_slide_is_named_with_the_remedy(folder, tmp_path):
    share = "workers and the command must share the file system of"
    for out, image, unseen in (
        ("/proc/self/cwd/out", "a.png", f"/proc/self/cwd/out/.a.work; {share} the results"),
        ("out", "/proc/self/cwd/a.png", f"/proc/self/cwd/a.png; {share} the slides"),
    ):
        status, _, error = on_a_worker_elsewhere(folder, tmp_path, out, image)
        assert status == 1
        assert f"a worker does not see {unseen}" in error


@pytest.mark.skipif(not (default_bundle_path() / MANIFEST).is_file(), reason="the default bundle is not in this checkout")
def test_a_worker_with_another_bundle_under_the_path_is_named_with_the_remedy(folder, tmp_path):
    for place in (folder, tmp_path / "elsewhere"):
        shutil.copytree(default_bundle_path(), place / "bundle")
    manifest = tmp_path / "elsewhere" / "bundle" / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": "another"}))
    status, _, error = on_a_worker_elsewhere(folder, tmp_path, "out", "d.png", bundle="/proc/self/cwd/bundle")
    assert status == 1
    assert "a worker finds another model under /proc/self/cwd/bundle" in error
    assert "put the same bundle there on every machine" in error
