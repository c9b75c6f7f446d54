from types import SimpleNamespace

import numpy as np
import pytest
from tables import assert_same_cells

from counterstain import pipeline
from counterstain.cells.segment import CellOptions
from counterstain.errors import SlideError, UsageError
from counterstain.inference.classical import ClassicalBackend
from counterstain.pipeline import AnalyzeOptions, analyze
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution


def disks(side=120):
    """Four dark disks of 20 px on a light ground, two brown and two blue."""
    rows, cols = np.mgrid[:side, :side]
    image = np.full((side, side, 3), (235, 232, 235), np.uint8)
    for number, (row, col) in enumerate([(30, 30), (30, 80), (80, 30), (80, 80)]):
        image[(rows - row) ** 2 + (cols - col) ** 2 <= 100] = [(90, 50, 20), (90, 110, 170)][number % 2]
    return image


def slide_of(pixels, mpp=0.25, source="metadata"):
    return ArraySlide(pixels, name="disks", resolution=Resolution(mpp, source))


@pytest.fixture(scope="module")
def backend():
    return ClassicalBackend()


def test_a_slide_becomes_cells_and_a_score(backend):
    analysis = analyze(slide_of(disks()), backend)
    assert len(analysis.cells) == 4
    assert analysis.scores[0].value == 50
    assert analysis.fingerprint == backend.fingerprint
    assert analysis.maps.size == analysis.slide.size


def test_two_runs_are_the_same_to_the_bit(backend):
    first, second = (analyze(slide_of(disks()), backend) for _ in range(2))
    assert_same_cells(first.cells, second.cells)
    for name in first.maps.planes:
        np.testing.assert_array_equal(first.maps[name].stored, second.maps[name].stored)


def test_an_unknown_decoder_is_refused_before_the_model_runs(backend):
    unknown = SimpleNamespace(
        manifest=backend.manifest.model_copy(update={"decoder": "magic"}), fingerprint="x", run=lambda batch: pytest.fail("ran")
    )
    with pytest.raises(UsageError, match="no decoder 'magic'; expected one of: deepliif, watershed"):
        analyze(slide_of(disks()), unknown)


def test_every_tile_is_reported(backend):
    told = []
    analyze(slide_of(disks(600)), backend, on_progress=told.append)
    assert [(step.stage, step.done, step.total) for step in told] == [("tiles", number, 4) for number in range(1, 5)]
    assert told[-1].done_mpx == told[-1].total_mpx == 0.36


def test_the_result_does_not_depend_on_the_batch_size(backend):
    one, three = (analyze(slide_of(disks(600)), backend, AnalyzeOptions(batch_size=size)) for size in (1, 3))
    np.testing.assert_array_equal(one.maps["segmentation"].stored, three.maps["segmentation"].stored)


def test_the_stages_take_the_time_of_the_whole(backend):
    seconds = analyze(slide_of(disks()), backend).timings_s
    assert sum(seconds[stage] for stage in ("read", "network", "stitch", "cells", "scores")) == pytest.approx(seconds["total"])


def test_an_assumed_pixel_size_is_a_warning_and_a_stated_one_is_not(backend):
    assumed, stated = (analyze(slide_of(disks(), source=source), backend).warnings for source in ("assumed", "metadata"))
    assert any("0.25 um per pixel is assumed (40x)" in warning for warning in assumed)
    assert not any("assumed" in warning for warning in stated)


def test_nuclei_of_an_odd_size_are_a_warning(backend):
    warnings = analyze(slide_of(disks(), mpp=1.0), backend).warnings
    assert any("median nuclear area" in warning for warning in warnings)


def test_few_nuclei_are_a_warning_that_stands_once(backend):
    warnings = analyze(slide_of(disks()), backend, AnalyzeOptions(scores=("percent_positive",) * 2)).warnings
    assert sum("only 4 nuclei" in warning for warning in warnings) == 1


def test_options_reach_the_cells(backend):
    analysis = analyze(slide_of(disks()), backend, AnalyzeOptions(cells=CellOptions(min_area_um2=500)))
    assert len(analysis.cells) == 0
    assert analysis.cells.thresholds["min_area_um2"] == 500


def test_an_unknown_score_is_refused_before_anything_runs(backend):
    with pytest.raises(UsageError, match="percent_positive"):
        analyze(slide_of(disks()), backend, AnalyzeOptions(scores=("h_index",)))


@pytest.mark.parametrize(
    ("pixels", "mpp", "message"),
    [
        (np.full((50, 50, 3), 255, np.uint8), 0.25, "one colour"),
        (np.zeros((1500, 1500, 3), np.uint8), 0.25, "one colour"),
        (disks()[:3], 0.25, "smaller than a nucleus"),
        (disks(), 0.001, "smaller than a nucleus"),
        (disks(), 4.0, "too coarse"),
    ],
)
def test_a_slide_in_which_nothing_can_be_counted_is_refused(backend, pixels, mpp, message):
    with pytest.raises(SlideError, match=message):
        analyze(slide_of(pixels, mpp), backend)


def test_a_slide_that_does_not_fit_in_memory_needs_a_folder_of_work(backend, monkeypatch):
    monkeypatch.setattr(pipeline, "IN_MEMORY_PIXELS", 120 * 120 - 1)
    with pytest.raises(SlideError, match="give a folder"):
        analyze(slide_of(disks()), backend)


def test_the_tissue_area_is_reported(backend):
    pixels = np.full((1200, 1200, 3), 245, np.uint8)
    pixels[:600, :600] = np.random.default_rng(0).integers(90, 200, (600, 600, 3))
    analysis = analyze(slide_of(pixels, mpp=0.5), backend, AnalyzeOptions(cells=CellOptions(min_area_um2=1e6)))
    assert analysis.tissue_mm2 == pytest.approx(0.09, rel=0.15)


def test_a_pale_field_has_a_density_of_all_its_nuclei_on_the_ground_around_them(backend):
    analysis = analyze(slide_of(disks()), backend)  # too small for the thumbnail to show tissue
    density = next(score for score in analysis.scores if score.name == "density")
    assert density.counts == {"nuclei": 4}
    assert density.area_mm2 == analysis.tissue_mm2 > 0
    assert density.value == pytest.approx(4 / analysis.tissue_mm2)


def test_a_density_without_tissue_and_without_nuclei_says_why(backend):
    pixels = np.full((400, 400, 3), 240, np.uint8)
    pixels[::7] = 238
    analysis = analyze(slide_of(pixels), backend)
    assert (len(analysis.cells), analysis.tissue_mm2) == (0, 0)
    assert any("the area of the tissue is 0 mm2, so there is no density" in warning for warning in analysis.warnings)


def test_a_slide_at_another_resolution_is_counted_at_the_model_s(backend):
    doubled = np.kron(disks(), np.ones((2, 2, 1), np.uint8))
    analysis = analyze(slide_of(doubled, mpp=0.125), backend)
    assert len(analysis.cells) == 4
    assert analysis.maps.mpp == 0.25
    assert (analysis.cells["row_px"].min(), analysis.cells["row_px"].max()) == pytest.approx((60, 160), abs=1.5)
