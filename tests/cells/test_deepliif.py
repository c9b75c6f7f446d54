"""The published rule against what the published software gave for the published images."""

import json

import numpy as np
import pytest

from counterstain.cells.decoders.deepliif import (
    LARGE_NOISE_SIZE,
    PublishedRule,
    automatic_size,
    find_components,
    magnification_of,
    pixel_classes,
)
from counterstain.cells.deepliif_counts import Limits, automatic_marker, count_cells, density_image, score
from counterstain.cells.deepliif_images import overlaid, refined

TILES = ["22_2", "34_3", "6_2", "799_2"]
MAGNIFICATIONS = ["10x", "20x", "40x"]
CASES = ["default", "marker_default", "size_none", "size_100_300", "od_40_120", "seg_60", "large_noise_default"]

# per tile: total, positive; automatic size at 40x, 20x, 10x; automatic marker threshold and positive with it;
# segmentation threshold 150: total, positive, size; no size limit: total, positive; size 50 to 400: total, positive;
# marker threshold 100: positive
PUBLISHED = {
    "22_2": (114, 8, 61, 16, 4, 208, 9, 117, 9, 44, 137, 9, 18, 0, 10),
    "34_3": (117, 33, 38, 16, 4, 182, 33, 116, 34, 28, 131, 39, 29, 13, 34),
    "6_2": (97, 18, 30, 30, 4, 154, 18, 90, 17, 39, 107, 19, 43, 4, 19),
    "799_2": (93, 3, 27, 27, 4, 158, 3, 89, 2, 16, 104, 3, 27, 1, 3),
}


@pytest.fixture(scope="module", params=TILES)
def tile(request, data_dir, rgb):
    folder = data_dir / "deepliif-bc4"
    return {
        "name": request.param,
        "seg": rgb(folder / "published" / f"{request.param}_seg.png"),
        "marker": rgb(folder / "published" / f"{request.param}_marker.png").max(axis=2),
        "ihc": rgb(folder / "ihc" / f"{request.param}.png"),
    }


def counts(tile, limits, threshold=120):
    components = find_components(pixel_classes(tile["seg"], threshold))
    found = score(count_cells(components, limits, tile["marker"]))
    return found["num_total"], found["num_pos"]


def test_counts_and_limits_are_the_published_ones(tile):
    sizes = find_components(pixel_classes(tile["seg"])).sizes
    auto = {magnification: automatic_size(sizes, magnification) for magnification in MAGNIFICATIONS}
    marker = automatic_marker(tile["marker"])
    auto_150 = automatic_size(find_components(pixel_classes(tile["seg"], 150)).sizes, "40x")
    found = (
        *counts(tile, Limits(size=auto["40x"])),
        *(auto["40x"], auto["20x"], auto["10x"]),
        *(marker, counts(tile, Limits(size=auto["40x"], marker=marker))[1]),
        *(*counts(tile, Limits(size=auto_150), 150), auto_150),
        *counts(tile, Limits(size=0)),
        *counts(tile, Limits(size=50, size_upper=400)),
        counts(tile, Limits(size=auto["40x"], marker=100))[1],
    )
    assert found == PUBLISHED[tile["name"]]


def run_case(tile, magnification, case):
    """Return the components, counts and limits of one recorded case."""
    large = LARGE_NOISE_SIZE[magnification] if case == "large_noise_default" else None
    components = find_components(pixel_classes(tile["seg"], 60 if case == "seg_60" else 120), large_noise_size=large)
    auto = automatic_size(components.sizes, magnification)
    limits = {
        "size_none": Limits(),
        "size_100_300": Limits(size=100, size_upper=300),
        "od_40_120": Limits(size=auto, density_lower=40, density_upper=120),
        "marker_default": Limits(size=auto, marker=automatic_marker(tile["marker"])),
    }.get(case, Limits(size=auto))
    return components, count_cells(components, limits, tile["marker"], density_image(tile["ihc"])), limits


@pytest.mark.parametrize("magnification", MAGNIFICATIONS)
@pytest.mark.parametrize("case", CASES)
def test_scores_are_the_recorded_ones(tile, golden_dir, magnification, case):
    recorded = json.loads((golden_dir / f"{tile['name']}__scoring.json").read_text())[f"{magnification}/{case}"]
    _, counted, limits = run_case(tile, magnification, case)
    assert score(counted) == {key: recorded[key] for key in ("num_total", "num_pos", "num_neg", "percent_pos")}
    assert limits.size == recorded["size_thresh"]
    assert limits.size_upper == recorded["size_thresh_upper"]
    assert limits.marker == recorded["marker_thresh"]


@pytest.mark.parametrize("case", CASES)
def test_refined_images_are_identical(tile, golden_dir, rgb, case):
    components, counted, _ = run_case(tile, "40x", case)
    np.testing.assert_array_equal(refined(components, counted), rgb(golden_dir / f"{tile['name']}__{case}__refined.png"))


