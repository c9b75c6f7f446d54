"""Blocks give what the whole gives: the same nuclei, the same numbers, whatever the side of the blocks."""

from dataclasses import replace

import numpy as np
import pytest
from conformance.decoder import random_maps
from drawn import draw_disks
from hypothesis import given, settings
from hypothesis import strategies as st

from counterstain.cells.decoders.base import Nuclei, numbered_by_first_pixel
from counterstain.cells.decoders.deepliif import PublishedRule
from counterstain.cells.decoders.names import DECODERS
from counterstain.cells.decoders.watershed import Watershed, WatershedSettings
from counterstain.cells.seams import Piece, blocks, cut_block, joined, no_wider, touching_border
from counterstain.cells.segment import CellOptions, segment
from counterstain.cells.table import COLUMNS, FLAG_TOUCHES_BORDER
from counterstain.geometry import Box, Size
from counterstain.images import to_bytes
from counterstain.panel import DEFAULT_PANEL
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.stitching.maps import Maps, Plane

SHAPE = (430, 560)
HALO_PX = 120


def drawn_maps(seed, *, with_distance=True):
    """Return bytes of the default panel with some 200 touching nuclei of both classes."""
    segmentation, distance = random_maps(seed, SHAPE)
    planes = {channel.name: np.zeros((*SHAPE, channel.planes), np.uint8) for channel in DEFAULT_PANEL.channels}
    planes["segmentation"] = to_bytes(segmentation)
    planes["distance"] = to_bytes(distance[..., np.newaxis])
    planes["marker"][..., 0] = np.random.default_rng(seed).integers(0, 256, SHAPE)
    if not with_distance:
        del planes["distance"]
    channels = tuple(channel for channel in DEFAULT_PANEL.channels if channel.name in planes)
    panel = type(DEFAULT_PANEL)(channels=channels, marker="marker")
    return Maps(size=Size(*SHAPE), mpp=0.25, panel=panel, planes={name: Plane(plane) for name, plane in planes.items()})


def field(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    return ArraySlide(pixels, resolution=Resolution(0.25, "option"))


def whole_labels(maps, decoder):
    return decode_box(maps, decoder)(Box.whole(maps.size)).labels


def decode_box(maps, decoder):
    def decode(box):
        return decoder(maps["segmentation"][box.slices], maps["distance"][box.slices][..., 0])

    return decode


def painted(pieces, size):
    """Paint all pieces into one label image and return it with the number of pixels that two pieces claim."""
    canvas, claims, count = np.zeros((size.height, size.width), np.int32), np.zeros((size.height, size.width), int), 0
    for piece in pieces:
        labels = piece.nuclei.labels
        inside = labels > 0
        canvas[piece.box.slices][inside] = labels[inside] + count
        claims[piece.box.slices] += inside
        count += len(piece.nuclei.p_positive)
    return canvas, int((claims > 1).sum())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block_px", [64, 100, 128, 256])
@pytest.mark.parametrize("decoder", [Watershed(mpp=0.25), PublishedRule(mpp=0.25, automatic_size=False)])
def test_blocks_give_the_label_image_of_the_whole_up_to_renaming(seed, block_px, decoder):
    maps = drawn_maps(seed)
    widths = decoder.halo.most_widths
    pieces = [
        cut_block(decode_box(maps, decoder), block, maps.size, HALO_PX, most_widths=widths)
        for block in blocks(maps.size, block_px)
    ]
    labels, claimed_twice = painted(pieces, maps.size)
    assert len(pieces) > 1
    assert claimed_twice == 0
    np.testing.assert_array_equal(numbered_by_first_pixel(labels)[0], whole_labels(maps, decoder))


@pytest.mark.parametrize("decoder", ["watershed", "deepliif"])
@pytest.mark.parametrize("block_px", [64, 100, 200])
@pytest.mark.parametrize("with_distance", [True, False])
def test_blocks_give_the_table_of_the_whole_to_the_last_bit(monkeypatch, decoder, block_px, with_distance):
    chosen = DECODERS[decoder]
    monkeypatch.setattr(chosen, "halo", replace(chosen.halo, width_um=HALO_PX * 0.25))
    maps, slide = drawn_maps(1, with_distance=with_distance), field(1)
    whole = segment(slide, maps, CellOptions(), decoder=decoder)
    cut = segment(slide, maps, CellOptions(), decoder=decoder, block_px=block_px)
    assert len(whole) > 50
    assert (whole["quality_flags"] == FLAG_TOUCHES_BORDER).any()
    for name in COLUMNS:
        np.testing.assert_array_equal(cut[name], whole[name], err_msg=name)
    for one, other in zip(cut.outlines, whole.outlines, strict=True):
        np.testing.assert_array_equal(one, other)
    assert cut.thresholds == whole.thresholds


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), block_px=st.integers(1, 40))
def test_blocks_partition_the_slide(height, width, block_px):
    covered = np.zeros((height, width), int)
    for block in blocks(Size(height, width), block_px):
        covered[block.slices] += 1
        assert block.row % block_px == block.col % block_px == 0
    assert (covered == 1).all()


