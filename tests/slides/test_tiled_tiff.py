"""Tiled TIFF files, which are read without being decoded whole."""

import re

import numpy as np
import pytest
import tifffile
from conformance.slide import SlideConformance

from counterstain.errors import MissingResolutionError, UnreadableSlideError, UnsupportedSlideError
from counterstain.geometry import Box, Size
from counterstain.slides import tiles
from counterstain.slides.base import Resolution
from counterstain.slides.opening import open_slide
from counterstain.slides.tiffs import tiled as tiled_tiff
from counterstain.slides.tiffs.flat import headers_of_tiff
from counterstain.slides.tiffs.tiled import TiledTiffSlide

MPP = 0.25
PER_CM = 1e4 / MPP


def reads_in_pieces(path):
    return tiled_tiff.reads_in_pieces(headers_of_tiff(path, None)[0])


def tissue(height=101, width=131):
    rows, cols = np.mgrid[:height, :width]
    return np.uint8(np.stack([rows + 100, cols + 60, 180 + 40 * np.sin(rows / 9)], axis=-1))


def write_pyramid(path, image=None, *, steps=(1, 2, 4), mpp=MPP, **options):
    """Write the pages of a generic pyramid, as most converters do."""
    image = tissue() if image is None else image
    options = {"tile": (32, 48), "photometric": "rgb", "compression": "zlib", **options}
    with tifffile.TiffWriter(path) as writer:
        for step in steps:
            resolution = {} if mpp is None else {"resolution": (1e4 / mpp / step,) * 2, "resolutionunit": "CENTIMETER"}
            writer.write(image[::step, ::step], subfiletype=int(step > 1), metadata=None, **resolution, **options)
    return path


def write_ome(path, image=None, **options):
    """Write an OME-TIFF with its smaller levels in SubIFDs, as QuPath and Bio-Formats do."""
    image = tissue() if image is None else image
    options = {"tile": (32, 48), "photometric": "rgb", "compression": "zlib", **options}
    sides = {f"PhysicalSize{axis}": MPP for axis in "XY"} | {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(image, subifds=2, metadata={"axes": "YXS", **sides}, **options)
        for step in (2, 4):
            writer.write(image[::step, ::step], subfiletype=1, metadata=None, **options)
    return path


class TestGenericPyramid(SlideConformance):
    @pytest.fixture
    def slide(self, tmp_path):
        with open_slide(write_pyramid(tmp_path / "a.tif")) as slide:
            assert isinstance(slide, TiledTiffSlide)
            yield slide


class TestOmePyramid(SlideConformance):
    @pytest.fixture
    def slide(self, tmp_path):
        with open_slide(write_ome(tmp_path / "a.ome.tif")) as slide:
            assert isinstance(slide, TiledTiffSlide)
            yield slide


@pytest.mark.parametrize("write", [write_pyramid, write_ome])
@pytest.mark.parametrize("options", [{}, {"compression": None}, {"tile": (16, 16)}, {"compression": "lzw", "predictor": True}])
def test_every_box_of_level_zero_is_exact(tmp_path, write, options):
    with open_slide(write(tmp_path / "a.tif", **options)) as slide:
        assert slide.size == Size(101, 131)
        assert slide.resolution == Resolution(pytest.approx(MPP), "metadata")
        for box in (Box(0, 0, 101, 131), Box(31, 47, 2, 2), Box(100, 130, 1, 1), Box(5, 90, 60, 41)):
            np.testing.assert_array_equal(slide.read(box, slide.resolution.mpp), tissue()[box.slices])


@pytest.mark.parametrize("write", [write_pyramid, write_ome])
def test_jpeg_tiles_have_their_colours(tmp_path, write):
    with open_slide(write(tmp_path / "a.tif", compression="jpeg")) as slide:
        difference = np.abs(slide.read(Box.whole(slide.size), slide.resolution.mpp).astype(int) - tissue())
        assert difference.mean() < 3


@pytest.mark.parametrize("write", [write_pyramid, write_ome])
@pytest.mark.parametrize(("factor", "level"), [(1, 0), (1.9, 0), (2, 1), (3, 1), (4, 2), (9, 2)])
def test_only_the_tiles_of_the_level_that_fits_are_decoded(tmp_path, monkeypatch, write, factor, level):
    image = tissue(400, 600)
    with open_slide(write(tmp_path / "a.tif", image)) as slide:
        slide._tile.clear()
        decoded, decode = [], slide._tile._decode
        monkeypatch.setattr(slide._tile, "_decode", lambda *tile: decoded.append(tile) or decode(*tile))
        slide.read(Box(10, 10, 12, 12), slide.resolution.mpp * factor)
        assert {number for number, _ in decoded} == {level}
        assert len(decoded) <= 12 < 400 * 600 / (32 * 48)


def test_neighbouring_boxes_share_tiles_within_the_limit_of_the_cache(tmp_path, monkeypatch):
    decoded, decode = [], TiledTiffSlide._decode
    monkeypatch.setattr(TiledTiffSlide, "_decode", lambda self, *tile: decoded.append(tile) or decode(self, *tile))
    with open_slide(write_pyramid(tmp_path / "a.tif")) as slide:
        for _ in range(2):
            slide.read(Box.whole(slide.size), MPP)
        assert len(decoded) == len(set(decoded)) == 12


def test_the_cache_is_bounded(tmp_path, monkeypatch):
    three_tiles = 3 * 32 * 48 * 3
    monkeypatch.setattr(tiles, "CACHE_BYTES", three_tiles)
    with open_slide(write_pyramid(tmp_path / "a.tif")) as slide:
        for _ in range(2):
            np.testing.assert_array_equal(slide.read(Box.whole(slide.size), MPP), tissue())
            assert sum(tile.nbytes for tile in slide._tile._tiles.values()) == slide._tile.kept_bytes <= three_tiles


def test_a_tile_that_the_file_leaves_out_is_white(tmp_path):
    path = write_pyramid(tmp_path / "a.tif")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tags = tiff.pages.first.tags
        for name in ("TileOffsets", "TileByteCounts"):
            tags[name].overwrite((*tags[name].value[:4], 0, *tags[name].value[5:]))
    expected = tissue()
    expected[32:64, 48:96] = 255
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(Box.whole(slide.size), MPP), expected)


