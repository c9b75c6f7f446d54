import numpy as np
import pytest
import tifffile
from PIL import Image

from counterstain.errors import UnreadableSlideError, UnsupportedSlideError
from counterstain.slides.opening import open_slide
from counterstain.slides.tiffs import flat as tiff_module
from counterstain.slides.tiffs.flat import headers_of_tiff

RGB = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
GREY = RGB[..., 0]


def decode_tiff(path):
    return tiff_module.decode_tiff(path).pixels


def sides_of_tiff(path):
    return headers_of_tiff(path, None)[0].stated.sides


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.tif"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tile": (16, 16)},
        {"compression": "zlib"},
        {"tile": (16, 16), "compression": "zlib", "predictor": True},
        {"bigtiff": True},
    ],
)
def test_flat_and_tiled_files_give_their_pixels(path, options):
    tifffile.imwrite(path, RGB, photometric="rgb", **options)
    np.testing.assert_array_equal(decode_tiff(path), RGB)


def test_planar_samples_are_interleaved(path):
    tifffile.imwrite(path, np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(decode_tiff(path), RGB)


@pytest.mark.parametrize("array", [GREY, GREY.astype(np.uint16) * 257])
def test_grey_becomes_rgb(path, array):
    tifffile.imwrite(path, array, photometric="minisblack")
    np.testing.assert_array_equal(decode_tiff(path), np.stack([GREY] * 3, -1))


def test_white_as_zero_is_inverted(path):
    tifffile.imwrite(path, 255 - GREY, photometric="miniswhite")
    np.testing.assert_array_equal(decode_tiff(path), np.stack([GREY] * 3, -1))


def test_sixteen_bit_rgb_is_scaled_by_the_range_of_its_type(path):
    tifffile.imwrite(path, RGB.astype(np.uint16) * 257, photometric="rgb")
    np.testing.assert_array_equal(decode_tiff(path), RGB)


def test_one_bit_is_black_and_white(path):
    tifffile.imwrite(path, GREY > 127, photometric="minisblack")
    np.testing.assert_array_equal(decode_tiff(path)[..., 0], np.where(GREY > 127, 255, 0))


def test_a_palette_is_looked_up(path):
    image = Image.fromarray(RGB).quantize(16)
    image.save(path)
    np.testing.assert_array_equal(decode_tiff(path), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
def test_a_palette_that_is_not_there_is_damage(path, photometric):
    tifffile.imwrite(path, RGB if photometric == "rgb" else GREY, photometric=photometric)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["PhotometricInterpretation"].overwrite(3)
    with pytest.raises(UnreadableSlideError, match="palette that it does not hold"):
        decode_tiff(path)


def test_transparent_pixels_are_white(path):
    rgba = np.dstack([RGB, np.where(GREY > 127, 255, 0).astype(np.uint8)])
    tifffile.imwrite(path, rgba, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(decode_tiff(path), np.where(rgba[..., 3:] > 0, RGB, 255))


def test_colours_multiplied_with_alpha_show_the_white_ground(path):
    premultiplied = np.full((8, 8, 4), (60, 0, 100, 100), np.uint8)
    tifffile.imwrite(path, premultiplied, photometric="rgb", extrasamples=["assocalpha"])
    assert (decode_tiff(path) == (215, 155, 255)).all()


def test_an_extra_sample_of_no_meaning_is_dropped(path):
    tifffile.imwrite(path, np.dstack([RGB, GREY]), photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(decode_tiff(path), RGB)


def test_more_samples_than_alpha_are_refused(path):
    tifffile.imwrite(path, np.dstack([RGB, GREY, GREY]), photometric="rgb", extrasamples=["unassalpha", "unspecified"])
    with pytest.raises(UnsupportedSlideError, match="5 samples"):
        decode_tiff(path)


def test_a_pyramid_gives_its_first_level(path):
    with tifffile.TiffWriter(path) as writer:
        writer.write(RGB, photometric="rgb", subifds=1, tile=(16, 16))
        writer.write(RGB[::2, ::2], photometric="rgb", subfiletype=1, tile=(16, 16))
    np.testing.assert_array_equal(decode_tiff(path), RGB)


@pytest.mark.parametrize("compression", ["lzw", "jpeg"])
def test_compression_of_the_slides_extra_is_decoded(path, compression):
    pytest.importorskip("imagecodecs")
    smooth = np.full((32, 32, 3), (90, 120, 200), np.uint8)
    tifffile.imwrite(path, smooth, photometric="rgb", compression=compression)
    assert np.abs(decode_tiff(path).astype(int) - smooth).max() < 8


@pytest.mark.parametrize(("photometric", "samples", "message"), [("separated", 4, "CMYK"), ("ycbcr", 3, "YCbCr")])
def test_other_colour_models_are_refused(path, photometric, samples, message):
    tifffile.imwrite(path, np.zeros((32, 32, samples), np.uint8), photometric=photometric)
    with pytest.raises(UnsupportedSlideError, match=message):
        decode_tiff(path)


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint32])
def test_pixels_without_a_range_are_refused(path, dtype):
    tifffile.imwrite(path, GREY.astype(dtype), photometric="minisblack")
    with pytest.raises(UnsupportedSlideError, match=np.dtype(dtype).name):
        decode_tiff(path)


@pytest.mark.parametrize("axes", ["ZYX", "CYX", "TYX"])
def test_a_stack_is_refused(tmp_path, axes):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((4, 20, 30), np.uint8), ome=True, metadata={"axes": axes}, photometric="minisblack")
    with pytest.raises(UnsupportedSlideError, match="stack"):
        decode_tiff(path)


def test_several_pages_are_refused(path):
    tifffile.imwrite(path, np.zeros((3, 20, 30, 3), np.uint8), photometric="rgb")
    with pytest.raises(UnsupportedSlideError, match="holds 3 images of full size"):
        decode_tiff(path)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.9])
