import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from counterstain.errors import UnreadableSlideError, UnsupportedSlideError
from counterstain.slides import raster

RGB = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def decode_raster(path):
    return raster.decode_raster(path).pixels


def _saved(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm"])
def test_lossless_formats_give_their_pixels(tmp_path, suffix):
    np.testing.assert_array_equal(decode_raster(_saved(tmp_path / f"a.{suffix}", RGB)), RGB)


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_formats_give_nearly_their_pixels(tmp_path, suffix):
    smooth = np.full((32, 32, 3), (90, 120, 200), np.uint8)
    assert np.abs(decode_raster(_saved(tmp_path / f"a.{suffix}", smooth)).astype(int) - smooth).max() < 8


def test_grey_becomes_rgb(tmp_path):
    np.testing.assert_array_equal(decode_raster(_saved(tmp_path / "a.png", GREY)), np.stack([GREY] * 3, -1))


def test_sixteen_bit_grey_is_scaled_by_the_range_of_its_type(tmp_path):
    path = _saved(tmp_path / "a.png", GREY.astype(np.uint16) * 257)
    np.testing.assert_array_equal(decode_raster(path), np.stack([GREY] * 3, -1))


def test_grey_of_a_dark_image_in_sixteen_bits_is_refused(tmp_path):
    path = _saved(tmp_path / "a.png", GREY.astype(np.uint16) * 10)
    with pytest.raises(UnsupportedSlideError, match=f"values end at {10 * int(GREY.max())} .12-bit camera.*scale it to 8 bit"):
        decode_raster(path)


def test_grey_that_ends_at_the_white_of_a_camera_is_scaled_by_it(tmp_path):
    decoded = raster.decode_raster(_saved(tmp_path / "a.png", GREY.astype(np.uint16) * 16))
    assert np.abs(decoded.pixels[..., 0].astype(int) - GREY).max() <= 1
    assert "4,095 (12 bits) is taken" in decoded.white.warning


def test_twelve_bit_rgb_in_sixteen_bits_is_refused(tmp_path):
    _write_png(tmp_path / "a.png", depth=16, colour=2, rows=(RGB.astype(np.uint16) * 16).astype(">u2"), header=RGB.shape[:2])
    with pytest.raises(UnsupportedSlideError, match="12-bit camera"):
        decode_raster(tmp_path / "a.png")


def test_sixteen_bit_black_is_black_and_half_of_the_range_is_enough(tmp_path):
    assert decode_raster(_saved(tmp_path / "a.png", np.zeros((4, 4), np.uint16))).max() == 0
    assert decode_raster(_saved(tmp_path / "b.png", np.full((4, 4), 2**15, np.uint16))).max() == 128


def test_sixteen_bit_rgb_is_scaled_by_the_range_of_its_type(tmp_path):
    path = tmp_path / "a.png"
    _write_png(path, depth=16, colour=2, rows=(RGB.astype(">u2") * 257), header=RGB.shape[:2])
    np.testing.assert_array_equal(decode_raster(path), RGB)


def test_one_bit_becomes_black_and_white(tmp_path):
    Image.fromarray(GREY > 127).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode_raster(tmp_path / "a.png")[..., 0], np.where(GREY > 127, 255, 0))


def test_a_palette_is_looked_up(tmp_path):
    image = Image.fromarray(RGB).quantize(16)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode_raster(tmp_path / "a.png"), np.asarray(image.convert("RGB")))


def test_transparent_pixels_are_white(tmp_path):
    rgba = np.dstack([RGB, np.where(GREY > 127, 255, 0).astype(np.uint8)])
    np.testing.assert_array_equal(decode_raster(_saved(tmp_path / "a.png", rgba)), np.where(rgba[..., 3:] > 0, RGB, 255))


def test_a_transparent_palette_entry_is_white(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), mode=None).convert("P")
    image.putpalette([200, 10, 10, 10, 200, 10])
    image.save(tmp_path / "a.png", transparency=1)
    np.testing.assert_array_equal(decode_raster(tmp_path / "a.png"), [[[200, 10, 10], [255, 255, 255]]])


def test_the_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    path = _saved(tmp_path / "a.png", RGB, exif=exif)
    np.testing.assert_array_equal(decode_raster(path), np.rot90(RGB, -1))


def test_cmyk_is_refused_with_the_command_that_converts_it(tmp_path):
    Image.new("CMYK", (8, 8)).save(tmp_path / "a.jpg")
    with pytest.raises(UnsupportedSlideError, match=r"a\.jpg is a CMYK image.*magick a\.jpg -colorspace sRGB"):
        decode_raster(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_an_animation_is_refused(tmp_path, suffix):
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedSlideError, match="animated"):
        decode_raster(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "gif"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_unreadable(tmp_path, suffix, part):
    large = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = _saved(tmp_path / f"a.{suffix}", large)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(UnreadableSlideError, match=rf"a\.{suffix}"):
        decode_raster(path)


def test_text_is_not_an_image(tmp_path):
    (tmp_path / "a.png").write_text("this is not an image, whatever its name says")
    with pytest.raises(UnreadableSlideError, match="not an image"):
        decode_raster(tmp_path / "a.png")


def test_a_decompression_bomb_is_refused_from_its_header(tmp_path):
    _write_png(tmp_path / "a.png", depth=8, colour=0, rows=np.zeros((9, 9), np.uint8), header=(16_000, 16_000))
    with pytest.raises(UnreadableSlideError, match=r"16000 x 16000.*250,000,000"):
        decode_raster(tmp_path / "a.png")


def test_pillow_keeps_its_own_limit(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    decode_raster(_saved(tmp_path / "a.png", RGB))
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_large_image_below_the_limit_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)  # Pillow alone would refuse 108 pixels
    np.testing.assert_array_equal(decode_raster(_saved(tmp_path / "a.png", RGB)), RGB)


def _write_png(path, *, depth, colour, rows, header):
    """Write what Pillow does not: 16-bit RGB, and headers that lie."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = header
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    ihdr = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
