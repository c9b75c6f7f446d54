"""Slides on disk: what comes out is what comes out in memory, whenever the run is stopped."""

import errno
import importlib.util
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tables import assert_same_cells

from counterstain import pipeline
from counterstain.cells import parts, seams
from counterstain.cells.segment import CellOptions
from counterstain.errors import OutputError, SlideError, UsageError
from counterstain.geometry import Box
from counterstain.inference.classical import ClassicalBackend
from counterstain.panel import DEFAULT_PANEL
from counterstain.passes import here, on_disk
from counterstain.passes.on_disk import needed
from counterstain.pipeline import AnalyzeOptions, analyze
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.versions import package_versions

SIDE = 1800
MPP = 0.25


def tissue_in_a_corner():
    """Blue and brown disks, 28 px apart, on tinted ground in the upper left quarter of clear glass; seed 0."""
    generator = np.random.default_rng(0)
    image = np.full((SIDE, SIDE, 3), 246, np.uint8)
    image[: SIDE // 2, : SIDE // 2] = generator.integers(205, 232, (SIDE // 2, SIDE // 2, 3))
    rows, cols = np.mgrid[:19, :19]
    disk = (rows - 9) ** 2 + (cols - 9) ** 2 <= 81
    for row in range(10, SIDE // 2 - 30, 28):
        for col in range(10, SIDE // 2 - 30, 28):
            image[row : row + 19, col : col + 19][disk] = [(90, 50, 20), (90, 110, 170)][int(generator.random() < 0.5)]
    return image


class SmallTiles(ClassicalBackend):
    """The classical model with tiles of 256 px, which counts its tiles and can be stopped."""

    def __init__(self, stop_after=None):
        super().__init__()
        self.manifest = self.manifest.model_copy(update={"tile_px": 256})
        self.tiles, self.stop_after = 0, stop_after

    def run(self, batch):
        if self.stop_after is not None and self.tiles >= self.stop_after:
            raise KeyboardInterrupt
        self.tiles += len(batch)
        return super().run(batch)


@pytest.fixture(scope="module")
def slide():
    return ArraySlide(tissue_in_a_corner(), name="corner", resolution=Resolution(MPP, "option"))


@pytest.fixture(scope="module")
def in_memory(slide):
    return analyze(slide, SmallTiles())


@pytest.fixture(autouse=True)
def small_limits(request, monkeypatch):
    if "in_memory" in request.fixturenames:
        request.getfixturevalue("in_memory")
    monkeypatch.setattr(pipeline, "IN_MEMORY_PIXELS", 1000)
    monkeypatch.setattr(on_disk, "blocks", lambda size: seams.blocks(size, 400))


def assert_same(one, other):
    assert_same_cells(one.cells, other.cells)
    assert one.scores == other.scores
    assert one.tissue_mm2 == other.tissue_mm2


def test_cells_of_a_slide_on_disk_are_those_in_memory(tmp_path, slide, in_memory):
    on_disk = analyze(slide, SmallTiles(), work=tmp_path / "work")
    assert len(on_disk.cells) > 500
    assert_same(on_disk, in_memory)
    for name in on_disk.maps.planes:
        corner = Box(0, 0, SIDE // 2, SIDE // 2)
        np.testing.assert_array_equal(on_disk.maps[name].as_bytes(corner), in_memory.maps[name].as_bytes(corner))
    narrowed = {whole: [keep for keep, _ in on_disk.tiles if keep.intersection(whole) == keep] for whole, _ in in_memory.tiles}
    assert sum(map(len, narrowed.values())) == len(on_disk.tiles) < len(in_memory.tiles)
    assert all(quality.tissue == 0 for whole, quality in in_memory.tiles if not narrowed[whole])


def test_glass_costs_nothing(tmp_path, slide):
    backend, told = SmallTiles(), []
    analysis = analyze(slide, backend, work=tmp_path, on_progress=told.append)
    every = len(pipeline.grid_of(slide, backend.manifest))
    assert backend.tiles < 0.45 * every
    tiles, shown = [step for step in told if step.stage == "tiles"], sum(keep.size.area for keep, _ in analysis.tiles)
    assert [(step.done, step.total) for step in tiles] == [(number, backend.tiles) for number in range(1, backend.tiles + 1)]
    assert tiles[-1].done_mpx == tiles[-1].total_mpx == pytest.approx(shown / 1e6)
    assert analysis.tissue_mm2 == pytest.approx((SIDE / 2 * MPP / 1000) ** 2, rel=0.1)


@pytest.mark.parametrize("stop_after", [0, 1, 17])
def test_a_stopped_run_goes_on_where_it_was(tmp_path, slide, in_memory, stop_after):
    with pytest.raises(KeyboardInterrupt):
        analyze(slide, SmallTiles(stop_after), work=tmp_path)
    backend = SmallTiles()
    assert_same(analyze(slide, backend, work=tmp_path), in_memory)
    untouched = SmallTiles()
    assert_same(analyze(slide, untouched, work=tmp_path), in_memory)
    assert untouched.tiles == 0
    fresh = SmallTiles()
    analyze(slide, fresh, work=tmp_path / "fresh")
    assert backend.tiles + stop_after == fresh.tiles
    assert analyze(slide, SmallTiles(), work=tmp_path).tiles == analyze(slide, SmallTiles(), work=tmp_path / "fresh").tiles


def test_a_run_stopped_among_its_blocks_cuts_only_the_others(tmp_path, slide, in_memory, monkeypatch):
    cut, segment_block = [], parts.segment_block

    def stop_at_third(*args):
        if len(cut) == 2:
            raise KeyboardInterrupt
        cut.append(args[2])
        return segment_block(*args)

    monkeypatch.setattr(parts, "segment_block", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        analyze(slide, SmallTiles(), work=tmp_path)
    first = list(cut)
    monkeypatch.setattr(parts, "segment_block", lambda *args: cut.append(args[2]) or segment_block(*args))
    assert_same(analyze(slide, SmallTiles(), work=tmp_path), in_memory)
    assert len(set(cut)) == len(cut) > len(first) == 2


def test_no_thread_outlives_a_run_that_fails(tmp_path, slide, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(here, "put", full)
    with pytest.raises(OutputError, match="the disk is full") as caught:  # whose traceback keeps what had begun
        analyze(slide, SmallTiles(), work=tmp_path)
    assert caught.value.__traceback__
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("ahead")] == []


def test_other_pixels_of_the_same_name_size_and_tissue_are_refused(tmp_path, slide):
    with pytest.raises(KeyboardInterrupt):
        analyze(slide, SmallTiles(1), work=tmp_path)
    other = ArraySlide(tissue_in_a_corner()[..., ::-1].copy(), name="corner", resolution=slide.resolution)
    with pytest.raises(UsageError, match=r"with other settings: (tissue was .*, )?pixels was"):
        analyze(other, SmallTiles(), work=tmp_path)
    fresh = analyze(other, SmallTiles(), AnalyzeOptions(restart=True), work=tmp_path)
    assert_same(fresh, analyze(other, SmallTiles(), work=tmp_path / "fresh"))


def test_a_run_of_other_versions_is_refused(tmp_path, slide, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        analyze(slide, SmallTiles(1), work=tmp_path)
    monkeypatch.setattr(on_disk, "package_versions", lambda: {**package_versions(), "scipy": "0.0"})
    with pytest.raises(UsageError, match=r"other settings: version of scipy was '.*' and is '0.0'; repeat it with those"):
        analyze(slide, SmallTiles(), work=tmp_path)


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from counterstain import pipeline
from test_passes import SmallTiles, tissue_in_a_corner
from counterstain.pipeline import analyze
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
pipeline.IN_MEMORY_PIXELS = 1000
slide = ArraySlide(tissue_in_a_corner(), name="corner", resolution=Resolution(0.25, "option"))
report = lambda progress: print(progress.done, flush=True)
analyze(slide, SmallTiles(), work=Path(sys.argv[1]), on_progress=report)
"""


@pytest.mark.parametrize("tiles", [1, 9])
def test_a_killed_process_leaves_what_the_next_one_needs(tmp_path, slide, in_memory, tiles):
    command = [sys.executable, "-c", CHILD, str(tmp_path / "work"), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        for _ in range(tiles):
            assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=60)
    backend, fresh = SmallTiles(), SmallTiles()
    assert_same(analyze(slide, backend, work=tmp_path / "work"), in_memory)
    analyze(slide, fresh, work=tmp_path / "fresh")
    assert 0 < backend.tiles <= fresh.tiles - tiles


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (AnalyzeOptions(cells=CellOptions(threshold=0.7)), "threshold was 0.5 and is 0.7"),
        (AnalyzeOptions(modalities=False), "maps was"),
    ],
)
def test_changed_options_are_refused_with_what_differs_unless_a_restart_is_asked_for(tmp_path, slide, options, what):
    with pytest.raises(KeyboardInterrupt):
        analyze(slide, SmallTiles(3), work=tmp_path)
    with pytest.raises(UsageError, match=what):
        analyze(slide, SmallTiles(), options, work=tmp_path)
    restarted = AnalyzeOptions(cells=options.cells, modalities=options.modalities, restart=True)
    backend, fresh = SmallTiles(), SmallTiles()
    analyze(slide, backend, restarted, work=tmp_path)
    analyze(slide, fresh, options, work=tmp_path / "fresh")
    assert backend.tiles == fresh.tiles


def test_another_model_is_refused(tmp_path, slide):
    with pytest.raises(KeyboardInterrupt):
        analyze(slide, SmallTiles(3), work=tmp_path)
    other = SmallTiles()
    other.fingerprint = "another"
    with pytest.raises(UsageError, match=r"model was 'classical-.*' and is 'another'"):
        analyze(slide, other, work=tmp_path)


def test_only_the_planes_that_cells_need_are_kept_unless_modalities_are_asked_for(tmp_path, slide, in_memory):
    analysis = analyze(slide, SmallTiles(), AnalyzeOptions(modalities=False), work=tmp_path)
    assert set(analysis.maps.planes) == {"dapi", "lap2", "marker", "segmentation", "distance"}
    assert_same(analysis, in_memory)
    assert [channel.name for channel in needed(DEFAULT_PANEL).channels] == [
        "dapi",
        "lap2",
        "marker",
        "segmentation",
        "distance",
    ]


def test_without_zarr_the_command_that_installs_it_is_named(tmp_path, slide, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SlideError, match=r'pip install "counterstain\[slides\]"'):
        analyze(slide, SmallTiles(), work=tmp_path)


def test_a_full_disk_is_an_output_error_that_names_the_folder(tmp_path, slide, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(here, "put", full)
    with pytest.raises(OutputError, match="the disk is full"):
        analyze(slide, SmallTiles(), work=tmp_path / "work")


def test_a_disk_that_fills_up_while_nuclei_are_cut_is_named_and_the_run_goes_on_when_there_is_space(
    tmp_path, slide, in_memory, monkeypatch
):
    write, left = parts.write_part, iter(range(2))

    def fills_up(path, cells):
        if next(left, None) is None:
            raise OSError(28, "No space left on device")
        write(path, cells)

    with monkeypatch.context() as patch:
        patch.setattr(parts, "write_part", fills_up)
        with pytest.raises(OutputError, match=r"cannot write .*cells: the disk is full"):
            analyze(slide, SmallTiles(), work=tmp_path / "work")
    assert_same(analyze(slide, SmallTiles(), work=tmp_path / "work"), in_memory)
