"""Slides on a cluster: real schedulers and workers, one of them killed on the way, give what one machine gives."""

import dataclasses
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conformance.workers import WorkersConformance
from dask_processes import running, wait_for
from PIL import Image
from tables import assert_same_cells

from counterstain import cluster, pipeline, worker
from counterstain.cells import parts, seams, segment
from counterstain.cells.segment import CellOptions
from counterstain.cluster import Cluster, cluster_at, model_at
from counterstain.errors import BundleError, OutputError, SlideError, UsageError
from counterstain.inference.backend import available_threads
from counterstain.inference.bundle import MANIFEST, default_bundle_path, load_bundle, write_bundle
from counterstain.inference.classical import ClassicalBackend
from counterstain.inference.names import load_backend
from counterstain.passes import here, on_disk
from counterstain.passes.on_disk import Subject
from counterstain.passes.workers import Errand
from counterstain.pipeline import AnalyzeOptions, analyze
from counterstain.slides.opening import open_slide
from counterstain.tiling.glass import find_tissue
from counterstain.training.synthesis.render import synthetic_field
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


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler with two worker processes; all end with the test."""
    with running(tmp_path) as processes:
        yield processes


@pytest.fixture
def at_work(scheduler):
    """A cluster of two workers that run the classical model."""
    with cluster_at(str(scheduler.file), model_at(ClassicalBackend(), "classical", threads=1)) as found:
        found.client.wait_for_workers(2, timeout=120)
        yield found


def assert_same(one, other, at_least=500):
    assert len(one.cells) == len(other.cells) > at_least
    assert_same_cells(one.cells, other.cells)
    assert one.scores == other.scores
    assert one.tissue_mm2 == other.tissue_mm2
    assert one.tiles == other.tiles
    assert one.warnings == other.warnings
    for name, plane in other.maps.planes.items():
        np.testing.assert_array_equal(np.asarray(one.maps[name].stored[:]), plane.stored, err_msg=name)


@pytest.mark.slow
class TestTheWorkersOfACluster(WorkersConformance):
    @pytest.fixture
    def subject(self, slide):
        return Subject(slide=slide, backend=ClassicalBackend(), tissue=find_tissue(slide))

    @pytest.fixture
    def workers(self, at_work, path, slide):
        return at_work.workers_for(path, slide, MPP)


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(tmp_path, path, slide, alone, at_work, monkeypatch):
    monkeypatch.setattr(cluster, "TILES_PER_TASK", 1)
    monkeypatch.setattr(on_disk, "blocks", lambda size: seams.blocks(size, 400))
    pids = at_work.client.run(os.getpid)
    tiles, cut = [], []

    def kill_one(progress):
        (tiles if progress.stage == "tiles" else cut).append((progress.done, progress.total))
        if progress.stage == "tiles" and progress.done == 2:
            victim = wait_for(lambda: next((place for place, keys in at_work.client.processing().items() if keys), None), "")
            os.kill(pids[victim], signal.SIGKILL)

    workers = at_work.workers_for(path, slide, MPP)
    on_cluster = analyze(
        slide,
        ClassicalBackend(),
        work=tmp_path / "work",
        on_progress=kill_one,
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
    told = []
    for _ in range(2):
        spread = analyze(
            slide,
            ClassicalBackend(),
            work=tmp_path / "spread",
            on_progress=told.append,
            workers=workers,
        )
        assert_same(
            spread,
            dataclasses.replace(
                one, maps=dataclasses.replace(one.maps, planes={n: Read(p) for n, p in one.maps.planes.items()})
            ),
        )
    tiles = [(step.done, step.total) for step in told if step.stage == "tiles"]
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

    told = []  # several tiles may be done when the scheduler dies

    def kill_the_scheduler(progress):
        told.append(progress.done)
        if progress.done == 2:
            scheduler.started[0].kill()

    workers = at_work.workers_for(path, slide, MPP)
    with pytest.raises(SlideError, match=r"half\.png: the scheduler was lost; start it .* goes on from here"):
        analyze(slide, ClassicalBackend(), work=tmp_path / "work", on_progress=kill_the_scheduler, workers=workers)
    after = []
    finished = analyze(slide, ClassicalBackend(), work=tmp_path / "work", on_progress=after.append)
    assert (after[0].stage, after[0].done, after[0].total) == ("tiles", told[-1] + 1, 6)
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
def test_without_any_worker_for_long_the_slide_fails(tmp_path, path, slide, scheduler, at_work, monkeypatch):
    monkeypatch.setattr(cluster, "TILES_PER_TASK", 1)
    monkeypatch.setattr(cluster, "WORKERS_WAIT_S", 2.0)

    first_done = cluster.SlideWorkers._first_done

    def then_kill_all_workers(self, tasks):
        found = first_done(self, tasks)
        for process in scheduler.started[1:]:  # what they made, they have not yet handed over
            process.kill()
        return found

    monkeypatch.setattr(cluster.SlideWorkers, "_first_done", then_kill_all_workers)
    workers = at_work.workers_for(path, slide, MPP)
    with pytest.raises(SlideError, match="no worker for 2 s; start some and repeat the command"):
        analyze(slide, ClassicalBackend(), work=tmp_path / "work", workers=workers)


@pytest.mark.slow
def test_an_interrupted_run_stops_waiting_for_workers(tmp_path, path, slide, at_work):
    at_work.stop.set()
    with pytest.raises(KeyboardInterrupt):
        analyze(slide, ClassicalBackend(), work=tmp_path / "work", workers=at_work.workers_for(path, slide, MPP))


@pytest.mark.slow
def test_few_tasks_are_in_flight_however_many_tiles_there_are(tmp_path, path, slide, alone, at_work, monkeypatch):
    monkeypatch.setattr(cluster, "TILES_PER_TASK", 1)
    monkeypatch.setattr(cluster, "IN_FLIGHT", 3)
    monkeypatch.setattr(on_disk, "blocks", lambda size: seams.blocks(size, 400))
    first_done, in_flight = cluster.SlideWorkers._first_done, []

    def counted(self, tasks):
        in_flight.append(len(tasks))
        return first_done(self, tasks)

    monkeypatch.setattr(cluster.SlideWorkers, "_first_done", counted)
    workers = at_work.workers_for(path, slide, MPP)
    assert_same(analyze(slide, ClassicalBackend(), work=tmp_path / "work", workers=workers), alone)
    assert max(in_flight) == 3


@pytest.mark.slow
def test_the_workers_find_the_size_limit_of_the_published_rule(tmp_path, path, slide, at_work, monkeypatch):
    monkeypatch.setattr(on_disk, "blocks", lambda size: seams.blocks(size, 400))
    options = AnalyzeOptions(cells=CellOptions(decoder="deepliif"))
    one = analyze(slide, ClassicalBackend(), options)

    def not_here(*args):
        raise AssertionError("a block is decoded in the process that asks")

    monkeypatch.setattr(segment, "areas_px", not_here)
    monkeypatch.setattr(here, "areas_px", not_here)
    monkeypatch.setattr(parts, "segment_block", not_here)
    workers = at_work.workers_for(path, slide, MPP)
    assert_same(analyze(slide, ClassicalBackend(), options, work=tmp_path / "work", workers=workers), one)


@pytest.mark.slow
@pytest.mark.skipif(not (default_bundle_path() / MANIFEST).is_file(), reason="the default bundle is not in this checkout")
def test_two_slides_at_once_through_a_network_are_those_of_one_machine_and_each_worker_loads_it_once(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "TILES_PER_TASK", 1)
    bundle, fields = small_default(tmp_path / "bundle"), {}
    backend = load_backend(bundle)
    for seed in (1, 2):
        fields[seed] = tmp_path / f"{seed}.png"
        Image.fromarray(synthetic_field(seed, 640).image).save(fields[seed])
    with cluster_at("local:2", model_at(backend, str(bundle))) as found:
        assert found.model.threads == max(1, available_threads() // 2)

        def spread(seed):
            with open_slide(fields[seed], mpp=MPP) as slide:
                workers = found.workers_for(fields[seed], slide, MPP)
                return analyze(slide, backend, work=tmp_path / f"work{seed}", workers=workers)

        with ThreadPoolExecutor(2) as pool:
            on_cluster = [*pool.map(spread, fields)]
        counts = found.client.run(lambda: worker._backend.cache_info()).values()
    assert [info.misses for info in counts] == [1, 1]
    assert all(info.hits > 1 for info in counts)
    for seed, analysis in zip(fields, on_cluster, strict=True):
        with open_slide(fields[seed], mpp=MPP) as slide:
            assert_same(analysis, analyze(slide, backend), at_least=30)


SMALL = {"tile_px": 320, "margin_px": 32}
"""Tiles that make many of a small field."""


def small_default(folder):
    """Write the bundle that ships with tiles of 320 px and return where."""
    source = load_bundle(default_bundle_path())
    files = {name: (default_bundle_path() / name).read_bytes() for name in ("model.onnx", "MODEL_CARD.md")}
    write_bundle(folder, source.manifest.model_copy(update=SMALL), files)
    return folder


@pytest.mark.parametrize(("cores", "processes", "asked", "given"), [(8, 2, None, 4), (2, 3, None, 1), (8, 2, 8, 8)])
def test_processes_of_one_machine_share_its_cores(monkeypatch, cores, processes, asked, given):
    monkeypatch.setattr(cluster, "available_threads", lambda: cores)
    model = model_at(ClassicalBackend(), "classical", threads=asked)
    assert cluster.shared_by(model, processes).threads == given


def test_a_worker_keeps_a_few_slides_open_and_closes_the_one_that_was_used_longest_ago(tmp_path, path, errand):
    source, _, _ = errand
    sources = []
    for number in range(worker.OPEN_SLIDES + 1):
        copy = shutil.copy(path, tmp_path / f"{number}.png")
        sources.append(dataclasses.replace(source, path=copy))
    first = worker._slide(sources[0], MPP)
    for other in sources[1:-1]:
        worker._slide(other, MPP)
    assert worker._slide(sources[0], MPP) is first
    worker._slide(sources[-1], MPP)
    assert [*worker._open] == [*sources[2:-1], sources[0], sources[-1]]


@pytest.mark.slow
def test_two_commands_may_have_local_workers_on_one_machine():
    model = model_at(ClassicalBackend(), "classical", threads=1)
    with cluster_at("local:1", model) as one, cluster_at("local:1", model) as other:
        assert one.client.submit(sum, [1, 2]).result(timeout=60) == other.client.submit(sum, [1, 2]).result(timeout=60) == 3
