"""Tiles with a known fault: nuclei drawn as disks, then blurred, inked, folded or cut off."""

from functools import cache

import numpy as np
import pytest
from drawn import draw_disks
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from counterstain.geometry import Box
from counterstain.images import DAB, HEMATOXYLIN, optical_density
from counterstain.tiling.quality import FLAGGED_SHARE, NOTICEABLE_SHARE, TileQuality, quality_warnings, tile_quality

SIDE, MPP = 512, 0.25
CLEAN = {"blur": 0.0, "pen": 0.0, "fold": 0.0, "black_border": 0.0, "damaged": 0.0}


@cache
def drawn_density(seed):
    rng = np.random.default_rng(seed)
    ground = np.maximum(0.2 + 0.8 * ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 8), 0.1)
    density = ground[..., None] * np.array(HEMATOXYLIN)
    for stain in (HEMATOXYLIN, DAB):
        elsewhere = np.ones((SIDE, SIDE))
        elsewhere[tuple(rng.integers(0, SIDE, (2, 70)))] = 0
        nuclei = ndimage.gaussian_filter((ndimage.distance_transform_edt(elsewhere) <= 12).astype(float), 1)
        density += 0.6 * nuclei[..., None] * np.array(stain)
    return density


def tissue_density(seed=0, strength=1.0):
    """Optical density (h, w, 3) of pale ground with blue and brown nuclei of 6 um at random places."""
    return strength * drawn_density(seed)


def photographed(density):
    return np.clip(np.rint(250 * 10**-density), 0, 255).astype(np.uint8)


def blurred(image, sigma_um):
    return np.stack([ndimage.gaussian_filter(plane, sigma_um / MPP) for plane in np.moveaxis(image, -1, 0)], axis=-1)


def artifacts(quality):
    return {name: getattr(quality, name) for name in FLAGGED_SHARE}


def test_sharp_tissue_has_no_fault():
    quality = tile_quality(photographed(tissue_density()), MPP)
    assert artifacts(quality) == CLEAN
    assert quality.flags == ()
    assert quality.tissue > 0.5


@pytest.mark.parametrize("strength", [0.4, 1.0, 2.0])
def test_focus_is_judged_alike_whatever_the_strength_of_the_stain(strength):
    image = photographed(tissue_density(strength=strength))
    assert tile_quality(blurred(image, 0.4), MPP).flags == ()
    assert tile_quality(blurred(image, 1.2), MPP).flags == ("blur",)
    assert tile_quality(blurred(image, 1.2), MPP).blur > 0.9


