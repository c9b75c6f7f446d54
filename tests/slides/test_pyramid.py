import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from counterstain.geometry import Box, Size
from counterstain.slides.pyramid import Level, is_level, level_for, level_of, read_pyramid
from counterstain.slides.resampling import read_resampled

LEVELS = [Level(Size(400, 400), 1.0), Level(Size(200, 200), 2.0), Level(Size(50, 50), 8.0)]


@pytest.mark.parametrize(
    ("factor", "number"), [(0.5, 0), (1, 0), (1.9, 0), (2 * (1 - 1e-9), 1), (2, 1), (7.99, 1), (8, 2), (100, 2)]
)
def test_the_level_is_the_coarsest_that_need_not_be_enlarged(factor, number):
    assert level_for(LEVELS, factor) == number
    assert level_for(LEVELS[:1], factor) == 0


@pytest.mark.parametrize(
    ("stored", "full", "downsample"),
    [
        (Size(500, 652), Size(1001, 1303), 2.0),
        (Size(501, 651), Size(1001, 1303), 2.0),
        (Size(11500, 9000), Size(46001, 36003), 4.0),
        (Size(100, 150), Size(1001, 1503), 10.0),
        (Size(667, 667), Size(1000, 1000), 1000 / 667),
        (Size(7, 9), Size(7, 9), 1.0),
    ],
)
def test_a_row_more_or_less_does_not_change_the_scale(stored, full, downsample):
    assert level_of(stored, full).downsample == pytest.approx(downsample)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(Size(50, 65), True), (Size(51, 66), True), (Size(1, 1), True), (Size(40, 40), False), (Size(0, 0), False)],
)
def test_a_level_has_the_shape_of_the_slide(size, expected):
    """A label of 40 x 40 beside a slide of 101 x 131 is none."""
    assert is_level(size, Size(101, 131)) == expected


def pictures(height, width, *, cut):
    """Return a smooth picture and its half size, with or without the last incomplete row and column."""
    rows, cols = np.mgrid[:height, :width]
    full = np.stack([rows * 2, cols * 2, rows + cols], axis=-1).astype(np.uint8)
    padded = np.pad(full, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge").astype(np.uint16)
    half = ((padded[::2, ::2] + padded[1::2, ::2] + padded[::2, 1::2] + padded[1::2, 1::2]) // 4).astype(np.uint8)
    return [full, half[: height // 2, : width // 2] if cut else half]


@settings(max_examples=60, deadline=None)
@example(height=24, width=53, cut=True, factor=3.0, corner=(0, 9))
@given(
    height=st.integers(24, 60),
    width=st.integers(24, 60),
    cut=st.booleans(),
    factor=st.sampled_from([1.0, 1.5, 2.0, 2.3, 3.0]),
    corner=st.tuples(st.integers(-5, 30), st.integers(-5, 30)),
)
def test_a_coarse_read_shows_what_resampling_the_full_size_shows(height, width, cut, factor, corner):
    stored = pictures(height, width, cut=cut)
    levels = [level_of(Size(*picture.shape[:2]), Size(height, width)) for picture in stored]
    seen = set()

    def read(box, level):
        seen.add(level)
        assert box.intersection(Box.whole(levels[level].size)) == box
        return stored[level][box.slices]

    box = Box(*corner, 12, 9)
    found = read_pyramid(read, levels, (factor, factor), box)
    expected = read_resampled(lambda part: stored[0][part.slices], Size(height, width), (factor, factor), box)
    assert np.abs(found.astype(int) - expected).max() <= 4
    assert ((found == 255).all(axis=2) == (expected == 255).all(axis=2)).all()
    assert seen <= {1 if factor >= 2 else 0}
