"""Every task learns with the one loop, on drawn images of 32 px: DeepLIIF, distillation, CycleGAN, compact with a manifest."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conformance.task import TaskConformance
from numpy.typing import NDArray
from PIL import Image

from counterstain.cells.decoders.base import Decoder
from counterstain.cells.decoders.deepliif import PublishedRule
from counterstain.cells.decoders.names import decoder_for
from counterstain.cells.decoders.watershed import Watershed
from counterstain.errors import TrainingError, UsageError
from counterstain.geometry import Box
from counterstain.inference.bundle import Manifest
from counterstain.inference.classical import ClassicalBackend
from counterstain.panel import DEFAULT_PANEL, SEGMENTATION, Channel, Panel
from counterstain.pipeline import analyze
from counterstain.slides.array import ArraySlide
from counterstain.training import loop
from counterstain.training.checkpoint import load_checkpoint
from counterstain.training.exporting.export import export_run
from counterstain.training.loop import train
from counterstain.training.losses.objective import ObjectiveOptions
from counterstain.training.networks.deepliif import DeepLIIFOptions
from counterstain.training.networks.layers import GeneratorOptions
from counterstain.training.options import LoopOptions, PairedOptions
from counterstain.training.recipe import TrainOptions, build_task
from counterstain.training.synthesis.render import Sample
from counterstain.training.tasks import distillation
from counterstain.training.tasks.adversarial import DISCRIMINATORS, DiscriminatorOptions, frozen
from counterstain.training.tasks.base import Task
from counterstain.training.tasks.cyclegan import CycleGANTaskOptions
from counterstain.training.tasks.deepliif import DeepLIIFTaskOptions, deepliif_network, deepliif_panel
from counterstain.training.tasks.distillation import DistillationTaskOptions, ask_teacher, student_panel
from counterstain.training.validate import Infer, ValidationScores, validate

SIDE = 32


def draw_set(seed: int) -> NDArray[np.uint8]:
    """Six panels: three disks, of which the first is positive."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:SIDE, :SIDE]
    panels = np.zeros((6, SIDE, SIDE, 3), np.uint8)
    panels[:2] = 230
    for number, (row, col) in enumerate(((9, 9), (9, 23), (23, 12))):
        inside = (rows - row - rng.integers(-2, 3)) ** 2 + (cols - col - rng.integers(-2, 3)) ** 2 < 25
        panels[0][inside] = (130, 80, 40) if number == 0 else (90, 90, 160)
        panels[1][inside], panels[2][inside], panels[3][inside] = (90, 90, 160), 200, (0, 120, 0)
        panels[4][inside] = 180 if number == 0 else 20
        panels[5][inside] = (255, 0, 0) if number == 0 else (0, 0, 255)
    return np.concatenate(list(panels), axis=1)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two patients: two fields to train on, one to validate on."""
    for seed in range(3):
        Image.fromarray(draw_set(seed)).save(tmp_path / f"{seed}.png")
    (tmp_path / "sets.csv").write_text("patient,split,strip\na,train,0.png\na,train,1.png\nb,validation,2.png\n")
    return tmp_path / "sets.csv"


GENERATOR = GeneratorOptions(width=4, dropout=True)
DEEPLIIF = DeepLIIFTaskOptions(
    network=DeepLIIFOptions(translator="resnet_1blocks", segmenter="unet_32", generator=GENERATOR),
    discriminator=DiscriminatorOptions(layers=2, width=4),
    objective=ObjectiveOptions(smooth_l1=100.0),
)


def recipe(manifest: Path, task: str, steps: int = 2, **changes: Any) -> TrainOptions:
    loop = LoopOptions(
        steps=steps,
        batch=2,
        learning_rate=2e-3,
        warmup_steps=0,
        precision="32-true",
        ema_decay=0.5,
        checkpoint_every=3,
        log_every=1,
    )
    options = TrainOptions(
        name=task,
        folder=str(manifest.parent / "runs"),
        task=task,
        paired=PairedOptions(manifest=str(manifest), crop_px=SIDE),
        deepliif=DEEPLIIF,
        distillation=DistillationTaskOptions(teacher="classical"),
        cyclegan=CycleGANTaskOptions(
            translator="resnet_1blocks",
            generator=GeneratorOptions(width=4, norm="instance", dropout=False),
            discriminator=DiscriminatorOptions(layers=2, width=4),
        ),
        loop=loop,
    )
    return replace(options, **changes)


def silent(line: str) -> None:
    pass


def logged(folder: Path) -> dict[str, list[float]]:
    """Return the values of every term of training, by name."""
    values: dict[str, list[float]] = {}
    with (folder / "metrics.csv").open(newline="") as file:
        for _, part, name, value in csv.reader(file):
            values.setdefault(f"{part}: {name}", []).append(float(value))
    return values


@pytest.mark.parametrize("task", ["compact", "deepliif", "distillation", "cyclegan"])
def test_every_task_learns_with_the_one_loop(manifest: Path, task: str) -> None:
    options = recipe(manifest, task)
    folder = train(options, silent)
    best, fresh = load_checkpoint(folder / "best.pt"), build_task(options, silent)
    assert best.step == 2
    network = fresh.networks["model"]
    network.load_state_dict(best.average)
    with torch.no_grad():
        outputs = fresh.infer(network.eval())(torch.rand(1, 3, SIDE, SIDE))
    for name, values in outputs.items():
        assert values.shape[2:] == (SIDE, SIDE), name
        assert values.min() >= 0, name
        assert values.max() <= 1, name
    assert ("validation: total" in logged(folder)) == (task != "cyclegan")
    assert list(folder.glob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    ("task", "expected"), [("compact", Watershed), ("deepliif", PublishedRule), ("distillation", Watershed)]
)
def test_a_model_is_validated_with_the_decoder_that_its_bundle_will_have(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, task: str, expected: type
) -> None:
    used = []

    def remember(infer: Infer, samples: list[Sample], decoder: Decoder) -> ValidationScores:
        used.append(decoder)
        return validate(infer, samples, decoder)

    monkeypatch.setattr(loop, "validate", remember)
    options = recipe(manifest, task, steps=1)
    train(options, silent)
    fresh = build_task(options, silent)
    bundle = fresh.exported(fresh.networks["model"]).manifest(name="x", version="1", licence="CC0-1.0")
    assert [type(decoder) for decoder in used] == [expected]
    assert used == [decoder_for(bundle.decoder, bundle.panel, bundle.mpp)]


def test_no_bundle_is_made_of_what_a_bundle_cannot_be(manifest: Path) -> None:
    task = build_task(recipe(manifest, "cyclegan"), silent)
    with pytest.raises(TrainingError, match="infers no nuclei"):
        task.exported(task.networks["model"])
    two = replace(DEEPLIIF, inputs=("image", "dapi"), modalities=("marker",), network=replace(DEEPLIIF.network, inputs=2))
    task = build_task(recipe(manifest, "deepliif", deepliif=two), silent)
    with pytest.raises(TrainingError, match="this run reads image, dapi"):
        task.exported(task.networks["model"])


def test_a_task_without_a_manifest_is_refused(manifest: Path) -> None:
    with pytest.raises(UsageError, match=r"the task deepliif needs paired\.manifest"):
        build_task(recipe(manifest, "deepliif", paired=PairedOptions()), silent)


@pytest.mark.parametrize("task", ["compact", "deepliif", "distillation"])
def test_a_manifest_without_a_training_split_is_refused(manifest: Path, task: str) -> None:
    manifest.write_text("patient,split,strip\nb,validation,2.png\n")
    with pytest.raises(TrainingError, match="no set in the split train"):
        train(recipe(manifest, task), silent)


class TestCompact(TaskConformance):
    @pytest.fixture
    def task(self, manifest: Path) -> Task:
        return build_task(recipe(manifest, "compact"), silent)


class TestDeepLIIF(TaskConformance):
    @pytest.fixture
    def task(self, manifest: Path) -> Task:
        return build_task(recipe(manifest, "deepliif"), silent)


class TestDistillation(TaskConformance):
    @pytest.fixture
    def task(self, manifest: Path) -> Task:
        return build_task(recipe(manifest, "distillation"), silent)


class TestCycleGAN(TaskConformance):
    @pytest.fixture
    def task(self, manifest: Path) -> Task:
        return build_task(recipe(manifest, "cyclegan"), silent)


def test_the_generators_see_the_discriminators_as_they_have_become(manifest: Path) -> None:
    task = build_task(recipe(manifest, "deepliif"), silent)
    batch = next(task.batches(0, 0))

    def generator_loss(change: float) -> float:
        torch.manual_seed(0)
        steps = task.steps(task.networks, batch)
        next(steps)
        with torch.no_grad():
            for weight in task.networks[DISCRIMINATORS].parameters():
                weight.add_(change)
        return next(steps)[1]["dapi gan"].item()

    assert generator_loss(0.0) != pytest.approx(generator_loss(0.05))


def test_frozen_weights_learn_again_afterwards() -> None:
    layer = torch.nn.Linear(1, 1)
    with frozen(layer):
        assert not any(weight.requires_grad for weight in layer.parameters())
    assert all(weight.requires_grad for weight in layer.parameters())


def test_every_modality_and_the_segmentation_has_its_terms(manifest: Path) -> None:
    terms = logged(train(recipe(manifest, "deepliif", steps=1), silent))
    channels = ("hematoxylin", "dapi", "lap2", "marker", "segmentation")
    expected = {f"train: {name} {term}" for name in channels for term in ("gan", "smooth l1")}
    assert expected | {f"train: judge {name}" for name in channels} <= set(terms)


def test_a_modality_can_be_left_out(manifest: Path) -> None:
    options = replace(DEEPLIIF, modalities=("hematoxylin", "dapi", "marker"))
    assert [channel.name for channel in deepliif_panel(options).channels] == ["hematoxylin", "dapi", "marker", "segmentation"]
    terms = logged(train(recipe(manifest, "deepliif", steps=1, deepliif=options), silent))
    assert not [name for name in terms if "lap2" in name]


def test_the_segmentation_can_be_left_out(manifest: Path) -> None:
    terms = logged(train(recipe(manifest, "deepliif", steps=1, deepliif=replace(DEEPLIIF, segmentation=False)), silent))
    assert not [name for name in terms if "segmentation" in name]


def test_several_images_can_be_read(manifest: Path) -> None:
    two = replace(
        DEEPLIIF,
        inputs=("image", "hematoxylin"),
        modalities=("dapi",),
        network=replace(DEEPLIIF.network, inputs=2),
    )
    assert "train: dapi gan" in logged(train(recipe(manifest, "deepliif", steps=1, deepliif=two), silent))
    with pytest.raises(UsageError, match=r"deepliif\.inputs names 2 images"):
        deepliif_network(replace(two, network=DEEPLIIF.network))


def test_options_that_describe_no_model_are_refused(manifest: Path) -> None:
    wrong = replace(DEEPLIIF, network=replace(DEEPLIIF.network, segmenter="unet_99"))
    with pytest.raises(UsageError, match="describe no model: no generator 'unet_99'"):
        deepliif_network(wrong)
    with pytest.raises(UsageError, match=r"paired\.crop_px = 40 must be a multiple of 32"):
        build_task(recipe(manifest, "deepliif", paired=PairedOptions(manifest=str(manifest), crop_px=40)), silent)
    with pytest.raises(UsageError, match="expected two kinds of images"):
        build_task(recipe(manifest, "cyclegan", cyclegan=CycleGANTaskOptions(target="image")), silent)


def test_a_kind_of_image_that_no_set_has_is_named(manifest: Path) -> None:
    cyclegan = replace(recipe(manifest, "cyclegan").cyclegan, target="mitoses")
    with pytest.raises(TrainingError, match="has no set with 'mitoses' in the split train"):
        train(recipe(manifest, "cyclegan", cyclegan=cyclegan), silent)


def test_a_teacher_answers_for_whole_images() -> None:
    teacher = ClassicalBackend()
    image = draw_set(0)[:, :SIDE]
    panel = student_panel(teacher.manifest.panel)
    answers = ask_teacher(image, teacher, panel)
    assert set(answers) == {"image", *(channel.name for channel in panel.channels)}
    assert {name: values.shape for name, values in answers.items()} == {"image": (SIDE, SIDE, 3)} | {
        channel.name: (SIDE, SIDE, channel.planes) for channel in panel.channels
    }
    maps = analyze(ArraySlide(image), teacher).maps
    for name in ("segmentation", "dapi", "hematoxylin"):
        assert np.array_equal(answers[name], maps[name].as_bytes(Box(0, 0, SIDE, SIDE))), name


def test_a_student_has_the_channels_of_its_teacher() -> None:
    rgb = Panel(channels=(Channel(name="dapi", planes=3), Channel(name="marker", planes=3), SEGMENTATION), marker="marker")
    student = student_panel(rgb)
    assert [(channel.name, channel.planes) for channel in student.channels] == [
        ("dapi", 1),
        ("marker", 1),
        ("segmentation", 3),
        ("distance", 1),
    ]
    with pytest.raises(UsageError, match="infers no segmentation"):
        student_panel(Panel(channels=DEFAULT_PANEL.modalities))


class RgbTeacher:
    """Answers like an imported DeepLIIF: RGB images, and no distance."""

    manifest = Manifest(
        name="rgb",
        version="1",
        panel=Panel(channels=(Channel(name="dapi", planes=3), SEGMENTATION)),
        mpp=0.25,
        tile_px=64,
        margin_px=8,
        expected_nuclear_area_um2=(15.0, 90.0),
        licence="Apache-2.0",
    )
    fingerprint = "rgb"

    def run(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        nuclear = (batch[:, :1] < 0.5).astype(np.float32)
        none = np.zeros_like(nuclear)
        dapi = np.concatenate([none, nuclear, 0.5 * nuclear], axis=1)
        return {"dapi": dapi, "segmentation": np.concatenate([none, none, nuclear], axis=1)}


def test_answers_in_colour_become_grey_and_a_distance_is_measured() -> None:
    image = np.full((40, 40, 3), 230, np.uint8)
    image[12:28, 12:28] = 60
    teacher = RgbTeacher()
    answers = ask_teacher(image, teacher, student_panel(teacher.manifest.panel))
    assert answers["dapi"].shape == (40, 40, 1)
    assert (answers["dapi"][12:28, 12:28] == 255).all()
    assert answers["dapi"].sum() == 255 * 16 * 16
    distance = answers["distance"][..., 0]
    assert distance[20, 20] > 200
    assert distance[5, 5] == 0
    assert distance[20, 20] > distance[20, 14] > 0


@pytest.mark.slow
def test_a_trained_deepliif_becomes_a_bundle_that_teaches(manifest: Path, tmp_path: Path) -> None:
    folder = train(recipe(manifest, "deepliif", steps=1), silent)
    export_run(folder / "best.pt", tmp_path / "teacher", name="teacher", version="1", files={})
    options = recipe(manifest, "distillation", distillation=DistillationTaskOptions(teacher=str(tmp_path / "teacher")))
    terms = logged(train(options, silent))
    assert {"train: soft classes", "train: dapi", "train: lap2", "train: distance"} <= set(terms)


def test_a_teacher_at_another_resolution_is_refused(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coarse = RgbTeacher()
    coarse.manifest = coarse.manifest.model_copy(update={"mpp": 0.5})
    monkeypatch.setattr(distillation, "load_backend", lambda name: coarse)
    with pytest.raises(UsageError, match=r"the teacher works at 0\.5 um/px, the student at 0\.25"):
        build_task(recipe(manifest, "distillation"), silent)
