"""A training run, read from top to bottom: open the data, build the network, learn, validate, save.

A run lives in one folder: ``options.json``, ``last.pt`` (to go on from), ``best.pt`` (to export), ``metrics.csv`` and
TensorBoard events.
"""

import csv
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from counterstain.errors import TrainingError
from counterstain.panel import DEFAULT_PANEL
from counterstain.training.checkpoint import Checkpoint, WeightAverage, load_checkpoint, save_checkpoint
from counterstain.training.datasets.batches import Batch, batches
from counterstain.training.datasets.cache import open_cache
from counterstain.training.losses.total import loss_terms
from counterstain.training.networks.compact import CompactNetwork
from counterstain.training.options import LoopOptions, TrainOptions
from counterstain.training.synthesis.render import Sample
from counterstain.training.validate import field_set, rendered_set, validate

Report = Callable[[str], None]


def train(options: TrainOptions, report: Report) -> Path:
    """Train the compact network and return the folder of the run; goes on where an earlier run of the same name stopped.

    Parameters
    ----------
    report : receives a line now and then.

    Raises
    ------
    TrainingError
        The images are missing, the run's folder was made with other options, or the loss is not finite.
    """
    loop, folder = options.loop, _open_run(options)
    state = _State(loop)
    state.resume(folder / "last.pt")
    report("opening training patches (the first time they are rendered, which takes minutes)")
    cache = open_cache(options.data, loop.seed)
    validation = {"field": field_set(options.data), "rendered": rendered_set(options.data, loop.seed)}
    started = time.monotonic()
    with _Log(folder) as log:
        for batch in batches(cache, options.augment, loop, start=state.step):
            minutes = (time.monotonic() - started) / 60
            progress = _progress(state.step, minutes, loop)
            terms = _update(state, batch, learning_rate(state.step, progress, loop), options)
            step, done = state.step, progress >= 1 or state.step >= loop.steps
            if step % loop.log_every == 0 or done:
                loss = log.write_losses(step, terms)
                report(f"step {step}  loss {loss:.4f}  {minutes:.1f} min")
            if step % loop.validate_every == 0 or done:
                score = _validate_average(state, validation, log, report)
                if score > state.best_score:
                    state.best_score = score
                    state.save(folder / "best.pt")
            if step % loop.checkpoint_every == 0 or done:
                state.save(folder / "last.pt")
            if done:
                return folder
    raise AssertionError("batches never end")


class _State:
    """What a run changes as it learns, and what a checkpoint holds."""

    def __init__(self, loop: LoopOptions) -> None:
        torch.manual_seed(loop.seed)
        self.fabric = Fabric(accelerator="auto", devices=1, precision=loop.precision)  # type: ignore[arg-type]
        self.network = CompactNetwork(DEFAULT_PANEL).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=loop.learning_rate, weight_decay=loop.weight_decay)
        self.model, self.optimizer = self.fabric.setup(self.network, optimizer)
        self.average = WeightAverage(self.network, loop.ema_decay)
        self.step, self.best_score = 0, -math.inf

    def save(self, path: Path) -> None:
        save_checkpoint(
            Checkpoint(
                step=self.step,
                model=self.network.state_dict(),
                average=self.average.state,
                optimizer=self.optimizer.state_dict(),
                best_score=self.best_score,
            ),
            path,
        )

    def resume(self, path: Path) -> None:
        """Go back to a checkpoint, where there is one."""
        if not path.exists():
            return
        checkpoint = load_checkpoint(path)
        self.network.load_state_dict(checkpoint.model)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.average.load(checkpoint.average)
        self.step, self.best_score = checkpoint.step, checkpoint.best_score


def _update(state: _State, batch: Batch, rate: float, options: TrainOptions) -> dict[str, Tensor]:
    """Learn from one batch and return the terms of the loss.

    Raises
    ------
    TrainingError
        The loss is not finite.
    """
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    batch = batch.to(state.fabric.device)
    terms = loss_terms(state.model((batch.image - 0.5) / 0.5), batch, options.losses)
    loss = torch.stack(list(terms.values())).sum()
    if not bool(torch.isfinite(loss)):
        raise TrainingError(
            f"the loss is {float(loss)} after step {state.step}; lower loop.learning_rate, or use precision 32-true"
        )
    state.optimizer.zero_grad()
    state.fabric.backward(loss)
    state.fabric.clip_gradients(state.model, state.optimizer, max_norm=options.loop.gradient_clip)
    state.optimizer.step()
    state.average.update(state.network, state.step)
    state.step += 1
    return {name: term.detach() for name, term in terms.items()}


def learning_rate(step: int, progress: float, options: LoopOptions) -> float:
    """Return the rate of a step: linear warm-up, then half a cosine to zero."""
    warm = min(1.0, (step + 1) / max(1, options.warmup_steps))
    return options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def segment_with(network: nn.Module) -> Callable[[Tensor], dict[str, Tensor]]:
    """Return a function from RGB in [0, 1] to the maps that a bundle gives: modalities, ``segmentation`` and ``distance``."""

    def infer(image: Tensor) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = network((image - 0.5) / 0.5)
        shares = torch.softmax(outputs.pop("class_logits"), dim=1)
        return outputs | {"segmentation": torch.stack([shares[:, 2], shares[:, 3], shares[:, 1]], dim=1)}

    return infer


def _open_run(options: TrainOptions) -> Path:
    folder = Path(options.folder) / options.name
    folder.mkdir(parents=True, exist_ok=True)
    wanted, path = json.dumps(asdict(options), indent=2), folder / "options.json"
    if path.exists() and path.read_text() != wanted:
        raise TrainingError(f"{folder} holds a run with other options ({path}); choose another name, or remove the folder")
    path.write_text(wanted)
    return folder


def _progress(step: int, minutes: float, options: LoopOptions) -> float:
    by_time = minutes / options.max_minutes if options.max_minutes > 0 else 0.0
    return max(step / options.steps, by_time)


def _validate_average(state: _State, sets: dict[str, list[Sample]], log: "_Log", report: Report) -> float:
    """Validate the averaged weights and return what the best checkpoint is chosen by: the mean total over the sets."""
    network, device = CompactNetwork(DEFAULT_PANEL), state.fabric.device
    network.load_state_dict(state.average.state)
    infer = segment_with(network.to(device).eval())
    totals = []
    for name, samples in sets.items():
        scores = validate(lambda image: infer(image.to(device)), samples).as_dict()
        log.write(state.step, name, scores)
        report(f"step {state.step}  {name}: " + "  ".join(f"{key} {value:.3f}" for key, value in scores.items()))
        totals.append(scores["total"])
    return sum(totals) / len(totals)


class _Log:
    """Write numbers to ``metrics.csv`` and to TensorBoard."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "metrics.csv").open("a", newline="")
        self._rows = csv.writer(self._file)
        self._board = SummaryWriter(str(folder))

    def __enter__(self) -> "_Log":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()
        self._board.close()

    def write(self, step: int, part: str, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._rows.writerow([step, part, name, f"{value:.6g}"])
            self._board.add_scalar(f"{part}/{name}", value, step)
        self._file.flush()

    def write_losses(self, step: int, terms: dict[str, Tensor]) -> float:
        """Write every term and return their sum."""
        values = {name: float(term) for name, term in terms.items()}
        loss = sum(values.values())
        self.write(step, "train", values | {"loss": loss})
        return loss
