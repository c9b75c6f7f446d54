"""Strips and tiles that are decoded without imagecodecs are those of imagecodecs."""

import functools

import numpy as np
import pytest
import tifffile
from conformance.slide import SlideConformance

from counterstain.errors import UnreadableSlideError, UnsupportedSlideError
from counterstain.geometry import Box
from counterstain.slides.opening import open_slide
from counterstain.slides.tiffs.flat import decode_tiff
from counterstain.slides.tiffs.tiled import TiledTiffSlide

MPP = 0.25
NEEDED = (5, 7, 34712, 50000)
"""Compressions for which tifffile needs imagecodecs."""


def tissue(height=101, width=131):
    rows, cols = np.mgrid[:height, :width]
    return np.uint8(np.stack([rows + 100, cols + 60, 180 + 40 * np.sin(rows / 9)], axis=-1))


@pytest.fixture
def without_imagecodecs(monkeypatch):
    """Let tifffile decode as where imagecodecs is not installed."""
    decode = tifffile.TiffPage.decode.func

    def decode_some(page):
        return missing if page.compression in NEEDED else decode(page)

    def missing(*_args, **_options):
        raise ValueError("<COMPRESSION.X: 1> requires the 'imagecodecs' package")

    patched = functools.cached_property(decode_some)
    patched.__set_name__(tifffile.TiffPage, "decode")
    monkeypatch.setattr(tifffile.TiffPage, "decode", patched)


KINDS = {
    "rgb": (tissue(), {"photometric": "rgb"}),
    "grey": (tissue()[..., 0], {"photometric": "minisblack"}),
    "planes": (np.moveaxis(tissue(), -1, 0), {"photometric": "rgb", "planarconfig": "separate"}),
    "16 bits": (tissue().astype(np.uint16) * 257, {"photometric": "rgb"}),
    "differences": (tissue(), {"photometric": "rgb", "predictor": True}),
    "YCbCr": (tissue(), {"photometric": "rgb", "subsampling": (1, 1)}),
    "YCbCr at half": (tissue(), {"photometric": "rgb", "subsampling": (2, 2)}),
    "plain colours": (tissue(), {"photometric": "rgb", "compressionargs": {"outcolorspace": "rgb"}}),
}
WRITABLE = [
    *(("jpeg", kind) for kind in ("grey", "planes", "YCbCr", "YCbCr at half", "plain colours")),
    *((packed, kind) for packed in ("lzw", "zstd") for kind in ("rgb", "grey", "planes", "16 bits", "differences")),
    *(("jpeg2000", kind) for kind in ("rgb", "grey", "planes")),
    *((packed, kind) for packed in ("zlib", "packbits") for kind in ("rgb", "16 bits")),
]


@pytest.mark.parametrize(("packed", "kind"), WRITABLE)
@pytest.mark.parametrize("pieces", [{"tile": (32, 48)}, {"rowsperstrip": 32}])
def test_pixels_are_those_of_imagecodecs(tmp_path, request, packed, kind, pieces):
    image, options = KINDS[kind]
    tifffile.imwrite(tmp_path / "a.tif", image, compression=packed, **options, **pieces)
    expected = decode_tiff(tmp_path / "a.tif").pixels
    request.getfixturevalue("without_imagecodecs")
    found = decode_tiff(tmp_path / "a.tif").pixels
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert np.abs(found.astype(int) - (tissue() if image.ndim == 3 else tissue()[..., :1])).mean() < 4


class TestJpegPyramidWithoutImagecodecs(SlideConformance):
    @pytest.fixture
    def slide(self, tmp_path, without_imagecodecs, written):
        with open_slide(written) as slide:
            assert isinstance(slide, TiledTiffSlide)
            yield slide

    @pytest.fixture
    def written(self, tmp_path):
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            for step in (1, 2):
                options = {"resolution": (1e4 / MPP / step,) * 2, "resolutionunit": "CENTIMETER", "metadata": None}
                options |= {"subfiletype": int(step > 1), "tile": (32, 48), "photometric": "rgb", "compression": "jpeg"}
                writer.write(tissue()[::step, ::step], **options)
        return tmp_path / "a.tif"


def write_jpeg(path):
    tifffile.imwrite(path, tissue(), tile=(64, 64), photometric="rgb", compression="jpeg", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        return tiff.pages.first.dataoffsets[0], tiff.pages.first.databytecounts[0]


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 3], lambda content: b"\xff" * len(content)])
def test_a_damaged_jpeg_stream_is_named_and_its_pixels_are_white(tmp_path, without_imagecodecs, damage):
    start, count = write_jpeg(tmp_path / "a.tif")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[start : start + count] = damage(bytes(content[start : start + count])).ljust(count, b"\0")
    (tmp_path / "a.tif").write_bytes(content)
    decoded = decode_tiff(tmp_path / "a.tif")
    assert [damage.box for damage in decoded.damaged] == [Box(0, 0, 64, 64)]
    assert (decoded.pixels[:64, :64] == 255).all()
    assert (decoded.pixels[:64, 64:] < 255).any()


def test_a_stream_larger_than_its_tile_is_an_error(tmp_path, without_imagecodecs):
    write_jpeg(tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
        tiff.pages.first.tags["TileWidth"].overwrite(48)
    with pytest.raises(UnreadableSlideError, match="holds 64 x 64"):
        decode_tiff(tmp_path / "a.tif")


@pytest.mark.parametrize("options", [{"compression": "jpeg2000"}, {"compression": "jpeg"}])
def test_what_pillow_cannot_decode_either_names_the_command_that_installs_the_codecs(tmp_path, without_imagecodecs, options):
    image = tissue().astype(np.uint16) * (257 if options["compression"] == "jpeg2000" else 16)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", **options)
    with pytest.raises(UnsupportedSlideError, match=r'needs imagecodecs; run: .* -m pip install "counterstain\[slides\]"'):
        open_slide(tmp_path / "a.tif").read(Box(0, 0, 1, 1), MPP)
