"""From folders to batches, on tiny folders that the tests draw."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import draw_disks
from numpy.typing import NDArray
from PIL import Image

from counterstain.cells.decoders.watershed import Watershed
from counterstain.errors import TrainingError
from counterstain.outputs.images.drawing import outline_pixels
from counterstain.training.datasets import cache as cache_module
from counterstain.training.datasets.batches import batches, jitter, to_batch
from counterstain.training.datasets.cache import (
    PLANES,
    PatchCache,
    open_cache,
    read_held_out_scenes,
    read_training_sources,
    to_planes,
)
from counterstain.training.datasets.crops import Annotated, crop, random_crop
from counterstain.training.datasets.folders import annotate, read_polygons, read_scenes, read_strips
from counterstain.training.options import AugmentOptions, DataOptions, LoopOptions, MixtureOptions
from counterstain.training.synthesis.render import synthetic_field
from counterstain.training.synthesis.scenes import unlabelled_nuclei
from counterstain.training.synthesis.targets import (
    BACKGROUND,
    BOUNDARY,
    NEGATIVE,
    POSITIVE,
    UNKNOWN,
    class_image,
    distance_image,
)


def options_for(root: Path, cache: Path, patches: int = 12) -> DataOptions:
    return DataOptions(
        root=str(root),
        cache=str(cache),
        patches=patches,
        patch_px=64,
        hold_out_every=4,
        workers=1,
        train_fields=("slide1-*.jpg",),
        nuinsseg_held_out=((2, 3),),
        tnbc_held_out=("02",),
    )


def test_a_strip_is_read_with_its_classes_and_modalities(image_root: Path) -> None:
    (strip,) = read_strips(image_root / "deepliif-train")
    assert strip.labels.max() == 2
    assert strip.positive[strip.labels[20, 20]]
    assert not strip.positive[strip.labels[44, 44]]
    assert set(strip.modalities) == {"hematoxylin", "dapi", "lap2", "marker"}
    assert strip.modalities["dapi"].shape == (64, 64)


def drawn_set(red: int, blue: int) -> dict[str, NDArray[np.uint8]]:
    """Return one square nucleus of ten columns, ``red`` of them positive and ``blue`` negative, inside a green line."""
    segmentation = np.zeros((30, 30, 3), np.uint8)
    segmentation[7:23, 7 : 13 + red + blue] = (0, 255, 0)
    segmentation[10:20, 10 : 10 + red] = (255, 0, 0)
    segmentation[10:20, 10 + red : 10 + red + blue] = (0, 0, 255)
    return {"image": segmentation, "segmentation": segmentation}


@pytest.mark.parametrize(("red", "blue", "positive"), [(6, 4, True), (5, 5, True), (4, 6, False)])
def test_a_nucleus_is_positive_when_at_least_half_of_its_interior_is(red: int, blue: int, positive: bool) -> None:
    assert annotate("drawn", drawn_set(red, blue)).positive.tolist() == [False, positive]


@pytest.mark.parametrize("radius", [5, 6, 7, 9, 9.5, 10, 12, 15])
def test_the_decoder_gives_an_annotated_nucleus_back_and_its_drawn_interior_is_the_published_one(radius: float) -> None:
    interior = draw_disks(48, [(24, 23)], radius) > 0
    segmentation = (interior[..., None] * np.array([255, 0, 0])).astype(np.uint8)
    field = annotate("disk", {"image": segmentation, "segmentation": segmentation})
    classes = class_image(field.labels, field.positive)
    planes = np.stack([classes == POSITIVE, classes == BOUNDARY, classes == NEGATIVE], axis=-1).astype(np.float32)
    nuclei = Watershed(mpp=0.25, reach_um=0.5)(planes, distance_image(field.labels))
    assert np.array_equal(nuclei.labels, field.labels)
    assert np.array_equal((nuclei.labels > 0) & ~outline_pixels(nuclei.labels), interior)


def test_a_strip_of_the_wrong_width_is_refused_with_its_size(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 40, 3), np.uint8)).save(tmp_path / "bad.png")
    with pytest.raises(TrainingError, match="6 square panels side by side, got 40 x 8"):
        read_strips(tmp_path)


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="found none"):
        read_scenes(tmp_path)


def test_polygons_become_labels_at_twice_the_final_resolution(image_root: Path) -> None:
    (field,) = read_polygons(image_root / "glioma-ki67", pattern="slide1-*.jpg", shrink=0.4)
    assert field.labels.shape == (320, 400)  # 0.8 of 400 x 500
    assert field.positive.tolist() == [False, True, False]
    assert field.labels[80, 120] == 1
    assert field.labels[80, 280] == 2


def test_dark_spots_without_a_label_are_unknown_and_labelled_nuclei_are_not() -> None:
    labels = draw_disks(80, [(20, 20)], 10)
    image_od = np.where(labels > 0, 0.5, 0.05).astype(np.float32)
    image_od[draw_disks(80, [(60, 60)], 10) > 0] = 0.6
    unknown = unlabelled_nuclei(image_od, labels)
    assert unknown[60, 60]
    assert not unknown[20, 20]
    assert not unknown[20, 60]


def annotated() -> Annotated:
    labels = draw_disks(100, [(30, 30), (70, 70)], 12)
    return Annotated(
        name="drawn",
        image=np.where(labels[..., None] > 0, 100, 230).astype(np.uint8).repeat(3, axis=2),
        labels=labels,
        positive=np.array([False, True, False]),
        unknown=draw_disks(100, [(30, 70)], 8) > 0,
        modalities={},
    )


def test_a_crop_of_everything_keeps_the_classes_in_place() -> None:
    sample = crop(annotated(), (0, 0, 100), 100)
    assert sample.classes[30, 30] == POSITIVE
    assert sample.classes[70, 70] == NEGATIVE
    assert sample.classes[30, 70] == UNKNOWN
    assert sample.classes[70, 30] == BACKGROUND
    assert not sample.has_modalities


def test_a_crop_can_be_enlarged() -> None:
    sample = crop(annotated(), (20, 20, 20), 60)
    assert (sample.classes == POSITIVE).mean() > 0.8  # less the corners that the disk leaves


def test_random_crops_stay_inside_the_image() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        sample = random_crop(rng, annotated(), 64)
        assert sample.image.shape == (64, 64, 3)
        assert sample.image.min() > 80  # no black border


def test_held_out_tiles_are_never_trained_on(image_root: Path, tmp_path: Path) -> None:
    options = options_for(image_root, tmp_path)
    held_out, used = read_held_out_scenes(options), read_training_sources(options).tissue
    assert len(held_out) == 4  # one tissue tile, two H&E tiles of one organ, one of one patient
    assert len(used) == 3
    assert not any(np.array_equal(a.labels, b.labels) for a in held_out[:1] for b in used)
    assert len(read_training_sources(options).counterstained) == 2


def test_h_and_e_tiles_are_not_read_where_the_mixture_has_none(tmp_path: Path) -> None:
    options = replace(options_for(tmp_path, tmp_path), mixture=MixtureOptions(counterstained=0))
    assert cache_module._counterstained_scenes(options) == []


def test_validation_fields_are_of_other_slides(image_root: Path, tmp_path: Path) -> None:
    assert {field.name for field in read_training_sources(options_for(image_root, tmp_path)).polygons} == {"slide1-field1"}


@pytest.mark.slow
def test_the_cache_does_not_depend_on_the_number_of_workers_and_is_made_once(image_root: Path, tmp_path: Path) -> None:
    options = options_for(image_root, tmp_path / "a")
    one, two = open_cache(options, 5), open_cache(replace(options, cache=str(tmp_path / "b"), workers=2), 5)
    assert np.array_equal(one.planes, two.planes)
    assert one.planes.shape == (12, sum(PLANES.values()), 64, 64)
    written = next((tmp_path / "a").glob("*/planes.npy"))
    before = written.stat().st_mtime_ns
    open_cache(options, 5)
    assert written.stat().st_mtime_ns == before
    assert not np.array_equal(open_cache(options, 6).planes, one.planes)


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Render one patch of noughts instead of real ones, and return the folders that were rendered into."""
    folders: list[Path] = []

    def render(options: DataOptions, seed: int, folder: Path) -> None:
        folders.append(folder)
        np.save(folder / "planes.npy", np.zeros((1, 11, 8, 8), np.uint8))
        np.save(folder / "has_modalities.npy", np.zeros(1, bool))

    monkeypatch.setattr(cache_module, "_render_into", render)
    return folders


