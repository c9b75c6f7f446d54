"""The recipes of docs/cluster.md are run: by ``sh`` where a batch system would start jobs, with an ``sbatch`` that does so."""

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")

SBATCH = f"""#!{sys.executable}
import subprocess, sys
with open("jobs.log", "ab") as log:
    job = subprocess.Popen(["sh", sys.argv[-1]], stdout=log, stderr=log)
with open("jobs.txt", "a") as file:
    file.write(open(sys.argv[-1]).read())
print("Submitted batch job", job.pid)
"""

SCANCEL = f"""#!{sys.executable}
import os, signal, sys
os.kill(int(sys.argv[-1]), signal.SIGTERM)
"""


def recipe(language, holds):
    """Return the code block of a language that holds some words, for the slides and the model of the test."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    text = next(block for block in blocks if holds in block)
    return text.replace('"slides/*.svs"', '"slides/*.png" --bundle classical --mpp 0.25 --format json')


@pytest.fixture
def home(tmp_path, draw):
    """A home folder with three slides, and ``sbatch`` and ``scancel`` in its ``bin``."""
    for folder in ("slides", "bin"):
        (tmp_path / folder).mkdir()
    for name in "abc":
        Image.fromarray(draw()).save(tmp_path / "slides" / f"{name}.png")
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


@pytest.fixture
def start(home):
    """Start a command in the home folder; whatever still runs ends with the test."""
    started = []

    def begin(*command, **variables):
        path = os.pathsep.join([str(home / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, "HOME": str(home), "PATH": path, "OMP_NUM_THREADS": "1", **variables}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        started.append(subprocess.Popen(command, cwd=home, env=environment, text=True, start_new_session=True, **pipes))
        return started[-1]

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.communicate()


def results(home):
    return {path.parent.name: json.loads(path.read_text())["counts"]["nuclei"] for path in home.glob("results/*/analysis.json")}


def test_each_job_of_the_array_does_its_part(home, start):
    for number in range(1, 5):
        job = start("sh", "-c", recipe("sh", "slides.sbatch"), SLURM_ARRAY_TASK_ID=str(number))
        told, _ = job.communicate(timeout=120)
        assert job.returncode == 0, told
        assert len(results(home)) == min(number, 3)
    assert results(home) == {"a": 4, "b": 4, "c": 4}


def test_a_scheduler_in_one_job_and_workers_in_others_do_all_slides(home, start):
    scheduler = start("sh", "-c", recipe("sh", "scheduler.sbatch"))
    for _ in range(2):
        start("sh", "-c", recipe("sh", "workers.sbatch"))
    scheduler.communicate(timeout=120)
    assert scheduler.returncode == 0
    assert results(home) == {"a": 4, "b": 4, "c": 4}
    stages = [json.loads(line)["stage"] for line in (home / "progress.jsonl").read_text().splitlines() if line.startswith("{")]
    assert stages.count("done") == 3


def test_dask_jobqueue_submits_workers_that_do_all_slides(home, start):
    pytest.importorskip("dask_jobqueue")
    login = start(sys.executable, "-c", recipe("py", "SLURMCluster").replace("jobs=20", "jobs=2"))
    said = iter(login.stdout.readline, "")  # that the port of the dashboard is taken, maybe, and then the address
    address = next(line.strip() for line in said if line.startswith("tcp://"))
    command = recipe("sh", "slides.sbatch").splitlines()[-1].split(" --shard")[0] + f" --cluster {address}"
    analysis = start("sh", "-c", command)
    told, _ = analysis.communicate(timeout=120)
    assert analysis.returncode == 0, told
    assert results(home) == {"a": 4, "b": 4, "c": 4}
    login.communicate("\n", timeout=60)
    assert login.returncode == 0
    job = (home / "jobs.txt").read_text()
    assert job.count("#SBATCH -J dask-worker") == 2
    for line in ("#SBATCH -p normal", "#SBATCH --cpus-per-task=8", "#SBATCH --mem=15G", "#SBATCH -t 12:00:00", "--nthreads 1"):
        assert line in job
