"""A whole training run on drawn images, in seconds: it learns, resumes, and becomes a bundle."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from counterstain.cells.decoders.watershed import Watershed
from counterstain.errors import TrainingError
from counterstain.inference.bundle import load_bundle
from counterstain.inference.onnx import OnnxBackend
from counterstain.training.checkpoint import Checkpoint, WeightAverage, load_checkpoint, save_checkpoint
from counterstain.training.exporting.export import PARITY_LIMIT, export_run
from counterstain.training.loop import learning_rate, train
from counterstain.training.options import DataOptions, LoopOptions, MixtureOptions
from counterstain.training.recipe import TrainOptions
from counterstain.training.synthesis.render import synthetic_field
from counterstain.training.validate import validate


def options_for(root: Path, folder: Path, steps: int) -> TrainOptions:
    data = DataOptions(
        root=str(root),
        cache=str(folder / "cache"),
        patches=8,
        validation_patches=2,
        patch_px=64,
        hold_out_every=4,
        workers=1,
        train_fields=("slide1-*.jpg",),
        mixture=MixtureOptions(tissue=1, drawn=0, fluorescence=0, polygons=0, strips=0),
        validation_fields=("slide3-*.jpg",),
    )
    loop = LoopOptions(
        steps=steps,
        batch=4,
        warmup_steps=2,
        precision="32-true",
        validate_every=100,
        checkpoint_every=5,
        log_every=1,
        ema_decay=0.5,
    )
    return TrainOptions(name="tiny", folder=str(folder), data=data, loop=loop)


@pytest.fixture
def finished(image_root: Path, tmp_path: Path) -> Path:
    return train(options_for(image_root, tmp_path, 4), lambda line: None)


def test_the_rate_warms_up_and_ends_at_zero() -> None:
    options = LoopOptions(steps=100, warmup_steps=10, learning_rate=1.0)
    assert learning_rate(0, 0.0, options) == pytest.approx(0.1)
    assert learning_rate(50, 0.5, options) == pytest.approx(0.5)
    assert learning_rate(100, 1.0, options) == pytest.approx(0.0)


@pytest.mark.slow
def test_the_loss_falls_and_every_number_is_logged(image_root: Path, tmp_path: Path) -> None:
    folder = train(options_for(image_root, tmp_path, 30), lambda line: None)
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    losses = [float(value) for _, part, name, value in rows if (part, name) == ("train", "loss")]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert {"field", "rendered", "train"} == {part for _, part, _, _ in rows}
    assert {"hematoxylin", "dapi", "lap2", "marker", "distance", "dice", "cross_entropy"} <= {name for _, _, name, _ in rows}


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(image_root: Path, tmp_path: Path) -> None:
    whole = train(options_for(image_root, tmp_path / "whole", 10), lambda line: None)
    options = options_for(image_root, tmp_path / "parts", 10)

    class StopError(Exception):
        pass

    def stop_after_step_7(line: str) -> None:
        if line.startswith("step 7"):
            raise StopError

    with pytest.raises(StopError):
        train(options, stop_after_step_7)
    resumed = train(options, lambda line: None)
    expected, found = load_checkpoint(whole / "last.pt"), load_checkpoint(resumed / "last.pt")
    for name, tensor in expected.model.items():
        assert torch.equal(tensor, found.model[name]), name
    for name, tensor in expected.average.items():
        assert torch.equal(tensor, found.average[name]), name


def test_a_run_of_the_same_name_with_other_options_is_refused(image_root: Path, tmp_path: Path, finished: Path) -> None:
    options = options_for(image_root, tmp_path, 4)
    with pytest.raises(TrainingError, match="other options"):
        train(replace(options, loop=replace(options.loop, seed=9)), lambda line: None)


def test_an_exported_run_gives_the_numbers_of_pytorch(finished: Path, tmp_path: Path) -> None:
    difference = export_run(
        finished / "best.pt", tmp_path / "bundle", name="tiny", version="1", files={"MODEL_CARD.md": b"# Tiny"}
    )
    assert difference < PARITY_LIMIT
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.manifest.name == "tiny"
    assert b"export.py" not in (tmp_path / "bundle" / "model.onnx").read_bytes()  # no trace of the machine that exported it
    image = np.random.default_rng(0).random((2, 3, 64, 96), dtype=np.float32)
    outputs = OnnxBackend(bundle, threads=1).run(image)
    assert outputs["segmentation"].shape == (2, 3, 64, 96)
    assert outputs["distance"].shape == (2, 1, 64, 96)


def test_a_damaged_checkpoint_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match=r"last\.pt is not a readable checkpoint"):
        load_checkpoint(path)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"format_version": 1, "model": Path("x")}, path)  # any object but tensors and plain values stands for one
    with pytest.raises(TrainingError, match="not a readable checkpoint"):
        load_checkpoint(path)


def test_a_checkpoint_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    state = {"weight": torch.arange(3.0)}
    saved = Checkpoint(
        step=7,
        model=state,
        average=state,
        others={"discriminators": state},
        optimizers={"model": {"state": {}, "param_groups": []}},
        best_score=0.5,
        stale=2,
    )
    save_checkpoint(saved, tmp_path / "last.pt")
    loaded = load_checkpoint(tmp_path / "last.pt")
    assert (loaded.step, loaded.best_score, loaded.stale) == (7, 0.5, 2)
    assert torch.equal(loaded.model["weight"], state["weight"])
    assert not list(tmp_path.glob("*.partial"))


def test_the_average_follows_weights_and_running_statistics_and_copies_whole_numbers() -> None:
    model = torch.nn.BatchNorm1d(1)
    average = WeightAverage(model, decay=0.9)
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.running_mean.fill_(1.0)
        model.num_batches_tracked.fill_(5)
    average.update(model, step=1000)
    assert average.state["weight"].item() == pytest.approx(0.9 * 1 + 0.1 * 2)
    assert average.state["running_mean"].item() == pytest.approx(0.1 * 1)
    assert average.state["num_batches_tracked"].item() == 5


def test_a_perfect_answer_scores_one_and_an_empty_one_scores_zero() -> None:
    sample = synthetic_field(12, 128)

    def perfect(image: torch.Tensor) -> dict[str, torch.Tensor]:
        planes = np.stack([sample.classes == 2, sample.classes == 3, sample.classes == 1]).astype(np.float32)
        return {
            "segmentation": torch.from_numpy(planes)[None],
            "distance": torch.from_numpy(sample.distance.astype(np.float32) / 255)[None, None],
        }

    def nothing(image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"segmentation": torch.zeros(1, 3, 128, 128), "distance": torch.zeros(1, 1, 128, 128)}

    decoder = Watershed(mpp=0.25, min_area_um2=0)  # the truth holds small nuclei too
    scores = validate(perfect, [sample], decoder)
    assert scores.dice_negative > 0.97
    assert scores.f1_any > 0.9
    assert scores.fraction_error < 5
    assert validate(nothing, [sample], decoder).f1_any == 0
