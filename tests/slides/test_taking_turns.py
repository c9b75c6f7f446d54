import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conformance.slide import SlideConformance

from counterstain.geometry import Box
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.slides.taking_turns import TakingTurns

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


class TestTakingTurns(SlideConformance):
    @pytest.fixture
    def slide(self):
        return TakingTurns(ArraySlide(PIXELS, name="a", resolution=Resolution(0.25, "option")))


class Alone(ArraySlide):
    """A slide that bears one reader at a time."""

    def read(self, box, mpp):
        assert self.free.acquire(blocking=False), "two threads read at once"
        try:
            return super().read(box, mpp)
        finally:
            self.free.release()


def test_one_thread_reads_at_a_time():
    slide = Alone(PIXELS, name="a", resolution=Resolution(0.25, "option"))
    slide.free = threading.Lock()
    shared = TakingTurns(slide)
    with ThreadPoolExecutor(4) as pool:
        parts = [*pool.map(lambda _: shared.read(Box(0, 0, 30, 40), 0.31), range(40))]
    assert len(parts) == 40
