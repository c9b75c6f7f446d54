"""Listings of folders in which a slide has several files."""

import numpy as np
import vendor_slides as vendors
from PIL import Image

from counterstain.jobs.inputs import find_inputs
from counterstain.slides.companions import without_companions
from counterstain.slides.opening import open_slide

IMAGE = np.random.default_rng(0).integers(0, 256, (128, 192, 3), dtype=np.uint8)


def names(*named):
    found, faults = find_inputs(tuple(map(str, named)))
    assert not faults
    return [item.path.name for item in found]


def test_a_dicom_slide_is_listed_once_by_the_first_of_its_files(tmp_path):
    vendors.write_dicom(tmp_path / "one", IMAGE, 0.5)
    assert names(tmp_path / "one") == ["1.dcm"]
    assert names(tmp_path / "one" / "*.dcm") == ["1.dcm"]


def test_two_dicom_slides_in_a_folder_are_two(tmp_path):
    for name in ("one", "two"):
        vendors.write_dicom(tmp_path / name, IMAGE, 0.5)
        for file in sorted((tmp_path / name).iterdir()):
            file.rename(tmp_path / f"{name}_{file.name}")
    assert names(tmp_path) == ["one_1.dcm", "two_1.dcm"]


def test_any_file_of_a_dicom_slide_opens_the_slide_and_not_its_label(tmp_path):
    folder = vendors.write_dicom(tmp_path / "one", IMAGE, 0.5).parent
    with open_slide(folder / "label.dcm") as slide:
        assert (slide.size.height, slide.size.width) == (128, 192)


def test_the_overview_of_a_vms_slide_is_not_listed_as_an_image(tmp_path):
    vendors.write_hamamatsu_vms(tmp_path / "slide", IMAGE, 0.5)
    Image.fromarray(IMAGE).save(tmp_path / "another.jpg")
    assert names(tmp_path) == ["another.jpg", "slide.vms"]
    assert names(tmp_path / "*.jpg", tmp_path) == ["another.jpg", "slide.vms"]


def test_files_that_say_nothing_stay(tmp_path):
    paths = [tmp_path / name for name in ("a.dcm", "b.dcm", "c.vms", "d.jpg")]
    for path in paths[:3]:
        path.write_bytes(b"\xff\0DICM")
    assert without_companions(paths) == paths
