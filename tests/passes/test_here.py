"""This process at the work of a slide, and what it tells of its progress."""

import numpy as np
import pytest
from conformance.workers import WorkersConformance

from counterstain.geometry import Box
from counterstain.inference.classical import ClassicalBackend
from counterstain.passes.here import ThisProcess
from counterstain.passes.on_disk import Subject
from counterstain.progress import PartsDone, unheard
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.tiling.glass import find_tissue


@pytest.fixture(scope="module")
def subject():
    """Brown and blue disks, 28 px apart, on tinted ground of 600 x 700 px; seed 0."""
    generator = np.random.default_rng(0)
    image = generator.integers(205, 232, (600, 700, 3), dtype=np.uint8)
    rows, cols = np.mgrid[:19, :19]
    disk = (rows - 9) ** 2 + (cols - 9) ** 2 <= 81
    for row in range(10, 570, 28):
        for col in range(10, 670, 28):
            image[row : row + 19, col : col + 19][disk] = [(90, 50, 20), (90, 110, 170)][int(generator.random() < 0.5)]
    slide = ArraySlide(image, name="disks", resolution=Resolution(0.25, "option"))
    return Subject(slide=slide, backend=ClassicalBackend(), tissue=find_tissue(slide))


class TestThisProcess(WorkersConformance):
    @pytest.fixture
    def workers(self, subject):
        return ThisProcess(slide=subject.slide, backend=subject.backend, batch_size=2, cutting_threads=2)


def test_this_process_needs_no_folder_where_memory_does(subject):
    assert not ThisProcess(slide=subject.slide, backend=subject.backend).needs_folder


def test_progress_counts_what_was_done_before_and_tells_only_of_what_is_done_now():
    told = []
    parts = [Box(0, 0, 1000, 1000), Box(0, 1000, 1000, 500), Box(0, 1500, 1000, 100)]
    count = PartsDone("tiles", parts, told.append)
    count.before(parts[:1])
    assert told == []
    for part in parts[1:]:
        count.add(part)
    assert [(step.stage, step.done, step.total, step.done_mpx, step.total_mpx) for step in told] == [
        ("tiles", 2, 3, 1.5, 1.6),
        ("tiles", 3, 3, 1.6, 1.6),
    ]


def test_progress_that_nobody_hears_is_no_error():
    PartsDone("cells", [Box(0, 0, 1, 1)], unheard).add(Box(0, 0, 1, 1))