def test_patches_are_rendered_anew_when_an_image_changes_or_comes(
    image_root: Path, tmp_path: Path, rendered: list[Path]
) -> None:
    root = shutil.copytree(image_root, tmp_path / "images")
    options = options_for(root, tmp_path / "cache")
    open_cache(options, 5)
    with (root / "glioma-ki67" / "slide1-field1.geojson").open("a") as file:
        file.write(" ")
    open_cache(options, 5)
    shutil.copy(root / "deepliif-train" / "set1.png", root / "deepliif-train" / "set2.png")
    open_cache(options, 5)
    open_cache(options, 5)
    assert len(rendered) == 3


def test_patches_are_reused_when_only_validation_workers_or_places_change(
    image_root: Path, tmp_path: Path, rendered: list[Path]
) -> None:
    options = options_for(image_root, tmp_path / "cache")
    open_cache(options, 5)
    open_cache(replace(options, workers=2, validation_patches=3, validation_fields=("slide4-*.jpg",)), 5)
    open_cache(replace(options, root=str(shutil.copytree(image_root, tmp_path / "moved"))), 5)
    assert len(rendered) == 1


def test_of_two_first_runs_at_once_the_patches_of_the_faster_are_used_whole(
    image_root: Path, tmp_path: Path, rendered: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    options, write = options_for(image_root, tmp_path / "cache"), cache_module._render_into
    (tmp_path / "cache").mkdir()

    def slow(options: DataOptions, seed: int, folder: Path) -> None:
        assert not list(tmp_path.glob("cache/*/planes.npy"))  # nothing is in place before it is whole
        monkeypatch.setattr(cache_module, "_render_into", write)
        open_cache(options, seed)  # the other run, from its beginning to its end
        write(options, seed, folder)
        np.save(folder / "planes.npy", np.ones((1, 11, 8, 8), np.uint8))

    monkeypatch.setattr(cache_module, "_render_into", slow)
    assert open_cache(options, 5).planes.max() == 0
    assert len(rendered) == 2
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_rendering_that_fails_leaves_nothing_that_looks_whole(
    image_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(options: DataOptions, seed: int, folder: Path) -> None:
        (folder / "planes.npy").write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(cache_module, "_render_into", fail)
    with pytest.raises(TrainingError, match="the disk is full"):
        open_cache(options_for(image_root, tmp_path / "cache"), 5)
    assert not list((tmp_path / "cache").iterdir())


def planes_of(count: int) -> NDArray[np.uint8]:
    return np.stack([to_planes(synthetic_field(seed, 32)) for seed in range(count)])


def test_a_batch_has_the_images_of_the_sample_on_a_unit_scale() -> None:
    sample = synthetic_field(0, 32)
    batch = to_batch(to_planes(sample)[None], np.array([True]))
    torch.testing.assert_close(batch.image[0].permute(1, 2, 0), torch.from_numpy(sample.image.copy()).float() / 255)
    assert torch.equal(batch.classes[0], torch.from_numpy(sample.classes.copy()).long())
    assert batch.modalities["dapi"].shape == (1, 1, 32, 32)


def test_jitter_changes_colours_and_no_other_target() -> None:
    batch = to_batch(planes_of(2), np.array([True, True]))
    changed = jitter(np.random.default_rng(0), batch, AugmentOptions())
    assert not torch.equal(changed.image, batch.image)
    assert torch.equal(changed.classes, batch.classes)
    assert torch.equal(changed.modalities["marker"], batch.modalities["marker"])
    assert changed.image.min() >= 0
    assert changed.image.max() <= 1


def test_no_jitter_changes_nothing() -> None:
    batch = to_batch(np.maximum(planes_of(1), 1), np.array([True]))
    still = AugmentOptions(strength_sigma=0, colour_sigma=0, shift_sigma=0, noise_sigma=0)
    torch.testing.assert_close(jitter(np.random.default_rng(0), batch, still).image, batch.image)


def test_batches_from_a_later_step_are_those_of_an_uninterrupted_run(image_root: Path, tmp_path: Path) -> None:
    cache = PatchCache(planes=planes_of(6), has_modalities=np.ones(6, bool))
    loop = LoopOptions(batch=2, seed=3)
    whole = batches(cache, AugmentOptions(), loop)
    images = [next(whole).image for _ in range(4)]
    resumed = batches(cache, AugmentOptions(), loop, start=2)
    assert torch.equal(next(resumed).image, images[2])
    assert torch.equal(next(resumed).image, images[3])
    assert not torch.equal(images[2], images[3])
