"""The published tiling, drawn small."""

import numpy as np
import pytest

from counterstain.inference.published import infer_published, is_empty

from .conftest import MANIFEST


class Echo:
    """Answers with the image itself and counts its calls; a stamp tells the tiles apart."""

    manifest = MANIFEST.model_copy(update={"tile_px": 32})
    fingerprint = "echo"

    def __init__(self):
        self.tiles = []

    def run(self, batch):
        self.tiles.append(batch)
        return {"copy": batch, "red": np.full_like(batch[:, :1], len(self.tiles) / 255)}


def noise(height, width):
    return np.random.default_rng(height + width).integers(1, 255, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(32, 32), (50, 70), (32, 100), (61, 33), (10, 40), (5, 9)])
def test_what_echoes_comes_back_whole(shape):
    image = noise(*shape)
    assert np.array_equal(infer_published(image, Echo(), tile_px=32)["copy"], image)


def test_tiles_overlap_by_a_sixteenth_and_the_last_is_shifted_back():
    stamps = infer_published(noise(32, 70), Echo(), tile_px=32)["red"][0, :, 0]
    starts = np.flatnonzero(np.diff(stamps, prepend=0))
    assert stamps[starts].tolist() == [1, 2, 3]
    assert starts.tolist() == [0, 30, 40]  # the second begins at 28 and keeps from 30; the third begins at 38 and keeps from 40


def test_an_axis_no_longer_than_a_tile_has_no_overlap():
    stamps = infer_published(noise(20, 70), Echo(), tile_px=32)["red"]
    assert stamps.shape == (20, 70, 1)
    assert (stamps == stamps[:1]).all()


def test_a_small_image_is_mirrored_to_a_tile():
    echo, image = Echo(), noise(20, 30)
    infer_published(image, echo, tile_px=32)
    seen = np.rint(echo.tiles[0][0] * 255).astype(np.uint8).transpose(1, 2, 0)
    assert seen.shape == (32, 32, 3)
    assert np.array_equal(seen[20:], seen[8:20][::-1])
    assert np.array_equal(seen[:20, 30:], image[:, 28:][:, ::-1])


def test_an_empty_tile_is_not_inferred_and_gets_its_colour():
    echo, image = Echo(), np.full((32, 64, 3), 240, np.uint8)
    image[:, :32] = noise(32, 32)
    results = infer_published(image, echo, tile_px=32, backgrounds={"copy": (1, 2, 3)})
    assert len(echo.tiles) == 2  # the one in the middle has noise too
    assert results["copy"][0, -1].tolist() == [1, 2, 3]
    assert results["red"][0, -1].tolist() == [0]


@pytest.mark.parametrize(
    ("levels", "empty"), [((100, 105), True), ((100, 107), False), ((0, 255), True), ((0, 100), True), ((255, 255), True)]
)
def test_a_tile_is_empty_when_its_grey_levels_hardly_vary(levels, empty):
    tile = np.repeat(np.array(levels, np.uint8), 50).reshape(10, 10)
    assert is_empty(np.stack([tile] * 3, axis=-1)) is empty  # a variance of 6.25, of 12.25, and nothing but black and white


def test_a_tile_of_another_size_is_resampled_to_that_of_the_networks():
    echo, image = Echo(), np.kron(noise(4, 4), np.ones((4, 4, 1), np.uint8))
    results = infer_published(image, echo, tile_px=16)
    assert echo.tiles[0].shape == (1, 3, 32, 32)
    assert results["copy"].shape == (16, 16, 3)
    assert results["red"].shape == (16, 16, 1)


def test_levels_are_cut_off_as_published_not_rounded():
    class Almost(Echo):
        def run(self, batch):
            return {"copy": np.full_like(batch, 99.9 / 255), "red": np.full_like(batch[:, :1], 0.5)}

    results = infer_published(noise(32, 32), Almost(), tile_px=32)
    assert results["copy"].max() == 99
    assert results["red"].max() == 127


def test_only_images_are_accepted():
    with pytest.raises(ValueError, match="uint8 RGB"):
        infer_published(np.zeros((8, 8)), Echo())