@pytest.mark.parametrize(
    ("options", "image"),
    [
        ({"photometric": "minisblack"}, tissue()[..., 0]),
        ({"photometric": "miniswhite"}, 255 - tissue()[..., 0]),
        ({"photometric": "minisblack"}, tissue()[..., 0].astype(np.uint16) * 257),
    ],
)
def test_grey_and_sixteen_bit_pyramids_become_rgb(tmp_path, options, image):
    with open_slide(write_pyramid(tmp_path / "a.tif", image, **options)) as slide:
        assert isinstance(slide, TiledTiffSlide)
        np.testing.assert_array_equal(slide.read(Box.whole(slide.size), MPP), np.stack([tissue()[..., 0]] * 3, axis=-1))


def test_twelve_bit_values_in_sixteen_bits_are_refused(tmp_path):
    path = write_pyramid(tmp_path / "a.tif", tissue().astype(np.uint16) * 16)
    with pytest.raises(UnsupportedSlideError, match=r"values end at \d+ .12-bit camera"):
        open_slide(path)


def test_small_flat_files_are_decoded_whole_and_large_ones_are_not(tmp_path, monkeypatch):
    path = write_pyramid(tmp_path / "a.tif", steps=(1,))
    assert not reads_in_pieces(path)
    monkeypatch.setattr(tiled_tiff, "FLAT_PIXELS", 101 * 131 - 1)
    assert reads_in_pieces(path)
    with open_slide(path) as slide:
        assert isinstance(slide, TiledTiffSlide)
        np.testing.assert_array_equal(slide.read(Box(3, 4, 50, 60), MPP), tissue()[3:53, 4:64])


