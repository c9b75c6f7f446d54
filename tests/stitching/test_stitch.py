import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import grids, images

from counterstain.geometry import Box, Size
from counterstain.inference.classical import ClassicalBackend
from counterstain.inference.run import grid_of, infer
from counterstain.panel import Channel, Panel
from counterstain.slides.array import ArraySlide
from counterstain.stitching.canvas import stitch
from counterstain.tiling.grid import TileGrid

IMAGE_PANEL = Panel(channels=(Channel(name="image", planes=3),))


class IdentityBackend:
    """Returns what it reads."""

    def __init__(self) -> None:
        self.manifest = ClassicalBackend().manifest.model_copy(update={"panel": IMAGE_PANEL})
        self.fingerprint = "identity"

    def run(self, batch):
        return {"image": batch}


@settings(max_examples=50, deadline=None)
@given(grids(), st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_cut_then_stitch_is_the_identity(grid, seed, batch_size):
    image = np.random.default_rng(seed).integers(0, 256, (grid.size.height, grid.size.width, 3), dtype=np.uint8)
    tiles = infer(ArraySlide(image), IdentityBackend(), grid, batch_size=batch_size)
    maps = stitch(tiles, size=grid.size, mpp=0.25, panel=IMAGE_PANEL)
    np.testing.assert_array_equal(maps["image"].as_bytes(Box.whole(grid.size)), image)


def _stained(height: int, width: int) -> np.ndarray:
    """Blue and brown discs on uneven pale ground, seed 0."""
    random, (rows, cols) = np.random.default_rng(0), np.mgrid[:height, :width]
    density = np.full((height, width, 3), 0.03) + 0.02 * np.sin(cols / 40)[..., None]
    for index in range(height * width // 900):
        disc = (rows - random.integers(height)) ** 2 + (cols - random.integers(width)) ** 2 < random.integers(4, 11) ** 2
        density[disc] = np.array([(0.4, 0.43, 0.17), (0.25, 0.5, 0.7)][index % 3 == 0]) * random.uniform(0.4, 1.3)
    return np.uint8(255 * 10 ** -(density + random.normal(0, 0.01, density.shape)).clip(0))


def _maps(image: np.ndarray, tile_px: int):
    backend, slide = ClassicalBackend(), ArraySlide(image)
    grid = TileGrid(size=slide.size, tile_px=tile_px, margin_px=backend.manifest.margin_px)
    return stitch(infer(slide, backend, grid), size=grid.size, mpp=0.25, panel=backend.manifest.panel)


@pytest.fixture(scope="module")
def stained():
    return _stained(530, 700)


@pytest.fixture(scope="module")
def reference(stained):
    return _maps(stained, 1024)


@pytest.mark.parametrize("tile_px", [192, 256, 512])
def test_maps_do_not_depend_on_the_tile_size(stained, reference, tile_px):
    maps = _maps(stained, tile_px)
    for name in reference.planes:
        np.testing.assert_array_equal(maps[name].stored, reference[name].stored)


@settings(max_examples=5, deadline=None)
@given(row=st.integers(0, 200), col=st.integers(0, 200))
def test_maps_of_a_shifted_crop_agree_away_from_its_border(stained, reference, row, col):
    margin, box = 32, Box(row, col, 200, 220)
    maps = _maps(stained[box.slices], 256)
    inner = Box(row, col, 200, 220).grown(-margin)
    for name in reference.planes:
        np.testing.assert_array_equal(
            maps[name].as_bytes(inner.shifted(-row, -col)), reference[name].as_bytes(inner), err_msg=name
        )


def test_the_borders_of_the_slide_show_no_seam():
    """A uniform slide has uniform maps: what lies outside does not shine in."""
    maps = _maps(np.full((70, 50, 3), (150, 140, 190), np.uint8), 128)
    for name in maps.planes:
        assert np.ptp(maps[name].stored, axis=(0, 1)).max() == 0


@settings(max_examples=20, deadline=None)
@given(images(largest=8))
def test_a_slide_smaller_than_the_margin_gives_maps_of_its_size(image):
    maps = _maps(image, 128)
    assert maps.size == Size(*image.shape[:2])
    assert maps["segmentation"].shape == image.shape


def test_a_missing_map_names_those_that_are_there(reference):
    assert "dapi" in reference
    with pytest.raises(KeyError, match="distance"):
        reference["cd3"]


def test_maps_are_read_as_units(reference):
    values = reference["dapi"][0:4, 0:5]
    assert (values.shape, values.dtype) == ((4, 5, 1), np.float32)
    np.testing.assert_allclose(values * 255, reference["dapi"].as_bytes(Box(0, 0, 4, 5)), atol=1e-4)


def test_maps_within_a_margin_of_the_border_alone_depend_on_what_is_shown_outside(stained, reference):
    backend, slide = ClassicalBackend(), ArraySlide(stained)
    inside = slice(backend.manifest.margin_px, -backend.manifest.margin_px)
    grid = grid_of(slide, backend.manifest)
    assert grid.stride_px
    maps = stitch(infer(slide, backend, grid, batch_size=4), size=grid.size, mpp=0.25, panel=backend.manifest.panel)
    for name in reference.planes:
        np.testing.assert_array_equal(maps[name].stored[inside, inside], reference[name].stored[inside, inside])
