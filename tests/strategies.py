"""Hypothesis strategies for sizes, boxes, images and grids."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from counterstain.geometry import Box, Size
from counterstain.tiling.grid import TileGrid


def sizes(smallest: int = 1, largest: int = 60) -> st.SearchStrategy[Size]:
    side = st.integers(smallest, largest)
    return st.builds(Size, side, side)


def boxes(reach: int = 60, largest: int = 40) -> st.SearchStrategy[Box]:
    corner, side = st.integers(-reach, reach), st.integers(0, largest)
    return st.builds(Box, corner, corner, side, side)


def images(smallest: int = 1, largest: int = 40) -> st.SearchStrategy[np.ndarray]:
    shapes = st.tuples(st.integers(smallest, largest), st.integers(smallest, largest), st.just(3))
    seeds = st.integers(0, 2**32 - 1)
    return st.builds(lambda shape, seed: np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), shapes, seeds)


@st.composite
def grids(draw: st.DrawFn, largest: int = 60) -> TileGrid:
    margin = draw(st.integers(0, 5))
    tile = draw(st.integers(2 * margin + 1, 2 * margin + 20))
    stride = draw(st.sampled_from([None, *(side for side in (1, 2, 3, 4) if tile % side == 0)]))
    return TileGrid(size=draw(sizes(largest=largest)), tile_px=tile, margin_px=margin, stride_px=stride)


def arrays(dtype: type, channels: int) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(dtype, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(channels)))