def test_a_truncated_file_is_unreadable(path, options, part):
    tifffile.imwrite(path, RGB, photometric="rgb", **options)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(UnreadableSlideError, match=r"a\.tif"):
        open_slide(path)


def test_damaged_pixels_are_unreadable(path):
    tifffile.imwrite(path, RGB, photometric="rgb", compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages[0].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(UnreadableSlideError, match="damaged"):
        decode_tiff(path)


@pytest.mark.parametrize("image", [GREY, RGB, np.dstack([RGB, np.full(GREY.shape, 4096, np.uint16)])])
def test_twelve_bit_values_in_sixteen_bits_are_refused(path, image):
    options = {"photometric": "rgb", "extrasamples": ["unassalpha"][: image.shape[2] - 3]} if image.ndim == 3 else {}
    tifffile.imwrite(path, image.astype(np.uint16) * 12, **options)
    with pytest.raises(UnsupportedSlideError, match="12-bit camera"):
        decode_tiff(path)


def test_sixteen_bit_pixels_whose_white_is_zero_may_be_low(path):
    tifffile.imwrite(path, GREY.astype(np.uint16), photometric="miniswhite")
    assert decode_tiff(path).min() >= 254


def test_more_pixels_than_fit_in_memory_are_refused(path, monkeypatch):
    tifffile.imwrite(path, RGB, photometric="rgb")
    monkeypatch.setattr("counterstain.slides.raster.MAX_RASTER_PIXELS", 1000)
    with pytest.raises(UnreadableSlideError, match="40 x 56 pixels"):
        decode_tiff(path)


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        (0.2271, "µm", 0.2271),
        (227.1, "nm", 0.2271),
        (0.00025, "mm", 0.25),
        (2.5e-5, "cm", 0.25),
        (0.5, None, 0.5),
        (3.0, "pixel", None),
    ],
)
def test_ome_pixel_sizes_are_read_in_any_unit(tmp_path, size, unit, expected):
    metadata = {"PhysicalSizeX": size, "PhysicalSizeY": size}
    if unit:
        metadata |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(tmp_path / "a.ome.tif", RGB, ome=True, metadata=metadata, photometric="rgb")
    assert sides_of_tiff(tmp_path / "a.ome.tif") == (pytest.approx((expected, expected)) if expected else None)


def test_imagej_micrometres_are_read(path):
    tifffile.imwrite(path, GREY, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    assert sides_of_tiff(path) == pytest.approx((0.25, 0.25))


@pytest.mark.parametrize(("unit", "pixels_per_unit", "expected"), [("CENTIMETER", 40_000, 0.25), ("INCH", 50_800, 0.5)])
def test_resolution_tags_are_read(path, unit, pixels_per_unit, expected):
    tifffile.imwrite(path, RGB, photometric="rgb", resolution=(pixels_per_unit,) * 2, resolutionunit=unit)
    assert sides_of_tiff(path) == pytest.approx((expected, expected))


@pytest.mark.parametrize("dpi", [72, 96, 300, 600, 1, 10_000_000])
def test_the_resolution_of_a_screen_or_printer_is_not_believed(path, dpi):
    tifffile.imwrite(path, RGB, photometric="rgb", resolution=(dpi, dpi), resolutionunit="INCH")
    assert sides_of_tiff(path) is None


def test_a_file_without_a_unit_states_no_pixel_size(path):
    tifffile.imwrite(path, RGB, photometric="rgb", resolution=(40_000, 40_000), resolutionunit="NONE")
    assert sides_of_tiff(path) is None


def test_pixels_that_are_not_square_have_two_sides(path):
    tifffile.imwrite(path, RGB, photometric="rgb", resolution=(40_000, 20_000), resolutionunit="CENTIMETER")
    assert sides_of_tiff(path) == pytest.approx((0.5, 0.25))


def test_sides_that_differ_by_rounding_alone_are_one(path):
    tifffile.imwrite(path, RGB, photometric="rgb", resolution=(40_000, 40_030), resolutionunit="CENTIMETER")
    down, across = sides_of_tiff(path)
    assert down == across == pytest.approx(0.25, rel=1e-3)


def test_pixels_far_from_square_are_refused(path):
    tifffile.imwrite(path, RGB, photometric="rgb", resolution=(40_000, 4_000), resolutionunit="CENTIMETER")
    with pytest.raises(UnsupportedSlideError, match=r"2\.5 x 0\.25 um, which no scanner makes"):
        open_slide(path)


def test_damaged_ome_metadata_state_nothing(path):
    tifffile.imwrite(path, RGB, photometric="rgb", description='<?xml version="1.0"?><OME><Image/></OME>')
    assert sides_of_tiff(path) is None


def test_every_refused_photometric_is_a_tiff_tag():
    assert all(tifffile.PHOTOMETRIC(number) for number in tiff_module._PHOTOMETRIC_MEANING)