def test_a_tile_of_which_a_half_is_out_of_focus_is_half_blurred():
    image = photographed(tissue_density())
    image[:, SIDE // 2 :] = blurred(image, 1.5)[:, SIDE // 2 :]
    assert tile_quality(image, MPP).blur == pytest.approx(0.5, abs=0.15)


def test_the_focus_of_a_scan_does_not_depend_on_its_resolution():
    image = photographed(tissue_density())
    for sigma_um, is_blurred in ((0.4, False), (1.2, True)):
        half = np.asarray(Image.fromarray(blurred(image, sigma_um)).reduce(2))
        assert ("blur" in tile_quality(half, 2 * MPP).flags) == is_blurred


@pytest.mark.parametrize("noise", [0, 3])
def test_glass_and_smooth_ground_are_not_out_of_focus(noise):
    rng = np.random.default_rng(1)
    ground = np.linspace(200, 235, SIDE)[:, None, None] + rng.normal(0, noise, (SIDE, SIDE, 3))
    assert tile_quality(np.clip(ground, 0, 255).astype(np.uint8), MPP).blur == 0


@pytest.mark.parametrize(
    "ink",
    [(30, 130, 80), (40, 60, 150), (20, 30, 110), (60, 140, 210), (190, 40, 50), (40, 40, 45)],
    ids=["green", "violet", "dark blue", "light blue", "red", "black"],
)
def test_ink_over_tissue_is_a_pen_mark(ink):
    density = tissue_density()
    density[:, 128:384] += optical_density(np.array([[ink]], np.uint8))
    quality = tile_quality(photographed(density), MPP)
    assert quality.flags == ("pen",)
    assert quality.pen == pytest.approx(0.5, abs=0.16)


@pytest.mark.parametrize("stain", [HEMATOXYLIN, DAB, (0.07, 0.99, 0.11)], ids=["hematoxylin", "DAB", "eosin"])
def test_a_dense_sheet_of_stain_is_no_pen_mark(stain):
    density = tissue_density() + 0.3 * np.array(stain) / np.linalg.norm(stain)
    assert tile_quality(photographed(density), MPP).pen == 0


@pytest.mark.parametrize("layers", [3, 4])
def test_a_band_of_further_layers_is_a_fold(layers):
    density, further = tissue_density(), sum(tissue_density(seed=layer) for layer in range(1, layers))
    density[:, 200:320] += ndimage.gaussian_filter(further, (2, 2, 0))[:, 200:320]
    quality = tile_quality(photographed(density), MPP)
    assert quality.flags == ("fold",)
    assert quality.fold == pytest.approx(120 / 512, abs=0.1)


def test_a_round_nest_of_dense_cells_is_no_fold():
    density = tissue_density()
    nest = draw_disks(SIDE, [(256, 256)], 130) > 0
    density[nest] += tissue_density(seed=1)[nest] + tissue_density(seed=2)[nest]
    assert tile_quality(photographed(density), MPP).fold == 0


def test_what_a_scanner_left_black_is_a_black_border_and_neither_ink_nor_tissue():
    image = photographed(tissue_density())
    image[:, :160] = 3
    quality = tile_quality(image, MPP)
    assert quality.flags == ("black_border",)
    assert quality.black_border == pytest.approx(160 / 512, abs=0.01)
    assert quality.pen == quality.blur == 0
    assert quality.tissue <= 0.7


def test_black_nuclei_are_no_border():
    image = photographed(tissue_density())
    image[draw_disks(SIDE, [(100, 100), (300, 420), (500, 200)], 16) > 0] = (20, 10, 8)
    assert tile_quality(image, MPP).black_border == 0


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_tile_of_one_colour_has_no_tissue(level):
    quality = tile_quality(np.full((300, 300, 3), level, np.uint8), MPP)
    assert quality.tissue == quality.blur == quality.fold == 0
    assert quality.black_border == (level == 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([0.1, 0.25, 0.5, 1.0, 3.0]), st.integers(0, 2**32 - 1))
def test_shares_lie_between_0_and_1_for_tiles_of_any_size(height, width, mpp, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    quality = tile_quality(pixels, mpp)
    assert all(0 <= share <= 1 for share in (quality.tissue, *artifacts(quality).values()))
    assert quality == tile_quality(np.ascontiguousarray(pixels), mpp)


def test_only_the_part_that_is_kept_counts_and_the_rest_is_looked_at():
    image = photographed(tissue_density())
    image[:, :256] = blurred(image, 1.5)[:, :256]
    image[:64] = 3
    left, right = Box(128, 0, 384, 192), Box(128, 320, 384, 192)
    assert tile_quality(image, MPP, left).flags == ("blur",)
    assert tile_quality(image, MPP, right).flags == ()
    assert tile_quality(image, MPP, Box(0, 0, 64, 512)).black_border == 1
    strip = tile_quality(image, MPP, Box(128, 505, 384, 7))
    assert (strip.tissue, strip.blur) == (pytest.approx(1, abs=0.3), 0)


def quality_of(**shares):
    return TileQuality(**{"tissue": 1.0, **CLEAN, **shares})


def test_a_fault_is_warned_of_from_a_noticeable_share_of_the_tissue():
    box = Box(0, 0, 100, 100)
    sharp, soft = quality_of(), quality_of(blur=1.0)
    nearly = [(box, soft)] + [(box, sharp)] * round(1 / NOTICEABLE_SHARE)
    assert quality_warnings(nearly) == ()
    (warning,) = quality_warnings(nearly[:-1])
    assert warning.startswith("5 % of the tissue is out of focus")


def test_glass_does_not_thin_out_a_fault():
    box, glass = Box(0, 0, 100, 100), quality_of(tissue=0.0)
    tiles = [(box, quality_of(fold=0.5, tissue=0.5))] + [(box, glass)] * 100
    assert quality_warnings(tiles)[0].startswith("50 % of the tissue is folded")
    assert quality_warnings([(box, glass)]) == ()
    assert quality_warnings([]) == ()


def test_tissue_hidden_by_ink_is_warned_of():
    (warning,) = quality_warnings([(Box(0, 0, 10, 10), quality_of(tissue=0.6, pen=0.2))])
    assert warning.startswith("25 % of the tissue is under or beside pen marks")


def test_real_fields_in_focus_have_no_fault(data_dir):
    for path in sorted((data_dir / "deepliif-roi").glob("*.png")):
        quality = tile_quality(np.asarray(Image.open(path).convert("RGB")), MPP)
        assert artifacts(quality) == CLEAN, path.name