def one_disk(radius, side=200, centre=(100, 100)):
    """Return a function that shows a disk through any box."""
    disk = draw_disks(side, [centre], radius)

    def decode(box):
        labels = np.ascontiguousarray(disk[box.slices])
        return Nuclei(labels=labels, p_positive=np.ones(int(labels.max(initial=0)), np.float32))

    return decode


def test_a_nucleus_on_a_corner_of_four_blocks_is_counted_once_and_whole():
    pieces = [cut_block(one_disk(10), block, Size(200, 200), 24) for block in blocks(Size(200, 200), 100)]
    assert [len(piece.nuclei.p_positive) for piece in pieces] == [0, 1, 0, 0]
    np.testing.assert_array_equal(painted(pieces, Size(200, 200))[0] > 0, draw_disks(200, [(100, 100)], 10) > 0)


def test_the_halo_grows_where_it_cuts_a_large_nucleus():
    seen, disk, size = [], one_disk(40), Size(200, 200)

    def decode(box):
        seen.append(box)
        return disk(box)

    pieces = [cut_block(decode, block, size, 20, most_widths=4) for block in blocks(size, 50)]
    assert sum(len(piece.nuclei.p_positive) for piece in pieces) == 1
    np.testing.assert_array_equal(painted(pieces, size)[0] > 0, draw_disks(200, [(100, 100)], 40) > 0)
    assert len(seen) > len(pieces)
    assert [box for box in seen if box.size.area > 90 * 90] == [Box(30, 20, 150, 150)], "top and right stay at 20 px"


@pytest.mark.parametrize("halo_px", [2, 5, 8])
def test_what_the_grown_halo_still_cuts_is_no_nucleus_and_is_left_out(halo_px):
    pieces = [cut_block(one_disk(90), block, Size(200, 200), halo_px, most_widths=4) for block in blocks(Size(200, 200), 50)]
    assert sum(len(piece.nuclei.p_positive) for piece in pieces) == 0


@pytest.mark.parametrize(("limit", "left"), [(21, 1), (20, 0)])
def test_what_is_wider_than_the_limit_is_left_out(limit, left):
    nuclei = no_wider(one_disk(10)(Box(50, 50, 100, 100)), limit)
    assert len(nuclei.p_positive) == nuclei.labels.max() == left
    assert len(no_wider(one_disk(10)(Box(0, 0, 5, 5)), limit).p_positive) == 0


@pytest.mark.parametrize("block_px", [64, 128, 512])
def test_a_stain_wider_than_the_halo_is_no_nucleus_whatever_the_blocks(monkeypatch, block_px):
    monkeypatch.setattr(Watershed, "halo", replace(Watershed.halo, width_um=HALO_PX * 0.25))
    maps = drawn_maps(0)
    for plane in maps.planes.values():
        plane.stored[:] = 0
    for rows, cols in ((slice(20, 60), slice(10, 10 + HALO_PX)), (slice(100, 140), slice(10, 11 + HALO_PX))):
        maps["segmentation"].stored[rows, cols, 2] = 255
        maps["distance"].stored[rows, cols] = 255
    cells = segment(field(0), maps, CellOptions(), decoder="watershed", block_px=block_px)
    assert cells["area_um2"].tolist() == [40 * HALO_PX / 16]


def test_only_the_border_of_the_slide_is_a_border():
    labels = np.zeros((6, 6), np.int32)
    labels[0, :2], labels[3, 5] = 1, 2
    piece = Piece(box=Box(0, 0, 6, 6), nuclei=Nuclei(labels=labels, p_positive=np.ones(2, np.float32)))
    assert touching_border(piece, Size(20, 20)).tolist() == [True, False]
    assert touching_border(piece, Size(20, 6)).tolist() == [True, True]


def test_no_parts_make_an_empty_table():
    cells = joined([], {"decoder": "watershed"})
    assert len(cells) == 0
    assert {name: cells[name].dtype for name in COLUMNS} == {name: np.dtype(kind) for name, kind in COLUMNS.items()}


def test_equal_peaks_flood_alike_wherever_they_lie():
    """Flat maps are full of ties, which nothing outside a nucleus may decide."""
    segmentation = np.zeros((60, 260, 3), np.float32)
    for col in range(0, 240, 24):
        segmentation[10:40, col + 3 : col + 23, 2] = 1
        segmentation[20:24, col + 3 : col + 23, 1] = 0.9
        segmentation[10:40, col + 12, 1] = 0.6
    decoder = Watershed(mpp=0.25, settings=WatershedSettings(merge_ratio=1.0))
    whole = decoder(segmentation, segmentation[..., 2]).labels
    for start in (24, 48, 120):
        part = decoder(segmentation[:, start:], segmentation[:, start:, 2]).labels
        np.testing.assert_array_equal(part > 0, whole[:, start:] > 0)
        np.testing.assert_array_equal(np.diff(part, axis=1) != 0, np.diff(whole[:, start:], axis=1) != 0)
