"""Which image of an OME-Zarr store is analysed, in the layouts that programs write."""

import json

import numpy as np
import pytest
import zarr
from zarr_slides import MPP, tissue, write, write_image, zipped

from counterstain.errors import UnsupportedSlideError
from counterstain.geometry import Box
from counterstain.slides.base import Resolution
from counterstain.slides.opening import full_size_series, open_slide

LABEL = (255, 0, 255)


def label(height=30, width=90):
    return np.full((height, width, 3), LABEL, np.uint8)


def series(folder, *images, names=None, listed=None, version="0.4"):
    """Write the layout of bioformats2raw of images, each with its options."""
    root = zarr.open_group(folder, mode="w", zarr_format=2 if version == "0.4" else 3)
    layout = {"bioformats2raw.layout": 3}
    root.attrs.update(layout if version == "0.4" else {"ome": {"version": version, **layout}})
    groups = listed or [str(number) for number in range(len(images))]
    for group, (image, options) in zip(groups, images, strict=True):
        write_image(root.create_group(group), version, image, axes="tczyx", steps=(1,), **options)
    if listed or names:
        about = root.create_group("OME")
        content = {"series": listed or groups}
        about.attrs.update(content if version == "0.4" else {"ome": content})
    if names:
        elements = "".join(
            f'<Image ID="Image:{number}" Name="{name}"><Pixels SizeX="{image.shape[1]}" SizeY="{image.shape[0]}"/></Image>'
            for number, (name, (image, _)) in enumerate(zip(names, images, strict=True))
        )
        text = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{elements}</OME>'
        (folder / "OME" / "METADATA.ome.xml").write_text(text)
    return folder


def check_is_tissue(path, **options):
    with open_slide(path, **options) as slide:
        assert slide.resolution == Resolution(pytest.approx(MPP), "metadata")
        np.testing.assert_array_equal(slide.read(Box.whole(slide.size), slide.resolution.mpp), tissue())
        return slide.origin


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("pack", [lambda path: path, zipped])
def test_the_slide_behind_its_macro_is_read_by_the_names_that_the_store_keeps(tmp_path, version, pack):
    images = [(label(90, 120), {}), (tissue(), {})]
    path = pack(series(tmp_path / "a.zarr", *images, names=["macro image", "20x"], version=version))
    origin = check_is_tissue(path)
    assert (origin.series, origin.name, origin.images) == (1, "20x", 2)
    assert origin.left_out == ('series 0 "macro image" (120 x 90 px)',)


def test_a_macro_that_states_coarse_pixels_is_passed_over_without_names(tmp_path):
    check_is_tissue(series(tmp_path / "a.zarr", (label(200, 300), {"scale": (8, 8)}), (tissue(), {})))


def test_a_small_image_without_pixel_size_or_name_is_passed_over_and_warned_of(tmp_path):
    origin = check_is_tissue(series(tmp_path / "a.zarr", (label(), {"unit": None}), (tissue(), {})))
    assert "only series 1" in origin.warnings[0]


def test_groups_are_read_in_the_order_that_the_store_lists(tmp_path):
    path = series(tmp_path / "a.zarr", (label(), {"unit": None}), (tissue(), {}), listed=["macro", "slide"])
    assert check_is_tissue(path).series == 1


def test_several_fields_are_refused_until_one_is_named(tmp_path):
    path = series(tmp_path / "a.zarr", (tissue()[::-1], {}), (tissue(), {}), names=["A", "B"])
    with pytest.raises(UnsupportedSlideError, match='2 images of full size: series 0 "A" '):
        open_slide(path)
    assert full_size_series(path) == [0, 1]
    assert check_is_tissue(path, series=1).name == "B"


def test_an_image_at_the_root_is_read_whatever_layout_is_stated_beside_it(tmp_path):
    path = write(tmp_path / "a.zarr", **{"bioformats2raw.layout": 3})
    assert json.loads((path / ".zattrs").read_text())["bioformats2raw.layout"] == 3
    check_is_tissue(path)


def test_colours_on_an_axis_called_s_at_the_end_are_read(tmp_path):
    def renamed(described):
        described["multiscales"][0]["axes"][2]["name"] = "s"
        return described

    check_is_tissue(write(tmp_path / "a.zarr", axes="yxc", changes=renamed))


def test_axes_that_are_names_alone_have_no_unit_so_that_the_pixel_size_is_asked_for(tmp_path):
    def plain(described):
        described["multiscales"][0]["axes"] = ["c", "y", "x"]
        return described

    with open_slide(write(tmp_path / "a.zarr", changes=plain), mpp=MPP) as slide:
        np.testing.assert_array_equal(slide.read(Box.whole(slide.size), MPP), tissue())


def test_a_slide_of_twelve_bits_is_scaled_by_its_white_and_says_so(tmp_path):
    bright = tissue().copy()
    bright[::4, ::4] = 255
    with open_slide(write(tmp_path / "a.zarr", image=np.uint16(np.rint(bright * (4095 / 255))), steps=(1,))) as slide:
        assert np.abs(slide.read(Box.whole(slide.size), MPP).astype(int) - bright).max() <= 1
        assert (slide.origin.white, len(slide.origin.warnings)) == (4095, 1)
