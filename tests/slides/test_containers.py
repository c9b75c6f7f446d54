"""Which image of a file with several is analysed."""

import numpy as np
import pytest
import tifffile

from counterstain.errors import MissingResolutionError, UnsupportedSlideError
from counterstain.geometry import Box, Size
from counterstain.slides.base import Resolution
from counterstain.slides.choosing import Candidate, choose, is_associated, of_full_size
from counterstain.slides.opening import full_size_series, open_slide

MPP = 0.25
LABEL = (255, 0, 255)


def tissue(height=96, width=128):
    rows, cols = np.mgrid[:height, :width]
    return np.uint8(np.stack([rows + 100, cols + 60, 180 + 40 * np.sin(rows / 9)], axis=-1))


def label(height=20, width=60):
    return np.full((height, width, 3), LABEL, np.uint8)


def per_cm(mpp):
    return {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}


def write_pages(path, *pages):
    """Write pages, each an image and the options of its own."""
    with tifffile.TiffWriter(path) as writer:
        for image, options in pages:
            writer.write(image, photometric="rgb", metadata=None, **options)
    return path


def pyramid(image=None, mpp=MPP):
    image = tissue() if image is None else image
    tile = {"tile": (32, 32)}
    return [(image[::step, ::step], {**tile, **per_cm(mpp * step), "subfiletype": int(step > 1)}) for step in (1, 2)]


def write_ome(path, *images):
    """Write an OME-TIFF of images, each with its name and pixel size."""
    with tifffile.TiffWriter(path, ome=True) as writer:
        for image, name, mpp in images:
            sides = {} if mpp is None else {f"PhysicalSize{axis}": mpp for axis in "XY"}
            writer.write(image, photometric="rgb", metadata={"axes": "YXS", "Name": name, **sides})
    return path


def shown(slide):
    return slide.read(Box.whole(slide.size), slide.resolution.mpp)


def check_is_tissue(path, **options):
    with open_slide(path, **options) as slide:
        assert slide.resolution == Resolution(pytest.approx(MPP), "metadata")
        np.testing.assert_array_equal(shown(slide), tissue())
        return slide


def test_the_pyramid_behind_an_overview_is_analysed_and_the_overview_is_said_to_be_left_out(tmp_path):
    slide = check_is_tissue(write_pages(tmp_path / "a.tif", (label(), {}), *pyramid()))
    assert (slide.origin.series, slide.origin.images, slide.origin.left_out) == (1, 2, ("series 0 (60 x 20 px)",))
    assert "only series 1 (128 x 96 px) of the file was analysed" in slide.origin.warnings[0]


def test_an_overview_that_states_coarse_pixels_is_none_even_where_it_is_larger(tmp_path):
    path = write_pages(tmp_path / "a.tif", (label(200, 300), per_cm(8)), (tissue(), per_cm(MPP)))
    assert check_is_tissue(path).origin.warnings == ()


@pytest.mark.parametrize("kind", [1, 9])
def test_an_image_that_is_marked_as_a_smaller_copy_is_passed_over(tmp_path, kind):
    check_is_tissue(write_pages(tmp_path / "a.tif", (label(90, 120), {"subfiletype": kind}), (tissue(), per_cm(MPP))))


@pytest.mark.parametrize("text", ["Label", "macro image", "Thumbnail", "scan_overview", "Library v1\nmacro 60x40", "preview 1"])
def test_an_image_whose_page_says_that_it_is_no_slide_is_passed_over(tmp_path, text):
    path = write_pages(tmp_path / "a.tif", (label(90, 120), {"description": text, **per_cm(MPP)}), (tissue(), per_cm(MPP)))
    check_is_tissue(path)


@pytest.mark.parametrize("mark", [0, 1])
def test_a_thumbnail_whose_sub_image_is_the_slide_is_passed_over(tmp_path, mark):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        options = {"photometric": "rgb", "metadata": None}
        writer.write(label(48, 64), subifds=1, subfiletype=mark, **options)
        writer.write(tissue(), **options, **per_cm(MPP))
    assert check_is_tissue(tmp_path / "a.tif").origin.series == 1


@pytest.mark.parametrize("name", ["macro image", "Label", "thumbnail", "Overview"])
def test_an_ome_tiff_is_read_behind_its_macro_with_its_own_pixel_size(tmp_path, name):
    path = write_ome(tmp_path / "a.ome.tif", (label(), name, 30.0), (tissue(), "20x", MPP))
    origin = check_is_tissue(path).origin
    assert (origin.series, origin.name, origin.images, origin.warnings) == (1, "20x", 2, ())


