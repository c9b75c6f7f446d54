"""Compressed images that are not whole, though a decoder makes pixels of them."""

import io
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from counterstain.errors import UnreadableSlideError
from counterstain.geometry import Box, Size
from counterstain.slides.checks.streams import claimed_size
from counterstain.slides.opening import open_slide

MPP = 0.25
rows, cols = np.mgrid[:128, :192]
RGB = np.uint8(np.stack([rows + 100, cols + 60, 180 + 40 * np.sin(rows / 9)], axis=-1))


def jpeg(image=RGB, **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def png(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)
    return path


def test_a_png_that_was_changed_is_refused_though_it_decodes(tmp_path):
    path = png(tmp_path)
    content = path.read_bytes()
    start = content.index(b"IDAT") + 4
    length = int.from_bytes(content[start - 8 : start - 4], "big")
    pixels = bytearray(zlib.decompress(content[start : start + length]))
    pixels[5000:5600] = bytes(600)
    packed = zlib.compress(bytes(pixels))
    packed += bytes(max(0, length - len(packed)))
    path.write_bytes(content[:start] + packed[:length] + content[start + length :])
    with pytest.raises(UnreadableSlideError, match=r"checksum of the chunk b'IDAT' at byte \d+ differs"):
        open_slide(path)


@pytest.mark.parametrize("length", [-4, -13, -40, 60])
def test_a_png_that_was_cut_is_refused(tmp_path, length):
    path = png(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UnreadableSlideError, match=r"ends (before its last|within the) chunk"):
        open_slide(path)


def test_a_png_with_bytes_behind_its_end_is_read(tmp_path):
    path = png(tmp_path)
    path.write_bytes(path.read_bytes() + b"more")
    assert open_slide(path).size == Size(128, 192)


def test_a_flat_jpeg_whose_data_end_early_is_refused(tmp_path):
    content = jpeg()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2] + b"\xff\xd9")
    with pytest.raises(UnreadableSlideError, match="its last part holds no picture"):
        open_slide(tmp_path / "a.jpg")


def with_tile(path, content, number=4):
    """Write a JPEG pyramid, one tile of which holds a stream; the tile is (64, 64)."""
    image = np.tile(RGB, (2, 2, 1))[:256, :320]
    options = {"tile": (64, 64), "photometric": "ycbcr", "compression": "jpeg", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        for step in (1, 2):
            writer.write(image[::step, ::step], resolution=(4e4 / step,) * 2, resolutionunit="CENTIMETER", **options)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        start, count = page.dataoffsets[number], page.databytecounts[number]
        tables = page.jpegtables
    whole = bytearray(path.read_bytes())
    made = content(bytes(whole[start : start + count]), tables)
    assert len(made) <= count
    whole[start : start + count] = made + bytes(count - len(made))
    path.write_bytes(whole)
    return path


def claiming(stream, height, width):
    """Return a stream whose frame says another size."""
    at = next(place for kind in (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2") if (place := stream.find(kind)) >= 0)
    return stream[: at + 5] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + stream[at + 9 :]


DAMAGES = {
    "cut": (lambda stream, _: stream[: len(stream) // 2], "ends early"),
    "zeros": (lambda stream, _: bytes(len(stream)), "starts with the bytes 00 00"),
    "cut and ended": (lambda stream, _: stream[: len(stream) * 4 // 5] + b"\xff\xd9", "holds no picture"),
    "claims 12 GB": (lambda stream, _: claiming(stream, 65_500, 65_500), "holds 65500 x 65500"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("flat", [False, True])
def test_a_jpeg_tile_that_is_not_whole_is_damage_in_flat_files_and_in_pyramids(tmp_path, monkeypatch, damage, flat):
    change, message = DAMAGES[damage]
    if flat:
        monkeypatch.setattr("counterstain.slides.tiffs.tiled.reads_in_pieces", lambda image: False)
    with open_slide(with_tile(tmp_path / "a.tif", change), mpp=MPP) as slide:
        pixels = slide.read(Box.whole(slide.size), MPP)
        (found,) = slide.damage(Box.whole(slide.size), MPP)
    assert found.box == Box(0, 256, 64, 64)
    assert message in found.reason
    assert (pixels[:64, 256:] == 255).all()
    assert not (pixels[64:] == 255).all(axis=2).any()


def test_a_strip_that_is_damaged_is_white_and_named_in_a_flat_file(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", compression="zlib", rowsperstrip=16)
    with tifffile.TiffFile(path) as tiff:
        start, count = tiff.pages.first.dataoffsets[3], tiff.pages.first.databytecounts[3]
    content = bytearray(path.read_bytes())
    content[start : start + count] = b"\xff" * count
    path.write_bytes(content)
    with open_slide(path, mpp=MPP) as slide:
        (found,) = slide.damage(Box.whole(slide.size), MPP)
        assert found.box == Box(48, 0, 16, 192)
        assert "cannot decode strip 3 of" in found.reason
        assert (slide.read(found.box, MPP) == 255).all()
        np.testing.assert_array_equal(slide.read(Box(0, 0, 48, 192), MPP), RGB[:48])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_damage_lies_where_the_image_is_shown_not_where_it_is_stored(tmp_path, orientation):
    path = tmp_path / "a.tif"
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(path, RGB, photometric="rgb", compression="zlib", tile=(32, 32), extratags=tags, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        start, count = tiff.pages.first.dataoffsets[7], tiff.pages.first.databytecounts[7]
    content = bytearray(path.read_bytes())
    content[start : start + count] = bytes(count)
    path.write_bytes(content)
    with open_slide(path, mpp=MPP) as slide:
        pixels = slide.read(Box.whole(slide.size), MPP)
        (found,) = slide.damage(Box.whole(slide.size), MPP)
    white = (pixels == 255).all(axis=2)
    assert white[found.box.slices].all()
    assert white.sum() == found.box.size.area == 32 * 32


def test_the_size_of_a_stream_is_that_of_its_frame():
    assert claimed_size(jpeg()) == claimed_size(jpeg(progressive=True)) == Size(128, 192)
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "JPEG2000")
    assert claimed_size(buffer.getvalue()) == Size(128, 192)
    assert claimed_size(b"") is claimed_size(b"\xff\xd8\xff") is claimed_size(b"not a picture") is None
