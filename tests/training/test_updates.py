"""One update of the loop, by hand, on a task of one weight."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training.fake_task import OneWeight

from counterstain.errors import TrainingError
from counterstain.training import loop as loop_module
from counterstain.training.checkpoint import load_checkpoint, save_checkpoint
from counterstain.training.loop import train
from counterstain.training.options import LoopOptions
from counterstain.training.recipe import TrainOptions

LOOP = LoopOptions(steps=1, warmup_steps=0, learning_rate=0.1, precision="32-true", ema_decay=0.5, gradient_clip=0.0)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that trains one weight, which starts at 1, and gives its value, its average and the folder."""

    def learn(task: OneWeight, loop: LoopOptions = LOOP):
        monkeypatch.setattr(loop_module, "build_task", lambda options, report: task)
        folder = train(TrainOptions(name="one", folder=str(tmp_path), loop=loop), lambda line: None)
        last = load_checkpoint(folder / "last.pt")
        return last.model["weight"].item(), last.average["weight"].item(), folder

    return learn


def test_the_sum_of_the_terms_is_lowered(run) -> None:
    assert run(OneWeight(slope=2.0, terms=3))[0] == pytest.approx(1 - 0.1 * 2 * 3)


def test_gradients_are_clipped_to_their_largest_norm(run) -> None:
    assert run(OneWeight(slope=50.0), replace(LOOP, gradient_clip=0.5))[0] == pytest.approx(1 - 0.1 * 0.5)


def test_small_gradients_are_not_clipped(run) -> None:
    assert run(OneWeight(slope=0.25), replace(LOOP, gradient_clip=0.5))[0] == pytest.approx(1 - 0.1 * 0.25)


def test_the_rate_follows_the_schedule(run) -> None:
    # four steps at progress 0, 1/4, 1/2, 3/4: the linear rate is 1, 1, 1 and 1/2 of its peak
    weight, _, _ = run(OneWeight(slope=1.0), replace(LOOP, steps=4, schedule="linear"))
    assert weight == pytest.approx(1 - 0.1 * 3.5)


def test_the_average_lags_behind(run) -> None:
    weight, average, _ = run(OneWeight(slope=1.0))
    assert average == pytest.approx(1 + (weight - 1) * 0.9)  # the first decay is (1 + 0) / (10 + 0)


def test_mixed_precision_keeps_weights_in_full(run) -> None:
    weight, _, folder = run(OneWeight(slope=1.0), replace(LOOP, precision="bf16-mixed"))
    assert weight == pytest.approx(0.9)
    assert load_checkpoint(folder / "last.pt").model["weight"].dtype == torch.float32


@pytest.mark.parametrize("slope", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_run_and_says_what_to_try(run, slope: float) -> None:
    with pytest.raises(TrainingError, match=r"after step 0; lower loop\.learning_rate"):
        run(OneWeight(slope=slope))


def test_numbers_and_pictures_are_in_tensorboard(run) -> None:
    _, _, folder = run(OneWeight(slope=2.0))
    tags = EventAccumulator(str(folder)).Reload().Tags()
    assert set(tags["scalars"]) == {"train/term 0", "train/loss"}
    assert tags["images"] == ["inferred"]


def test_without_validation_the_latest_checkpoint_is_the_best(run) -> None:
    _, _, folder = run(OneWeight(slope=0.1), replace(LOOP, steps=3, validate_every=2))
    assert load_checkpoint(folder / "best.pt").step == 3


class MinuteClock:
    """A clock on which a minute passes between two looks; the fixture ``run`` trains on it."""

    def __init__(self) -> None:
        self.minutes = 0

    def __call__(self) -> float:
        self.minutes += 1
        return 60.0 * self.minutes


TIMED = replace(LOOP, steps=100, max_minutes=4.0, schedule="linear", checkpoint_every=1, log_every=1)


@pytest.fixture
def minutes(monkeypatch: pytest.MonkeyPatch) -> MinuteClock:
    clock = MinuteClock()
    monkeypatch.setattr(loop_module, "time", SimpleNamespace(monotonic=clock))
    return clock


def test_a_resumed_run_goes_on_with_the_time_it_had_left(minutes, run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class StopError(Exception):
        pass

    def stop_at_step_3(line: str) -> None:
        if line.startswith("step 3"):
            raise StopError

    monkeypatch.setattr(loop_module, "build_task", lambda options, report: OneWeight(slope=1.0))
    with pytest.raises(StopError):
        train(TrainOptions(name="one", folder=str(tmp_path), loop=TIMED), stop_at_step_3)
    weight, _, folder = run(OneWeight(slope=1.0), TIMED)
    # four steps at progress 1/4, 1/2, 3/4, 1, as in one go: the linear rate is 1, 1, 1/2 and 0 of its peak
    assert load_checkpoint(folder / "last.pt").step == 4
    assert weight == pytest.approx(1 - 0.1 * 2.5)


def test_a_run_whose_time_is_over_is_left_as_it_is(minutes, run) -> None:
    folder = run(OneWeight(slope=1.0), TIMED)[2]
    before = (folder / "last.pt").read_bytes()
    run(OneWeight(slope=1.0), TIMED)
    assert (folder / "last.pt").read_bytes() == before


def test_a_checkpoint_without_minutes_starts_the_clock(tmp_path: Path) -> None:
    content = {"step": 7, "model": {}, "average": {}, "optimizer": {}, "best_score": 0.5, "format_version": 1}
    torch.save(content, tmp_path / "last.pt")
    assert load_checkpoint(tmp_path / "last.pt").minutes == 0


def test_a_run_of_networks_of_another_shape_or_name_is_refused_with_its_path(run) -> None:
    longer = replace(LOOP, steps=2)
    folder = run(OneWeight(slope=1.0))[2]
    (folder / "options.json").unlink()
    wider, renamed = OneWeight(slope=1.0), load_checkpoint(folder / "last.pt")
    wider.networks["model"] = torch.nn.Linear(2, 1, bias=False)
    with pytest.raises(TrainingError, match=r"(?s)last\.pt is of other networks.*size mismatch"):
        run(wider, longer)
    save_checkpoint(replace(renamed, others={"judge": renamed.model}), folder / "last.pt")
    with pytest.raises(TrainingError, match=r"(?s)last\.pt is of other networks.*judge"):
        run(OneWeight(slope=1.0), longer)