def test_the_pixel_size_of_another_image_is_not_taken(tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", (label(), "macro", MPP), (tissue(), "slide", None))
    with open_slide(path) as slide:
        assert slide.resolution.source == "assumed"


def test_two_fields_are_refused_until_one_is_named(tmp_path):
    path = write_pages(tmp_path / "a.tif", (tissue(), per_cm(MPP)), (tissue(80, 90)[::-1], per_cm(MPP)))
    message = r"2 images of full size: series 0 \(128 x 96 px\), series 1 \(90 x 80 px\); choose one \(series 0\)"
    with pytest.raises(UnsupportedSlideError, match=message):
        open_slide(path)
    assert full_size_series(path) == [0, 1]
    with open_slide(path, series=1) as slide:
        np.testing.assert_array_equal(shown(slide), tissue(80, 90)[::-1])
        assert slide.name == "a_series1"


def test_pages_of_one_size_are_fields_each_with_its_smaller_levels(tmp_path):
    options = {"photometric": "rgb", "metadata": None, "tile": (32, 32)}
    fields = [tissue(), tissue()[:, ::-1]]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for field in fields:
            writer.write(field, subifds=1, **options, **per_cm(MPP))
            writer.write(field[::2, ::2], subfiletype=1, **options)
    for number, field in enumerate(fields):
        with open_slide(tmp_path / "a.tif", series=number) as slide:
            np.testing.assert_array_equal(shown(slide), field)
            np.testing.assert_array_equal(slide.read(Box(0, 0, 48, 64), 2 * MPP), field[::2, ::2])


def test_ome_images_of_full_size_are_named_in_the_message(tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", (tissue(), "core A", MPP), (tissue(), "core B", MPP), (label(), "label", None))
    with pytest.raises(UnsupportedSlideError, match=r'2 images of full size: series 0 "core A" .*, series 1 "core B"'):
        open_slide(path)


def test_a_series_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", (tissue(), "20x", MPP), (label(), "macro", None))
    with pytest.raises(UnsupportedSlideError, match=r'no series 2; it holds series 0 "20x" .*, series 1 "macro"'):
        open_slide(path, series=2)


def test_a_label_is_not_read_even_where_it_is_asked_for(tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", (tissue(), "20x", MPP), (label(), "label", None))
    with pytest.raises(UnsupportedSlideError, match="may show the name of a person and is never read"):
        open_slide(path, series=1)


def test_a_file_of_labels_only_is_refused(tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", (label(), "label", None), (label(), "macro", None))
    with pytest.raises(UnsupportedSlideError, match="labels and overviews only"):
        open_slide(path)


@pytest.mark.parametrize("writer", [lambda path: write_ome(path, (tissue(), "overview", MPP)), None])
def test_the_only_image_of_a_file_is_series_0_whatever_it_is_called(tmp_path, writer):
    path = writer(tmp_path / "a.ome.tif") if writer else write_pages(tmp_path / "a.tif", *pyramid())
    check_is_tissue(path)
    assert check_is_tissue(path, series=0).name == "a"
    with pytest.raises(UnsupportedSlideError, match="no series 1"):
        open_slide(path, series=1)


@pytest.mark.parametrize("name", ["macro", "Macro image", "slide_label", "LABEL-1", "overview.tif", "barcode"])
def test_names_of_labels_and_overviews_are_known(name):
    assert is_associated(name)


@pytest.mark.parametrize("name", ["macrophages CD68", "unlabelled", "20x", "Image:0", "", "Ki67 previewed"])
def test_names_that_only_begin_like_those_are_none(name):
    assert not is_associated(name)


def test_the_largest_decides_what_is_small_only_where_nothing_is_stated():
    candidates = [Candidate(number=0, size=Size(40, 40)), Candidate(number=1, size=Size(100, 100))]
    assert [one.number for one in of_full_size(candidates)] == [1]
    stated = [Candidate(number=one.number, size=one.size, sides=(MPP, MPP)) for one in candidates]
    assert [one.number for one in of_full_size(stated)] == [0, 1]


def test_many_images_are_not_all_listed(tmp_path):
    candidates = [Candidate(number=number, size=Size(9, 9)) for number in range(100)]
    with pytest.raises(UnsupportedSlideError, match=r"holds 100 images of full size: .* and 92 more"):
        choose(candidates, tmp_path)


CHANNELS = ["Red", "Green", "Blue"]


def write_planes(path, names, image=None, subifds=0):
    """Write colours as three grey planes, as Bio-Formats does."""
    planes = np.moveaxis(tissue() if image is None else image, -1, 0)
    options = {"photometric": "minisblack", "tile": (32, 32)}
    metadata = {"axes": "CYX", "PhysicalSizeX": MPP, "PhysicalSizeY": MPP} | ({"Channel": {"Name": names}} if names else {})
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(planes, metadata=metadata, subifds=subifds, **options)
        for level in range(subifds):
            writer.write(planes[:, :: 2 << level, :: 2 << level], subfiletype=1, metadata=None, **options)
    return path


@pytest.mark.parametrize("names", [CHANNELS, ["R", "G", "B"], ["red", "green", "blue"]])
@pytest.mark.parametrize("subifds", [0, 2])
def test_planes_that_say_that_they_are_red_green_and_blue_are_read_as_colours(tmp_path, names, subifds):
    path = write_planes(tmp_path / "a.ome.tif", names, subifds=subifds)
    check_is_tissue(path)
    with open_slide(path) as slide:
        assert np.abs(slide.read(Box(0, 0, 48, 64), 2 * MPP).astype(int) - tissue()[::2, ::2]).mean() < 3


def test_planes_in_another_order_are_put_in_that_of_colours(tmp_path):
    check_is_tissue(write_planes(tmp_path / "a.ome.tif", CHANNELS[::-1], tissue()[..., ::-1]))


@pytest.mark.parametrize("names", [None, ["DAPI", "FITC", "TRITC"], ["Red", "Green", "DAPI"]])
def test_planes_that_do_not_say_so_are_refused_with_what_makes_colours_of_them(tmp_path, names):
    with pytest.raises(UnsupportedSlideError, match=r"if its planes are red, green and blue, save it as RGB .in ImageJ"):
        open_slide(write_planes(tmp_path / "a.ome.tif", names))


def test_an_imagej_stack_labelled_by_colour_is_read_as_colours(tmp_path):
    planes = np.moveaxis(tissue(), -1, 0)
    metadata = {"axes": "CYX", "Labels": CHANNELS, "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", planes, imagej=True, resolution=(4, 4), metadata=metadata)
    check_is_tissue(tmp_path / "a.tif")


def test_pages_named_by_colour_are_read_as_colours(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for number, name in enumerate(CHANNELS):
            writer.write(tissue()[..., number], photometric="minisblack", description=name, metadata=None, **per_cm(MPP))
    check_is_tissue(tmp_path / "a.tif")


def test_a_pyramid_without_pixel_size_behind_an_overview_that_states_one_is_refused(tmp_path):
    levels = [(image, {"tile": (32, 32), "subfiletype": options["subfiletype"]}) for image, options in pyramid()]
    path = write_pages(tmp_path / "a.tif", (label(), {"subfiletype": 1, **per_cm(MPP)}), *levels)
    with pytest.raises(MissingResolutionError):
        open_slide(path)


def test_a_second_page_of_half_the_sides_is_a_field_where_nothing_says_that_it_is_a_level(tmp_path):
    other = tissue()[::-2, ::-2]
    path = write_pages(tmp_path / "a.tif", (tissue(), per_cm(MPP)), (other, per_cm(MPP)))
    with pytest.raises(UnsupportedSlideError, match=r"series 0 \(128 x 96 px\), series 1 \(64 x 48 px\)"):
        open_slide(path)
    with open_slide(path, series=1) as slide:
        np.testing.assert_array_equal(shown(slide), other)


@pytest.mark.parametrize("steps", [(1, 2), (1, 2, 4)])
def test_pages_that_halve_are_a_pyramid_where_they_state_coarser_pixels_or_go_on_to_halve(tmp_path, steps):
    pages = [(tissue()[::step, ::step], {"tile": (16, 16), **per_cm(MPP * (step if len(steps) == 2 else 1))}) for step in steps]
    slide = check_is_tissue(write_pages(tmp_path / "a.tif", *pages))
    assert slide.origin.images == 1


def test_an_image_whose_pixels_are_in_another_file_is_refused(tmp_path):
    write_ome(tmp_path / "b.ome.tif", (tissue(), "20x", MPP))
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as tiff:
        text = tiff.ome_metadata
    identity, data = text.split('UUID="', 1)[1].split('"', 1)[0], '<TiffData IFD="0" PlaneCount="1"'
    elsewhere = text.replace(identity, f"{identity[:-1]}0").replace(f"{data}/>", f"{data}>{{}}</TiffData>")
    elsewhere = elsewhere.format(f'<UUID FileName="b.ome.tif">{identity}</UUID>')
    tifffile.imwrite(tmp_path / "a.ome.tif", tissue(), photometric="rgb", metadata=None, description=elsewhere.encode())
    with pytest.raises(UnsupportedSlideError, match="spread over several files"):
        open_slide(tmp_path / "a.ome.tif")