def test_overlaid_images_are_identical(tile, golden_dir, rgb):
    components, counted, _ = run_case(tile, "40x", "default")
    signed = (tile["ihc"].astype(np.float32) / 255 - np.float32(0.5)) / np.float32(0.5)
    original = ((signed + 1) / 2 * 255).astype(
        np.uint8
    )  # it passes its originals through [-1, 1], which costs dark pixels a level
    recorded = rgb(golden_dir / f"{tile['name']}__default__overlaid.png")
    np.testing.assert_array_equal(overlaid(original, components, counted), recorded)


def test_the_decoder_counts_as_the_rule_does(tile):
    nuclei = PublishedRule(mpp=0.25)(tile["seg"].astype(np.float32) / np.float32(255), None)
    total, positive = PUBLISHED[tile["name"]][:2]
    assert len(nuclei.p_positive) == nuclei.labels.max() == total
    assert int((nuclei.p_positive >= 0.5).sum()) == positive


def test_the_decoder_can_leave_the_automatic_size_out(tile):
    nuclei = PublishedRule(mpp=0.25, automatic_size=False)(tile["seg"].astype(np.float32) / np.float32(255), None)
    assert len(nuclei.p_positive) == PUBLISHED[tile["name"]][10]


@pytest.mark.parametrize(("grey", "density"), [(0, 722), (128, 90), (255, 0)])
def test_density_of_greys(grey, density):
    assert density_image(np.full((1, 1, 3), grey, np.uint8)).item() == density


@pytest.mark.parametrize(
    ("sizes", "limits"),
    [
        ([100, 100], (16, 9, 4)),
        ([20] * 30 + [400] * 30, (49, 16, 4)),
        ([5, 900], (49, 16, 4)),
        ([], (0, 0, 0)),
        ([50], (0, 0, 0)),
    ],
)
def test_automatic_size_of_few_sizes(sizes, limits):
    assert tuple(automatic_size(np.array(sizes, np.int64), magnification) for magnification in ("40x", "20x", "10x")) == limits


def test_an_empty_image_scores_zero():
    components = find_components(pixel_classes(np.zeros((9, 9, 3), np.uint8)))
    counted = count_cells(components, Limits())
    assert score(counted) == {"num_total": 0, "num_pos": 0, "num_neg": 0, "percent_pos": 0}
    assert not refined(components, counted).any()
    assert automatic_marker(np.zeros((4, 4), np.uint8)) == 0


def drawn(rows):
    """Return segmentation pixels: P positive, N negative, b boundary over positive, dot nothing."""
    colours = {"P": (200, 0, 0), "N": (0, 0, 200), "b": (200, 81, 0), ".": (0, 0, 0)}
    return np.array([[colours[letter] for letter in row] for row in rows], np.uint8)


def test_classes_of_pixels_at_the_limits():
    pixels = np.array([[[120, 0, 0], [121, 0, 0], [61, 0, 60], [60, 80, 61], [200, 81, 200], [255, 0, 255]]], np.uint8)
    np.testing.assert_array_equal(pixel_classes(pixels), [[0, 2, 2, 1, 0, 2]])


def test_holes_belong_to_the_component_but_do_not_vote():
    components = find_components(pixel_classes(drawn(["PPN.", "P.N.", "PNN."])))
    np.testing.assert_array_equal(components.labels, [[1, 1, 1, 0]] * 3)
    assert components.sizes.tolist() == [9]
    assert (components.positive_pixels.item(), components.negative_pixels.item()) == (4, 4)
    assert count_cells(components, Limits()).is_positive.tolist() == [True]  # a tie


def test_a_gap_that_reaches_the_border_by_sides_is_no_hole():
    components = find_components(pixel_classes(drawn(["PPP", "P.P", "P.P"])))
    assert components.sizes.tolist() == [7]


def test_components_join_by_corners_and_noise_is_left_out():
    components = find_components(pixel_classes(drawn(["PP...N", "PP....", "..PP..", "..PP.."])))
    np.testing.assert_array_equal(components.labels[0], [1, 1, 0, 0, 0, -1])
    assert components.sizes.tolist() == [8]
    assert components.first_pixels.tolist() == [0]


def test_marker_promotes_and_density_demotes():
    components = find_components(pixel_classes(drawn(["NNNNN.PPPPP"])))
    marker = np.array([[0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]], np.uint8)
    density = np.array([[50, 50, 50, 50, 50, 0, 90, 90, 90, 90, 90]], np.uint16)

    def called(**limits):
        return count_cells(components, Limits(**limits), marker, density).is_positive.tolist()

    assert called() == [False, True]
    assert called(marker=8) == [True, True]
    assert called(marker=9) == [False, True]
    assert called(density_lower=90) == [False, True]
    assert called(density_lower=91) == [False, False]
    assert called(density_upper=89, marker=8) == [True, False]


@pytest.mark.parametrize(
    ("mpp", "name"), [(0.25, "40x"), (0.3, "40x"), (0.34, "20x"), (0.5, "20x"), (0.7, "10x"), (1.0, "10x")]
)
def test_magnification_follows_the_pixel_size(mpp, name):
    assert magnification_of(mpp) == name
