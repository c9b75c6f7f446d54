"""Runs that stop and go on: killed while writing, resumed, from older files, in several processes."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from counterstain.errors import TrainingError
from counterstain.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from counterstain.training.log import Log, picture_grid
from counterstain.training.loop import learning_rate, train
from counterstain.training.losses.objective import ObjectiveOptions
from counterstain.training.networks.deepliif import DeepLIIFOptions
from counterstain.training.networks.layers import GeneratorOptions
from counterstain.training.options import LoopOptions, PairedOptions
from counterstain.training.recipe import TrainOptions
from counterstain.training.tasks.adversarial import DiscriminatorOptions
from counterstain.training.tasks.deepliif import DeepLIIFTaskOptions

SIDE = 32


def silent(line: str) -> None:
    pass


@pytest.fixture
def strips(tmp_path: Path) -> Path:
    """Return a manifest of two strips of noise, one to train on and one to validate on."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 256, (SIDE, 6 * SIDE, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "sets.csv").write_text("patient,split,strip\n1,train,a.png\n2,validation,b.png\n")
    return tmp_path / "sets.csv"


def recipe(manifest: Path, folder: Path, steps: int = 6) -> TrainOptions:
    """Describe the smallest DeepLIIF with dropout, saved every two steps."""
    return TrainOptions(
        name="tiny",
        folder=str(folder),
        task="deepliif",
        paired=PairedOptions(manifest=str(manifest), crop_px=SIDE),
        deepliif=DeepLIIFTaskOptions(
            modalities=("dapi",),
            network=DeepLIIFOptions(translator="resnet_1blocks", segmenter="unet_32", generator=GeneratorOptions(width=2)),
            discriminator=DiscriminatorOptions(layers=1, width=2),
            objective=ObjectiveOptions(smooth_l1=100.0),
        ),
        loop=LoopOptions(
            steps=steps, batch=1, warmup_steps=0, precision="32-true", checkpoint_every=2, validate_every=100, log_every=1
        ),
    )


def assert_same(found: Checkpoint, expected: Checkpoint) -> None:
    assert found.step == expected.step
    pairs = [("model", found.model, expected.model), ("average", found.average, expected.average)]
    pairs += [(name, found.others[name], expected.others[name]) for name in expected.others]
    for part, a, b in pairs:
        for name, tensor in b.items():
            assert torch.equal(a[name], tensor), f"{part}: {name}"
    for name, optimizer in expected.optimizers.items():
        for index, moments in optimizer["state"].items():
            for key, value in moments.items():
                assert torch.equal(found.optimizers[name]["state"][index][key], value), f"{name} {index} {key}"


KILLED = """
import os, signal, sys
import torch
from counterstain.options import load_options
from counterstain.training.loop import train
from counterstain.training.recipe import TrainOptions
import json

whole, written = torch.save, []

def save_half_the_third_time(content, file):
    written.append(1)
    if len(written) < 3:
        return whole(content, file)
    file.write(b"half of a checkpoint")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

torch.save = save_half_the_third_time
torch.set_num_threads(1)
train(load_options(TrainOptions, None, json.loads(sys.argv[1])), lambda line: None)
"""


def test_a_run_killed_while_it_writes_loses_one_interval_and_leaves_no_broken_file(strips: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    whole = train(recipe(strips, tmp_path / "whole", steps=8), silent)
    options = recipe(strips, tmp_path / "killed", steps=8)
    text = (whole / "options.json").read_text().replace(str(tmp_path / "whole"), str(tmp_path / "killed"))
    done = subprocess.run([sys.executable, "-c", KILLED, text], check=False, timeout=120, capture_output=True)
    assert done.returncode == -9, done.stderr
    run = tmp_path / "killed" / "tiny"
    assert (run / "last.partial").read_bytes() == b"half of a checkpoint"
    assert load_checkpoint(run / "last.pt").step == 4  # killed while writing that of step 6, the third
    assert_same(load_checkpoint(train(options, silent) / "last.pt"), load_checkpoint(whole / "last.pt"))
    assert load_checkpoint(run / "last.pt").step == 8


def test_a_finished_run_is_left_as_it_is(strips: Path, tmp_path: Path) -> None:
    options = recipe(strips, tmp_path, steps=2)
    last = train(options, silent) / "last.pt"
    before = last.read_bytes()
    train(options, silent)
    assert last.read_bytes() == before


def test_a_resumed_run_logs_every_step_once(strips: Path, tmp_path: Path) -> None:
    train(recipe(strips, tmp_path, steps=4), silent)
    run = tmp_path / "tiny"
    with (run / "metrics.csv").open("a") as file:
        file.write("5,train,loss,1\n6,train,lo")  # what a killed run wrote after its last checkpoint, and half a line
    (run / "options.json").unlink()
    train(recipe(strips, tmp_path), silent)
    with (run / "metrics.csv").open(newline="") as file:
        steps = [int(row[0]) for row in csv.reader(file) if row[2] == "loss"]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_checkpoint_of_version_1_is_read(tmp_path: Path) -> None:
    weights, optimizer = {"weight": torch.arange(3.0)}, {"state": {}, "param_groups": []}
    old = {"step": 7, "model": weights, "average": weights, "optimizer": optimizer, "best_score": 0.5, "format_version": 1}
    torch.save(old, tmp_path / "best.pt")
    loaded = load_checkpoint(tmp_path / "best.pt")
    assert torch.equal(loaded.average["weight"], weights["weight"])
    assert (loaded.step, loaded.best_score, loaded.optimizers) == (7, 0.5, {"model": optimizer})


def test_options_of_an_older_run_are_completed_with_the_defaults(strips: Path, tmp_path: Path) -> None:
    options = recipe(strips, tmp_path, steps=2)
    path = train(options, silent) / "options.json"
    path.write_text(path.read_text().replace('"patience": 0,\n', ""))
    assert "patience" not in path.read_text()
    assert train(replace(options), silent) == path.parent


def test_a_half_written_file_is_never_under_the_final_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"weight": torch.zeros(2)}
    first = Checkpoint(step=1, model=state, average=state, others={}, optimizers={}, best_score=0.0, stale=0)
    save_checkpoint(first, tmp_path / "last.pt")

    def no_rename(self: Path, target: Path) -> None:
        raise OSError("the power went")

    monkeypatch.setattr(Path, "replace", no_rename)
    with pytest.raises(TrainingError, match="the power went"):
        save_checkpoint(replace(first, step=2), tmp_path / "last.pt")
    assert load_checkpoint(tmp_path / "last.pt").step == 1


