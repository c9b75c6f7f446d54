import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterstain.geometry import Box, Size
from counterstain.outputs.images import levels
from counterstain.outputs.images.levels import blocks_of_levels, halved, level_sizes

SIDES = st.integers(1, 45)


@pytest.fixture(autouse=True, scope="module")
def small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "BLOCK_PX", 4)
        patch.setattr(levels, "SMALLEST_LEVEL_PX", 5)
        yield


@given(SIDES, SIDES, st.integers(0, 2**32 - 1))
def test_levels_made_in_blocks_are_those_of_the_whole(height, width, seed):
    level = np.random.default_rng(seed).integers(0, 256, (2, height, width), np.uint8)
    sizes = level_sizes(Size(height, width))
    made = [np.zeros((2, size.height, size.width), np.uint8) for size in sizes]
    for block in blocks_of_levels(lambda box, full=level: full[(slice(None), *box.slices)], sizes):
        made[block.level][(slice(None), *block.box.slices)] = block.pixels
    for pixels in made:
        np.testing.assert_array_equal(pixels, level)
        level = halved(level)


@given(SIDES, SIDES)
def test_every_pixel_is_read_once_and_every_block_comes_once(height, width):
    read = np.zeros((height, width), int)
    sizes = level_sizes(Size(height, width))
    made = [np.zeros((size.height, size.width), int) for size in sizes]

    def counted(box: Box):
        read[box.slices] += 1
        return np.zeros((1, box.height, box.width), np.uint8)

    for block in blocks_of_levels(counted, sizes):
        made[block.level][block.box.slices] += 1
    assert (read == 1).all()
    assert all((count == 1).all() for count in made)


def test_a_picture_is_halved_until_no_side_is_too_long():
    assert level_sizes(Size(11, 3)) == [Size(11, 3), Size(6, 2), Size(3, 1)]
    assert level_sizes(Size(5, 5)) == [Size(5, 5)]
