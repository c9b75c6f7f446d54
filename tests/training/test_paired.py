"""Set lists and co-registered squares: patients stay in one split, and an image moves with everything known about it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from counterstain.errors import TrainingError, UsageError
from counterstain.training.datasets.paired import PairedSource, crop_together, paired_batches, read_images, unpaired_batches
from counterstain.training.datasets.set_list import ImageSet, PanelFile, read_set_list
from counterstain.training.options import AugmentOptions, LoopOptions, PairedOptions

STILL = AugmentOptions(strength_sigma=0, colour_sigma=0, shift_sigma=0, noise_sigma=0)


def save(path: Path, height: int = 8, width: int = 8, level: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), level, np.uint8)).save(path)


def manifest(folder: Path, text: str, name: str = "sets.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_strip_is_cut_into_panels_of_equal_width(tmp_path: Path) -> None:
    panels = [np.full((4, 4, 3), 10 * n, np.uint8) for n in range(6)]
    Image.fromarray(np.concatenate(panels, axis=1)).save(tmp_path / "a.png")
    (found,) = read_set_list(
        manifest(tmp_path, '[[sets]]\npatient = "1"\nsplit = "train"\nstrip = "*.png"'), "train", ("dapi",)
    )
    images = read_images(found)
    assert list(images) == ["image", "hematoxylin", "dapi", "lap2", "marker", "segmentation"]
    assert {name: int(image[0, 0, 0]) for name, image in images.items()} == dict(zip(images, range(0, 60, 10), strict=True))
    assert images["dapi"].shape == (4, 4, 3)


def test_panels_of_a_strip_may_be_others(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 4, 8)
    path = manifest(tmp_path, 'panels = ["image", "her2"]\n[[sets]]\npatient = "1"\nsplit = "train"\nstrip = "a.png"')
    (found,) = read_set_list(path, "train", ("image", "her2"))
    assert [panel.name for panel in found.panels] == ["image", "her2"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sets.toml", '[[sets]]\npatient = "1"\nsplit = "train"\nimages = { image = "ihc/*.png", dapi = "dapi" }'),
        ("sets.csv", "patient,split,image,dapi\n1,train,ihc/*.png,dapi\n"),
    ],
)
def test_folders_per_modality_are_matched_by_file_name(tmp_path: Path, name: str, text: str) -> None:
    for stem, level in (("a", 10), ("b", 20)):
        save(tmp_path / "ihc" / f"{stem}.png", level=level)
        save(tmp_path / "dapi" / f"{stem}.png", level=level + 1)
    found = read_set_list(manifest(tmp_path, text, name), "train", ("image", "dapi"))
    assert [one.name for one in found] == ["a", "b"]
    images = read_images(found[1])
    assert (int(images["image"].max()), int(images["dapi"].max())) == (20, 21)


def test_a_pattern_may_be_absolute_and_a_name_may_hold_brackets(tmp_path: Path) -> None:
    save(tmp_path / "images" / "tile[1].png", 4, 24)
    for pattern in (f"{tmp_path}/images/*.png", "images/tile[1].png", "images/../images/*.png"):
        path = manifest(tmp_path / "images" / "..", f"patient,split,strip\n1,train,{pattern}\n", "sets.csv")
        assert [one.name for one in read_set_list(path, "train", ())] == ["tile[1]"], pattern


def test_the_same_patient_in_two_splits_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png", 4, 24)
    lines = [
        f'[[sets]]\npatient = "7"\nsplit = "{split}"\nstrip = "{name}.png"'
        for name, split in (("a", "train"), ("b", "validation"))
    ]
    with pytest.raises(TrainingError, match=r"patient '7' is in the splits train and validation; tiles of one patient"):
        read_set_list(manifest(tmp_path, "\n".join(lines)), "train", ())
    csv = "patient,split,strip\n7,train,a.png\n7,test,b.png\n"
    with pytest.raises(TrainingError, match="patient '7' is in the splits train and test"):
        read_set_list(manifest(tmp_path, csv, "sets.csv"), "train", ())


def test_a_file_of_two_patients_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 4, 24)
    csv = "patient,split,strip\n1,train,a.png\n2,validation,*.png\n"
    with pytest.raises(TrainingError, match=r"a\.png is listed for two patients"):
        read_set_list(manifest(tmp_path, csv, "sets.csv"), "train", ())


def test_each_split_has_its_own_sets(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png", 4, 24)
    path = manifest(tmp_path, "patient,split,strip\n1,train,a.png\n2,validation,b.png\n", "sets.csv")
    assert [one.patient for one in read_set_list(path, "train", ())] == ["1"]
    assert [one.patient for one in read_set_list(path, "validation", ())] == ["2"]
    assert read_set_list(path, "test", ()) == ()


def test_a_missing_modality_is_named_with_the_set_that_lacks_it(tmp_path: Path) -> None:
    save(tmp_path / "ihc" / "a.png")
    path = manifest(tmp_path, '[[sets]]\npatient = "1"\nsplit = "train"\nimages = { image = "ihc/*.png", dapi = "dapi/a.png" }')
    with pytest.raises(TrainingError, match=r"the set 'a' of patient '1' has no lap2; it has dapi, image"):
        read_set_list(path, "train", ("image", "lap2"))
    with pytest.raises(TrainingError, match=r"the dapi of the set 'a' of patient '1' is missing: .*a\.png"):
        read_set_list(path, "train", ("image", "dapi"))


def test_unequal_sizes_are_refused_and_listed(tmp_path: Path) -> None:
    save(tmp_path / "ihc" / "a.png", 8, 8)
    save(tmp_path / "dapi" / "a.png", 8, 9)
    path = manifest(tmp_path, "patient,split,image,dapi\n1,train,ihc/a.png,dapi\n", "sets.csv")
    with pytest.raises(TrainingError, match=r"differ in size \(px\): image 8 x 8, dapi 9 x 8"):
        read_set_list(path, "train", ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient,split,strip\n1,train,none*.png\n", r"no file none\*\.png"),
        ("patient,split,strip\n1,training,a.png\n", "line 2: expected a patient and a split"),
        ("patient,split,strip\n1,train,\n", "either a strip or images"),
        ("patient,split,strip\n1,train,narrow.png\n", "expected 6 panels of equal width side by side, got 13 x 4"),
        ("patient,split,strip\n1,train,text.png\n", "not a readable image"),
    ],
)
def test_other_faults_of_a_manifest_are_named(tmp_path: Path, text: str, message: str) -> None:
    save(tmp_path / "narrow.png", 4, 13)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(TrainingError, match=message):
        read_set_list(manifest(tmp_path, text, "sets.csv"), "train", ())


def test_a_manifest_that_is_not_there_or_has_unknown_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot read the set list"):
        read_set_list(tmp_path / "none.csv", "train", ())
    with pytest.raises(UsageError, match=r"sets\.0\.slide: unknown option"):
        read_set_list(manifest(tmp_path, '[[sets]]\npatient = "1"\nslide = "x"\nsplit = "train"'), "train", ())


def ramp(side: int) -> NDArray[np.uint8]:
    """Return an image whose value tells the position: row in red, column in green."""
    rows, cols = np.mgrid[:side, :side]
    return np.stack([rows, cols, np.zeros_like(rows)], axis=2).astype(np.uint8)


def test_an_image_and_its_masks_are_cut_turned_and_flipped_together() -> None:
    images = {"image": ramp(20), "dapi": ramp(20), "segmentation": ramp(20)}
    rng, seen = np.random.default_rng(0), set()
    for _ in range(40):
        cut = crop_together(rng, images, PairedOptions(crop_px=8))
        assert np.array_equal(cut["image"], cut["dapi"])
        assert np.array_equal(cut["image"], cut["segmentation"])
        rows = cut["image"][..., 0].astype(int)
        assert rows.max() - rows.min() == 7  # a whole square, nothing from outside
        seen.add((int(np.sign(np.diff(rows, axis=0).sum())), int(np.sign(np.diff(rows, axis=1).sum()))))
    assert seen == {(1, 0), (-1, 0), (0, 1), (0, -1)}


def test_without_turning_the_square_is_as_it_was() -> None:
    cut = crop_together(np.random.default_rng(0), {"image": ramp(8)}, PairedOptions(crop_px=8, turn=False))
    assert np.array_equal(cut["image"], ramp(8))


def test_zoom_enlarges_all_alike_and_makes_no_new_classes() -> None:
    mask = np.zeros((16, 16, 3), np.uint8)
    mask[4:12, 4:12, 0] = 255
    options = PairedOptions(crop_px=16, zoom=(1.9, 2.0), turn=False)
    cut = crop_together(np.random.default_rng(1), {"image": mask, "segmentation": mask}, options)
    assert set(np.unique(cut["segmentation"])) <= {0, 255}
    assert ((cut["image"] > 127) == (cut["segmentation"] > 127)).mean() > 0.9


def test_images_smaller_than_the_square_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"images of 8 x 8 px are smaller than paired\.crop_px = 16"):
        crop_together(np.random.default_rng(0), {"image": ramp(8)}, PairedOptions(crop_px=16))


def source(*names: str) -> PairedSource:
    fields = tuple({name: ramp(20) + number for name in names} for number in range(4))
    return PairedSource(fields=fields, names=names, options=PairedOptions(crop_px=8), augment=STILL)


def test_batches_depend_on_seed_step_and_process_alone() -> None:
    loop = LoopOptions(batch=2, seed=3)
    whole = paired_batches(source("image", "dapi"), loop)
    images = [next(whole).images["image"] for _ in range(3)]
    assert images[0].shape == (2, 3, 8, 8)
    assert torch.equal(next(paired_batches(source("image", "dapi"), loop, start=2)).images["image"], images[2])
    assert not torch.equal(next(paired_batches(source("image", "dapi"), loop, start=2, rank=1)).images["image"], images[2])
    other = paired_batches(source("image", "dapi"), replace(loop, seed=4), start=2)
    assert not torch.equal(next(other).images["image"], images[2])


def test_unpaired_batches_show_different_places() -> None:
    loop = LoopOptions(batch=4, seed=3)
    batch = next(unpaired_batches({"image": source("image"), "marker": source("marker")}, loop))
    assert batch.images["image"].shape == batch.images["marker"].shape == (4, 3, 8, 8)
    assert not torch.equal(batch.images["image"], batch.images["marker"])


def test_images_are_shrunk_by_area_and_masks_by_choice(tmp_path: Path) -> None:
    board = (np.indices((8, 8)).sum(axis=0) % 2 * 200).astype(np.uint8)[..., None].repeat(3, axis=2)
    for name in ("image", "segmentation"):
        Image.fromarray(board).save(tmp_path / f"{name}.png")
    panels = tuple(PanelFile(name=name, path=tmp_path / f"{name}.png") for name in ("image", "segmentation"))
    images = read_images(ImageSet(name="x", patient="1", panels=panels), 0.5)
    assert np.unique(images["image"]).tolist() == [100]
    assert set(np.unique(images["segmentation"])) <= {0, 200}