def test_training_stops_early_when_validation_stays_as_it_is(strips: Path, tmp_path: Path) -> None:
    options = recipe(strips, tmp_path, steps=50)
    # so small a rate changes no weight, so the first validation stays the best
    still = replace(options.loop, learning_rate=1e-30, validate_every=1, patience=3)
    folder = train(replace(options, loop=still), silent)
    assert load_checkpoint(folder / "last.pt").step == 4
    assert load_checkpoint(folder / "last.pt").stale == 3
    assert load_checkpoint(folder / "best.pt").step == 1
    train(replace(options, loop=still), silent)
    assert load_checkpoint(folder / "last.pt").step == 4


def test_the_linear_schedule_is_constant_up_to_the_middle_and_then_a_line_to_zero() -> None:
    options = LoopOptions(warmup_steps=0, learning_rate=1.0, schedule="linear")
    assert [learning_rate(0, progress, options) for progress in (0.0, 0.5, 0.75, 1.0)] == [1.0, 1.0, 0.5, 0.0]


def test_pictures_are_rows_of_samples_with_the_input_on_the_left() -> None:
    grid = picture_grid({"image": torch.zeros(2, 3, 8, 8), "dapi": torch.ones(2, 1, 8, 8)})
    assert grid.shape == (3, 16, 16)
    assert grid[:, :, :8].max() == 0
    assert grid[:, :, 8:].min() == 1


def test_rows_after_the_step_to_go_on_from_are_dropped(tmp_path: Path) -> None:
    with Log(tmp_path, 0) as log:
        for step in (1, 2, 3):
            log.write(step, "train", {"loss": 1.0})
    with Log(tmp_path, 2) as log:
        log.write(3, "train", {"loss": 2.0})
    assert (tmp_path / "metrics.csv").read_text().split() == ["1,train,loss,1", "2,train,loss,1", "3,train,loss,2"]


RANKS = """
import json, sys
from pathlib import Path
import torch
from counterstain.options import load_options
from counterstain.training import loop
from counterstain.training.recipe import TrainOptions

class Watched(loop._State):
    def save(self, path):
        super().save(path)
        weights = {}
        for name, network in self.task.networks.items():
            weights |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
        torch.save(weights, f"{sys.argv[2]}/rank{self.fabric.global_rank}.pt")

loop._State = Watched
torch.set_num_threads(1)
loop.train(load_options(TrainOptions, None, json.loads(sys.argv[1])), lambda line: None)
"""


@pytest.mark.slow
@pytest.mark.parametrize("task", ["deepliif", "compact"])
def test_two_processes_learn_from_other_images_and_stay_equal(strips: Path, tmp_path: Path, task: str) -> None:
    alone = recipe(strips, tmp_path / "alone", steps=2)
    batch = 2 if task == "compact" else 1  # one image of 32 px is a single value at the bottom of the compact network
    alone = replace(alone, task=task, loop=replace(alone.loop, batch=batch))
    single = train(alone, silent)
    text = (single / "options.json").read_text().replace(str(tmp_path / "alone"), str(tmp_path / "both"))
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
        text,
        str(tmp_path),
    ]
    done = subprocess.run(command, check=False, timeout=240, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    both = load_checkpoint(tmp_path / "both" / "tiny" / "last.pt").model
    differs = [
        name for name, tensor in load_checkpoint(single / "last.pt").model.items() if not torch.equal(tensor, both[name])
    ]
    assert differs  # the second process had a say
