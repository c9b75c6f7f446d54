"""What the headers of a TIFF file claim is compared with the file before any decoder sees it."""

import numpy as np
import pytest
import tifffile

from counterstain.errors import UnreadableSlideError
from counterstain.slides.checks.tiff_headers import check_tiff_headers
from counterstain.slides.opening import open_slide

RGB = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.tif"


def write(path, *, bigtiff=False, byteorder="<", levels=1, **options):
    """Write an image as a tiled TIFF, its smaller levels in sub-directories."""
    options = {"tile": (16, 32), "photometric": "rgb", "compression": "zlib", "metadata": None, **options}
    with tifffile.TiffWriter(path, bigtiff=bigtiff, byteorder=byteorder) as writer:
        writer.write(RGB, subifds=levels - 1, **options)
        for level in range(1, levels):
            writer.write(RGB[:: 2**level, :: 2**level], subfiletype=1, **options)
    return path


def overwrite(path, tag, value, *, page=0, level=0):
    """Write another value for a tag that is there, as damage does."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        found = tiff.pages[page] if level == 0 else tiff.pages[page].pages[level - 1]
        found.tags[tag].overwrite(value)


def set_count(path, tag, count):
    """Let a tag say that it has another number of values."""
    with tifffile.TiffFile(path) as tiff:
        entry, order, is_big = tiff.pages[0].tags[tag].offset, tiff.byteorder, tiff.is_bigtiff
    content = bytearray(path.read_bytes())
    number = np.array(count, f"{order}u{8 if is_big else 4}").tobytes()
    content[entry + 4 : entry + 4 + len(number)] = number
    path.write_bytes(content)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"tile": None}, {"tile": None, "rowsperstrip": 7}, {"planarconfig": "separate"}])
def test_files_that_say_the_truth_pass(path, bigtiff, byteorder, options):
    image = np.moveaxis(RGB, -1, 0) if "planarconfig" in options else RGB
    tifffile.imwrite(path, image, bigtiff=bigtiff, byteorder=byteorder, photometric="rgb", **{"tile": (16, 32), **options})
    check_tiff_headers(path)


def test_a_pyramid_in_sub_directories_passes(path):
    check_tiff_headers(write(path, levels=3))


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize(
    ("tag", "value", "message"),
    [
        ("TileWidth", 40_000, "makes 4 tiles, but lists the places of 12"),
        ("TileWidth", 0, "16 x 0 px"),
        ("TileLength", 0, "0 x 32 px"),
        ("ImageWidth", 0, "64 x 0 px"),
        ("ImageWidth", 1_000, "makes 128 tiles, but lists the places of 12"),
        ("ImageLength", 32, "makes 6 tiles, but lists the places of 12"),
        ("ImageWidth", 2**31, "64 x 2,147,483,648 px"),
    ],
)
def test_a_size_that_does_not_fit_the_file_is_refused(path, bigtiff, byteorder, tag, value, message):
    write(path, bigtiff=bigtiff, byteorder=byteorder)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags[tag].overwrite(value, dtype="I")
    with pytest.raises(UnreadableSlideError, match=message):
        check_tiff_headers(path)


def test_a_size_that_does_not_fit_in_a_sub_directory_is_refused(path):
    write(path, levels=2)
    overwrite(path, "TileWidth", 16, level=1)
    with pytest.raises(UnreadableSlideError, match=r"image 1 of .* makes 6 tiles"):
        check_tiff_headers(path)


@pytest.mark.parametrize("tag", ["TileOffsets", "TileByteCounts"])
@pytest.mark.parametrize("count", [0, 1, 11])
def test_fewer_tiles_than_the_image_has_are_refused(path, tag, count):
    write(path)
    set_count(path, tag, count)
    with pytest.raises(UnreadableSlideError, match=f"makes 12 tiles, but lists the (places|lengths) of {count};"):
        open_slide(path)


@pytest.mark.parametrize("tag", ["ImageWidth", "ImageLength", "TileLength", "TileWidth", "Compression", "SamplesPerPixel"])
def test_a_tag_that_should_hold_one_number_and_holds_two_is_refused(path, tag):
    write(path)
    set_count(path, tag, 2)
    with pytest.raises(UnreadableSlideError, match="more or less than one number for its tag"):
        open_slide(path)


def test_fewer_strips_than_the_image_has_are_refused(path):
    tifffile.imwrite(path, RGB, photometric="rgb", rowsperstrip=8)
    set_count(path, "StripOffsets", 4)
    with pytest.raises(UnreadableSlideError, match="makes 8 strips, but lists the places of 4"):
        open_slide(path)


def test_a_tile_that_would_take_gigabytes_is_refused_before_it_is_decoded(path):
    write(path, tile=(64, 96))
    for tag in ("TileWidth", "TileLength"):
        with tifffile.TiffFile(path, mode="r+") as tiff:
            tiff.pages[0].tags[tag].overwrite(40_000, dtype="I")
    with pytest.raises(UnreadableSlideError, match="40,000 x 40,000 px in 3 channels, 4,800,000,000 bytes"):
        open_slide(path)


def test_a_strip_that_would_take_gigabytes_is_refused_before_it_is_decoded(path):
    tifffile.imwrite(path, RGB, photometric="rgb", compression="zlib", rowsperstrip=64)
    for tag, value in (("ImageLength", 60_000), ("ImageWidth", 60_000), ("RowsPerStrip", 60_000)):
        with tifffile.TiffFile(path, mode="r+") as tiff:
            tiff.pages[0].tags[tag].overwrite(value, dtype="I")
    with pytest.raises(UnreadableSlideError, match="decoded at once"):
        open_slide(path)


def test_tables_and_values_outside_the_file_are_refused(path):
    content = write(path).read_bytes()
    path.write_bytes(content[:4] + b"\xff\xff\xff\x7f" + content[8:])
    with pytest.raises(UnreadableSlideError, match="the table at byte 2,147,483,647"):
        check_tiff_headers(path)
    path.write_bytes(content)
    set_count(path, "XResolution", 2**31)
    with pytest.raises(UnreadableSlideError, match="the value of tag 282"):
        check_tiff_headers(path)


def test_directories_that_follow_one_another_in_a_circle_are_read_once(path):
    write(path)
    with tifffile.TiffFile(path) as tiff:
        start, count = tiff.pages[0].offset, len(tiff.pages[0].tags)
    content = bytearray(path.read_bytes())
    content[start + 2 + 12 * count : start + 6 + 12 * count] = start.to_bytes(4, "little")
    path.write_bytes(content)
    check_tiff_headers(path)


def test_a_file_that_ends_within_its_last_tile_is_truncated(path):
    content = write(path, compression=None).read_bytes()
    path.write_bytes(content[:-10])
    with pytest.raises(UnreadableSlideError, match="truncated"):
        check_tiff_headers(path)


def test_one_tile_that_lies_elsewhere_does_not_say_that_the_file_is_truncated(path):
    write(path)
    with tifffile.TiffFile(path) as tiff:
        offsets = list(tiff.pages[0].dataoffsets)
    overwrite(path, "TileOffsets", [*offsets[:5], 2**30, *offsets[6:]])
    check_tiff_headers(path)