def test_files_in_strips_or_with_separate_planes_are_decoded_whole(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", tissue(), photometric="rgb")
    tifffile.imwrite(
        tmp_path / "b.tif", np.moveaxis(tissue(), -1, 0), photometric="rgb", planarconfig="separate", tile=(32, 32)
    )
    assert not reads_in_pieces(tmp_path / "a.tif")
    assert not reads_in_pieces(tmp_path / "b.tif")


def test_a_page_of_another_shape_is_no_level(tmp_path):
    """A label beside the slide, which may show a name, is never read."""
    path, label = tmp_path / "a.tif", np.full((40, 40, 3), (255, 0, 255), np.uint8)
    options = {"tile": (16, 16), "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        for page in (tissue(), tissue()[::2, ::2], label):
            writer.write(page, subfiletype=int(page is not label and len(page) < 101), **options)
    with open_slide(path, mpp=MPP) as slide:
        for factor in (1, 2, 3, 4, 8):
            pixels = slide.read(Box(0, 0, 20, 20), MPP * factor)
            assert not (pixels == (255, 0, 255)).all(axis=2).any()


def test_a_qptiff_is_a_pyramid_whose_thumbnail_label_and_overview_are_not_read(tmp_path):
    path = tmp_path / "a.qptiff"
    options = {"photometric": "rgb", "metadata": None, "software": "PerkinElmer-QPI"}
    pages = (("FullResolution", 1), ("Thumbnail", 4), ("ReducedResolution", 2), ("Overview", None), ("Label", None))
    with tifffile.TiffWriter(path) as writer:
        for kind, step in pages:
            text = f"<PerkinElmer-QPI-ImageDescription><ImageType>{kind}</ImageType></PerkinElmer-QPI-ImageDescription>"
            page = tissue(104, 136)[::step, ::step] if step else np.full((40, 60, 3), (255, 0, 255), np.uint8)
            tile = {"tile": (32, 32)} if step in (1, 2) else {}
            resolution = {"resolution": (PER_CM / (step or 9),) * 2, "resolutionunit": "CENTIMETER"}
            writer.write(page, description=f'<?xml version="1.0"?>{text}', **options, **tile, **resolution)
    with open_slide(path) as slide:
        assert isinstance(slide, TiledTiffSlide)
        assert slide.resolution == Resolution(pytest.approx(MPP), "metadata")
        assert [level.size for level in slide._levels] == [Size(104, 136), Size(52, 68)]
        np.testing.assert_array_equal(slide.read(Box.whole(slide.size), slide.resolution.mpp), tissue(104, 136))


def test_a_pyramid_without_pixel_size_is_refused_with_the_option_that_gives_it(tmp_path):
    path = write_pyramid(tmp_path / "a.tif", mpp=None)
    with pytest.raises(MissingResolutionError, match=r"mpp 0\.25"):
        open_slide(path)
    with open_slide(path, mpp=0.5) as slide:
        assert slide.resolution == Resolution(0.5, "option")


def test_a_stack_is_refused(tmp_path):
    path = tmp_path / "a.ome.tif"
    stack = np.zeros((3, 64, 64), np.uint16)
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(stack, subifds=1, tile=(16, 16), metadata={"axes": "CYX", "PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0})
        writer.write(stack[:, ::2, ::2], subfiletype=1, tile=(16, 16), metadata=None)
    with pytest.raises(UnsupportedSlideError, match="stack"):
        open_slide(path)


def test_a_truncated_pyramid_is_unreadable(tmp_path):
    content = write_pyramid(tmp_path / "a.tif", compression=None).read_bytes()
    for length in (len(content) // 2, len(content) - 1000):
        (tmp_path / "a.tif").write_bytes(content[:length])
        with pytest.raises(UnreadableSlideError, match="truncated"):
            open_slide(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", ["zlib", "jpeg"])
def test_a_corrupt_tile_is_named_and_the_others_are_read(tmp_path, compression):
    path = write_pyramid(tmp_path / "a.tif", compression=compression)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        start, count = page.dataoffsets[4], page.databytecounts[4]
    content = bytearray(path.read_bytes())
    content[start : start + count] = b"\xff" * count
    path.write_bytes(content)
    with open_slide(path) as slide:
        assert slide.read(Box(0, 0, 30, 40), MPP).shape == (30, 40, 3)
        message = r"cannot decode tile 4 of level 0 of .*a\.tif, at row 32 and column 48"
        assert (slide.read(Box(40, 60, 5, 5), MPP) == 255).all()
        (damage,) = slide.damage(Box(0, 0, 64, 131), MPP)
        assert damage.box == Box(32, 48, 32, 48)
        assert re.search(message, damage.reason)


def test_tiles_without_a_place_in_the_file_are_glass_and_said(tmp_path):
    path = write_pyramid(tmp_path / "a.tif")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        page = tiff.pages.first
        offsets, counts = list(page.dataoffsets), list(page.databytecounts)
        offsets[4] = counts[4] = 0
        page.tags["TileOffsets"].overwrite(offsets)
        page.tags["TileByteCounts"].overwrite(counts)
    with open_slide(path) as slide:
        assert (slide.read(Box(32, 48, 32, 48), MPP) == 255).all()
        assert not slide.damage(Box.whole(slide.size), MPP)
        assert slide.origin.warnings == ("1 of 12 tiles are not in the file and are taken for glass that was not scanned",)


@pytest.mark.parametrize("tag", ["TileOffsets", "TileByteCounts"])
def test_a_tile_without_a_length_or_without_a_place_alone_is_damage(tmp_path, tag):
    path = write_pyramid(tmp_path / "a.tif")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        page = tiff.pages.first
        values = list(page.tags[tag].value)
        values[4] = 0
        page.tags[tag].overwrite(values)
    with open_slide(path) as slide:
        slide.read(Box.whole(slide.size), MPP)
        assert [damage.box for damage in slide.damage(Box.whole(slide.size), MPP)] == [Box(32, 48, 32, 48)]
