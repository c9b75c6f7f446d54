"""Slides on a cluster: real schedulers and workers, one of them killed on the way, give what one machine gives."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from tables import assert_same_cells

from counterstain import cluster, passes, pipeline, worker
from counterstain.cells import seams
from counterstain.cluster import Cluster, cluster_at, model_at
from counterstain.errors import BundleError, OutputError, SlideError, UsageError
from counterstain.inference.classical import ClassicalBackend
from counterstain.passes import Errand
from counterstain.pipeline import analyze
from counterstain.slides.opening import open_slide
from counterstain.worker import cut_block, infer_tiles

MPP = 0.25


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A PNG of 1200 px: blue and brown disks, 28 px apart, on tinted ground in the upper half of clear glass; seed 0."""
    generator = np.random.default_rng(0)
    image = np.full((1200, 1200, 3), 246, np.uint8)
    image[:600] = generator.integers(205, 232, (600, 1200, 3))
    rows, cols = np.mgrid[:19, :19]
    disk = (rows - 9) ** 2 + (cols - 9) ** 2 <= 81
    for row in range(10, 570, 28):
        for col in range(10, 1170, 28):
            image[row : row + 19, col : col + 19][disk] = [(90, 50, 20), (90, 110, 170)][int(generator.random() < 0.5)]
    file = tmp_path_factory.mktemp("slides") / "half.png"
    Image.fromarray(image).save(file)
    return file


@pytest.fixture(scope="module")
def slide(path):
    with open_slide(path, mpp=MPP) as opened:
        yield opened


@pytest.fixture(scope="module")
def alone(slide):
    return analyze(slide, ClassicalBackend())


