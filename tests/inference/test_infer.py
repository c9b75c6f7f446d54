import numpy as np
import pytest
from hypothesis import given, settings
from strategies import boxes, images

from counterstain.errors import BackendError, UnreadableSlideError, UsageError
from counterstain.geometry import Box, Size
from counterstain.inference.backend import check_outputs
from counterstain.inference.classical import ClassicalBackend
from counterstain.inference.names import BACKENDS, load_backend
from counterstain.inference.onnx import OnnxBackend
from counterstain.inference.run import grid_of, infer, read_mirrored
from counterstain.inference.stopwatch import Stopwatch
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.tiling.grid import TileGrid

from .conftest import MANIFEST


class BrokenBackend:
    """Returns NaN in ``red`` for every tile but the first."""

    manifest, fingerprint, runs = MANIFEST, "broken", 0

    def run(self, batch):
        self.runs += 1
        return {"copy": batch, "red": batch[:, :1] if self.runs == 1 else np.full_like(batch[:, :1], np.nan)}


def _slide(height, width):
    return ArraySlide(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_the_grid_is_the_models_over_the_slide_at_its_resolution():
    slide = ArraySlide(np.zeros((100, 60, 3), np.uint8), resolution=Resolution(0.5, "option"))
    assert grid_of(slide, MANIFEST) == TileGrid(size=Size(200, 120), tile_px=16, margin_px=2, stride_px=4)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_every_tile_is_yielded_once_in_order_whatever_the_batch(bundle, batch_size):
    slide, backend, seen = _slide(30, 20), OnnxBackend(bundle, threads=1), []
    grid = grid_of(slide, backend.manifest)
    tiles = list(infer(slide, backend, grid, batch_size=batch_size, on_tile=lambda tile, _: seen.append(tile)))
    assert [tile for tile, _ in tiles] == list(grid) == seen
    for tile, maps in tiles:
        side = (tile.read.height, tile.read.width)
        assert {name: values.shape for name, values in maps.items()} == {"copy": (*side, 3), "red": (*side, 1)}
        core = maps["copy"][tile.keep.shifted(-tile.read.row, -tile.read.col).slices]
        np.testing.assert_allclose(core * 255, slide.read(tile.keep, 0.25), atol=1e-3)


def test_nan_from_a_backend_names_the_channel_and_the_tile():
    slide = _slide(20, 12)
    tiles = infer(slide, BrokenBackend(), grid_of(slide, MANIFEST))
    next(tiles)
    with pytest.raises(BackendError, match="'red' has 144 values that are NaN") as caught:
        next(tiles)
    assert "Box(row=12, col=0, height=8, width=12)" in caught.value.__notes__[0]


def test_a_part_that_cannot_be_read_is_named():
    slide = _slide(20, 12)

    class Damaged(ArraySlide):
        def read(self, box, mpp):
            if box.stop_row > 18:
                raise UnreadableSlideError("a corrupt tile")
            return super().read(box, mpp)

    damaged = Damaged(slide.read(Box(0, 0, 20, 12), 0.25))
    with pytest.raises(UnreadableSlideError, match="corrupt") as caught:
        list(infer(damaged, ClassicalBackend(), TileGrid(size=damaged.size, tile_px=16, margin_px=2)))
    assert "Box(row=12, col=0, height=8, width=12)" in caught.value.__notes__[0]


def test_only_the_chosen_tiles_are_read_and_shown(bundle):
    slide, backend = _slide(30, 20), OnnxBackend(bundle, threads=1)
    grid = grid_of(slide, backend.manifest)
    chosen = list(grid)[1::2]
    assert [tile for tile, _ in infer(slide, backend, grid, tiles=chosen, batch_size=2)] == chosen
    assert list(infer(slide, backend, grid, tiles=[])) == []


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"copy": np.zeros((1, 3, 4, 4))}, r"no 'red'; it returned \['copy'\]"),
        ({"copy": np.zeros((1, 3, 4, 4)), "red": np.zeros((1, 3, 4, 4))}, r"shape \(1, 3, 4, 4\), expected \(1, 1, 4, 4\)"),
    ],
)
def test_outputs_that_are_not_the_panels_are_refused(outputs, message):
    with pytest.raises(BackendError, match=message):
        check_outputs(outputs, MANIFEST.panel, (1, 3, 4, 4))


@settings(max_examples=60, deadline=None)
@given(images(largest=12), boxes(reach=12, largest=30))
def test_outside_the_slide_is_its_mirror_image(image, box):
    slide, size = ArraySlide(image), Size(*image.shape[:2])
    inside = box.intersection(Box.whole(size))
    if not inside.size.area:
        return
    pixels = read_mirrored(slide, box, TileGrid(size=size, tile_px=8, margin_px=1), 0.25)
    assert pixels.shape == (box.height, box.width, 3)
    for row in range(max(box.row, -inside.height), 0):
        mirrored = pixels[-row - 1 - box.row] if -row - 1 < inside.stop_row else None
        np.testing.assert_array_equal(pixels[row - box.row], mirrored)


def test_the_stopwatch_adds_up_stages(bundle):
    stopwatch, slide = Stopwatch(), _slide(20, 20)
    backend = OnnxBackend(bundle, threads=1)
    list(infer(slide, backend, grid_of(slide, MANIFEST), stopwatch=stopwatch))
    assert set(stopwatch.seconds) == {"read", "network"}
    assert all(seconds > 0 for seconds in stopwatch.seconds.values())


def test_the_stopwatch_counts_a_block_that_raises():
    stopwatch = Stopwatch()
    with pytest.raises(KeyError), stopwatch("read"):
        raise KeyError
    assert "read" in stopwatch.seconds


def test_a_backend_is_loaded_by_name_or_path(bundle):
    assert isinstance(load_backend("classical"), ClassicalBackend)
    assert load_backend(bundle.source, threads=1).fingerprint == bundle.fingerprint
    assert load_backend(str(bundle.source), threads=1).fingerprint == bundle.fingerprint


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match="no model 'deepliff'; expected one of: classical, default"):
        load_backend("deepliff")
    assert set(BACKENDS) == {"classical", "default"}