def wait_for(is_there, what, limit_s=120.0):
    """Return what ``is_there`` gives as soon as it gives something."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if found := is_there():
            return found
        time.sleep(0.05)
    raise TimeoutError(what)


@pytest.fixture
def scheduler(tmp_path):
    """The file of a scheduler with two worker processes, and its process id; all end with the test."""
    file, log = tmp_path / "scheduler.json", (tmp_path / "dask.log").open("wb")
    processes = []

    def start(*arguments):
        command = [sys.executable, "-m", "dask", *arguments, "--scheduler-file", str(file), "--no-dashboard"]
        processes.append(
            subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"})
        )

    try:
        start("scheduler", "--host", "127.0.0.1", "--port", "0")
        wait_for(file.exists, "the scheduler")
        for _ in range(2):
            start("worker", "--host", "127.0.0.1", "--no-nanny", "--nthreads", "1")
        yield file, processes[0].pid
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait(timeout=30)
        log.close()


@pytest.fixture
def at_work(scheduler):
    """A cluster of two workers that run the classical model."""
    with cluster_at(str(scheduler[0]), model_at(ClassicalBackend(), "classical", threads=1)) as found:
        found.client.wait_for_workers(2, timeout=120)
        yield found


def assert_same(one, other):
    assert len(one.cells) == len(other.cells) > 500
    assert_same_cells(one.cells, other.cells)
    assert one.scores == other.scores
    assert one.tissue_mm2 == other.tissue_mm2
    assert one.warnings == other.warnings
    for name, plane in other.maps.planes.items():
        np.testing.assert_array_equal(np.asarray(one.maps[name].stored[:]), plane.stored, err_msg=name)


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(tmp_path, path, slide, alone, at_work, monkeypatch):
    monkeypatch.setattr(cluster, "TILES_PER_TASK", 1)
    monkeypatch.setattr(passes, "blocks", lambda size: seams.blocks(size, 400))
    pids = at_work.client.run(os.getpid)
    tiles, cut = [], []

    def kill_one(done, total):
        tiles.append((done, total))
        if done == 2:
            victim = wait_for(lambda: next((place for place, keys in at_work.client.processing().items() if keys), None), "")
            os.kill(pids[victim], signal.SIGKILL)

    workers = at_work.workers_for(path, slide, MPP)
    on_cluster = analyze(
        slide,
        ClassicalBackend(),
        work=tmp_path / "work",
        on_progress=kill_one,
        on_block=lambda done, total: cut.append((done, total)),
        workers=workers,
    )
    assert_same(on_cluster, alone)
    assert tiles == [(number, 9) for number in range(1, 10)]
    assert cut == [(number, 9) for number in range(1, 10)]
    loads = at_work.client.run(lambda: worker._backend.cache_info().misses)
    assert list(loads.values()) == [1]


@pytest.mark.slow
def test_glass_is_left_out_where_one_machine_leaves_it_out_and_a_finished_folder_asks_for_nothing(
    tmp_path, path, slide, at_work, monkeypatch
):
    monkeypatch.setattr(pipeline, "IN_MEMORY_PIXELS", 1000)
    one = analyze(slide, ClassicalBackend(), work=tmp_path / "one")
    workers = at_work.workers_for(path, slide, MPP)
    tiles = []
    for _ in range(2):
        spread = analyze(
            slide,
            ClassicalBackend(),
            work=tmp_path / "spread",
            on_progress=lambda done, total: tiles.append((done, total)),
            workers=workers,
        )
        assert_same(
            spread,
            dataclasses.replace(
                one, maps=dataclasses.replace(one.maps, planes={n: Read(p) for n, p in one.maps.planes.items()})
            ),
        )
    assert tiles == [(number, 6) for number in range(1, 7)]


class Read:
    """A plane on disk, whole in memory."""

    def __init__(self, plane):
        self.stored = np.asarray(plane.stored[:])


@pytest.mark.slow
def test_when_the_scheduler_is_lost_the_slide_fails_and_one_machine_goes_on_from_there(
    tmp_path, path, slide, alone, scheduler, at_work, monkeypatch
):
    monkeypatch.setattr(cluster, "TILES_PER_TASK", 1)
    monkeypatch.setattr(pipeline, "IN_MEMORY_PIXELS", 1000)

    def kill_the_scheduler(done, total):
        if done == 2:
            os.kill(scheduler[1], signal.SIGKILL)

    workers = at_work.workers_for(path, slide, MPP)
    with pytest.raises((SlideError, OSError)):
        analyze(slide, ClassicalBackend(), work=tmp_path / "work", on_progress=kill_the_scheduler, workers=workers)
    tiles = []
    finished = analyze(
        slide, ClassicalBackend(), work=tmp_path / "work", on_progress=lambda done, total: tiles.append((done, total))
    )
    assert tiles[0] == (3, 6)
    np.testing.assert_array_equal(finished.cells["cell_id"], alone.cells["cell_id"])


@pytest.fixture
def errand(tmp_path, path, slide):
    """A folder of work with one tile to do, and the model and slide as a worker gets them."""
    backend = ClassicalBackend()
    model = model_at(backend, "classical", threads=1)
    source = Cluster(client=None, model=model).workers_for(path, slide, MPP).source
    order = Errand(work=tmp_path / "work", settings={"slide": "half"}, panel=backend.manifest.panel)
    order.work.mkdir()
    yield source, model, order
    worker._backend.cache_clear()
    for opened in [*worker._open]:
        worker._open.pop(opened).close()


def a_tile(slide):
    return next(iter(pipeline.grid_of(slide, ClassicalBackend().manifest)))


def test_a_worker_that_does_not_share_the_folder_says_so(slide, errand):
    source, model, order = errand
    with pytest.raises(OutputError, match="must share the file system"):
        infer_tiles((a_tile(slide),), source=source, model=model, errand=order)
    with pytest.raises(OutputError, match="must share the file system"):
        cut_block(a_tile(slide).keep, rules=None, source=source, model=model, errand=order)


def test_a_worker_that_finds_another_model_refuses(slide, errand):
    source, model, order = errand
    with pytest.raises(BundleError, match="another model under classical"):
        infer_tiles((), source=source, model=dataclasses.replace(model, fingerprint="other"), errand=order)


def test_a_worker_with_other_versions_refuses(errand):
    source, model, order = errand
    with pytest.raises(UsageError, match=r"numpy .* instead of 1\.0"):
        infer_tiles((), source=source, model=dataclasses.replace(model, versions=(("numpy", "1.0"),)), errand=order)


def test_a_worker_that_finds_another_slide_refuses(errand):
    source, model, order = errand
    smaller = dataclasses.replace(source, size=dataclasses.replace(source.size, width=3))
    with pytest.raises(SlideError, match="another slide"):
        infer_tiles((), source=smaller, model=model, errand=order)


@pytest.mark.parametrize("address", ["local:", "local:0", "local:two", "tcp://127.0.0.1:1", "nothing.json"])
def test_an_address_without_workers_is_refused(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(UsageError),
        cluster_at(address, model_at(ClassicalBackend(), "classical"), wait_s=1.0),
    ):
        pass


def test_workers_need_a_folder_between_them(path, slide):
    with pytest.raises(UsageError, match="share"):
        analyze(slide, ClassicalBackend(), workers=Cluster(client=None, model=None).workers_for(path, slide, MPP))


@pytest.mark.slow
def test_the_command_gives_the_same_files_on_a_cluster(tmp_path, path):
    def run(out, *more):
        command = [sys.executable, "-c", "from counterstain.cli.main import main; main()", "analyze", str(path)]
        options = ["--out", str(tmp_path / out), "--bundle", "classical", "--mpp", "0.25", *more]
        return subprocess.run([*command, *options], capture_output=True, text=True, timeout=250, check=False, env=os.environ)

    for out, more in (("one", ()), ("two", ("--cluster", "local:2"))):
        done = run(out, *more)
        assert done.returncode == 0, done.stderr
    one, two = ({file.name: file.read_bytes() for file in (tmp_path / out / "half").iterdir()} for out in ("one", "two"))
    assert one.keys() == two.keys()
    assert {name for name in one if one[name] != two[name]} <= {"analysis.json", "modalities.ome.tiff"}
    first, second = (json.loads(files["analysis.json"]) for files in (one, two))
    assert {key for key in first if first[key] != second[key]} == {"timings_s"}
    assert not list((tmp_path / "two").glob(".*.work"))
