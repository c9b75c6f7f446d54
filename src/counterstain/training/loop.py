"""A training run, read from top to bottom: build the task, open its data, learn, validate, save. The same for every task.

A run lives in one folder: ``options.json``, ``last.pt`` (to go on from), ``best.pt`` (to export), ``metrics.csv`` and
TensorBoard events. Under ``torchrun`` every process runs this function; process 0 alone writes and validates.
"""

import copy
import math
import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from counterstain.cells.decoders.names import decoder_for
from counterstain.errors import TrainingError
from counterstain.geometry import DEFAULT_MPP
from counterstain.training.checkpoint import MODEL, Checkpoint, WeightAverage, load_checkpoint, save_checkpoint
from counterstain.training.log import Log
from counterstain.training.options import LoopOptions
from counterstain.training.recipe import Report, TrainOptions, build_task
from counterstain.training.run_folder import open_run
from counterstain.training.synthesis.render import Sample
from counterstain.training.tasks.base import Task
from counterstain.training.validate import validate

_PICTURED = 4
"""Samples shown in TensorBoard."""


def train(options: TrainOptions, report: Report) -> Path:
    """Train and return the folder of the run; goes on where an earlier run of the same name stopped.

    Parameters
    ----------
    report : receives a line now and then.

    Raises
    ------
    TrainingError
        The images are missing, the run's folder was made with other options, or the loss is not finite.
    """
    loop, fabric = options.loop, _launch(options.loop)
    report = report if fabric.is_global_zero else _silent
    folder = open_run(options, writes=fabric.is_global_zero)
    torch.manual_seed(loop.seed)
    task = build_task(options, report)
    state = _State(task, fabric, loop)
    state.resume(folder / "last.pt")
    if _is_finished(state, loop):
        return folder
    with fabric.rank_zero_first():
        batches = task.batches(state.step, fabric.global_rank)
    validation = task.validation() if fabric.is_global_zero else {}
    started = time.monotonic() - 60 * state.minutes
    with Log(folder, state.step) if fabric.is_global_zero else nullcontext() as log:
        for batch in batches:
            state.minutes = (time.monotonic() - started) / 60
            progress = _progress(state, fabric, loop)
            terms = _update(state, batch.to(fabric.device), learning_rate(state.step, progress, loop), loop)
            step, done = state.step, progress >= 1 or state.step >= loop.steps
            if log and (step % loop.log_every == 0 or done):
                loss = log.write_losses(step, terms)
                report(f"step {step}  loss {loss:.4f}  {state.minutes:.1f} min")
            if step % loop.validate_every == 0 or done:
                score = _validate_average(state, validation, log, report)
                _picture(state, batch, log)
                if state.is_better(fabric.broadcast(score)):
                    state.save(folder / "best.pt")
                done = done or 0 < loop.patience <= state.stale
            if step % loop.checkpoint_every == 0 or done:
                state.save(folder / "last.pt")
            if done:
                return folder
    raise AssertionError("batches never end")


def _launch(loop: LoopOptions) -> Fabric:
    """Join the other processes, where ``torchrun`` started several; networks are wrapped only after that."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    precision: Any = loop.precision
    if processes == 1:
        return Fabric(accelerator="auto", devices=1, precision=precision)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    fabric = Fabric(accelerator="auto", devices=local, num_nodes=processes // local, strategy="ddp", precision=precision)
    fabric.launch()
    return fabric


def _silent(line: str) -> None:
    """Report nothing."""


class _State:
    """What a run changes as it learns, and what a checkpoint holds."""

    def __init__(self, task: Task, fabric: Fabric, loop: LoopOptions) -> None:
        self.task, self.fabric, self.seed = task, fabric, loop.seed
        self.models, self.optimizers = {}, {}
        for name, network in task.networks.items():
            self.models[name], self.optimizers[name] = fabric.setup(network, task.optimizers[name])
        self.average = WeightAverage(task.networks[MODEL], loop.ema_decay)
        self.step, self.minutes, self.best_score, self.stale = 0, 0.0, -math.inf, 0

    def is_better(self, score: float) -> bool:
        """Remember a score, and say whether it is the best so far."""
        better = score > self.best_score
        self.best_score, self.stale = max(score, self.best_score), 0 if better else self.stale + 1
        return better

    def save(self, path: Path) -> None:
        if self.fabric.is_global_zero:
            save_checkpoint(self._checkpoint(), path)

    def _checkpoint(self) -> Checkpoint:
        weights = {name: network.state_dict() for name, network in self.task.networks.items()}
        return Checkpoint(
            step=self.step,
            model=weights.pop(MODEL),
            average=self.average.state,
            others=weights,
            optimizers={name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            best_score=self.best_score,
            stale=self.stale,
            minutes=self.minutes,
        )

    def resume(self, path: Path) -> None:
        """Go back to a checkpoint, where there is one.

        Raises
        ------
        TrainingError
            It is of other networks.
        """
        if not path.exists():
            return
        checkpoint = load_checkpoint(path)
        try:
            self._load_networks(checkpoint)
        except (RuntimeError, KeyError, ValueError) as error:
            raise TrainingError(
                f"{path} is of other networks than this recipe has now, perhaps of another version of counterstain; "
                f"choose another name, or remove the folder: {error}"
            ) from error
        self.step, self.minutes = checkpoint.step, checkpoint.minutes
        self.best_score, self.stale = checkpoint.best_score, checkpoint.stale

    def _load_networks(self, checkpoint: Checkpoint) -> None:
        for name, weights in {MODEL: checkpoint.model, **checkpoint.others}.items():
            self.task.networks[name].load_state_dict(weights)
        for name, saved in checkpoint.optimizers.items():
            self.optimizers[name].load_state_dict(saved)
        self.average.load(checkpoint.average)


def _is_finished(state: _State, options: LoopOptions) -> bool:
    """Return whether a run ended: by steps, by time, or because its score stayed as it was."""
    by_time = 0 < options.max_minutes <= state.minutes
    return state.step >= options.steps or by_time or 0 < options.patience <= state.stale


def _update(state: _State, batch: Any, rate: float, loop: LoopOptions) -> dict[str, Tensor]:
    """Let every network learn from one batch, one after the other, and return the terms of all losses.

    Dropout and the like draw numbers that depend on the seed, the step and the process alone.
    """
    fabric, report = state.fabric, dict[str, Tensor]()
    torch.manual_seed(int(np.random.SeedSequence([state.seed, state.step, fabric.global_rank]).generate_state(1)[0]))
    steps = state.task.steps(state.models, batch)
    while True:
        with fabric.autocast():
            name, terms = next(steps, ("", {}))
        if not name:
            break
        _learn(state, name, terms, rate, loop.gradient_clip)
        report |= {term: value.detach() for term, value in terms.items()}
    _share_buffers(state)
    state.average.update(state.task.networks[MODEL], state.step)
    state.step += 1
    return report


def _learn(state: _State, name: str, terms: dict[str, Tensor], rate: float, clip: float) -> None:
    """Lower the sum of the terms by one step of one network's optimizer.

    Raises
    ------
    TrainingError
        The loss is not finite.
    """
    optimizer, loss = state.optimizers[name], torch.stack(list(terms.values())).sum()
    if not bool(torch.isfinite(loss)):
        raise TrainingError(
            f"the loss is {loss.item()} after step {state.step}; lower loop.learning_rate, or use precision 32-true"
        )
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    state.fabric.backward(loss)
    if clip:
        state.fabric.clip_gradients(state.models[name], optimizer, max_norm=clip)
    optimizer.step()


def _share_buffers(state: _State) -> None:
    """Give running statistics the same value, their mean, in every process."""
    if state.fabric.world_size == 1:
        return
    for network in state.task.networks.values():
        for buffer in network.buffers():
            if buffer.dtype.is_floating_point:
                torch.distributed.all_reduce(buffer)
                buffer /= state.fabric.world_size


def learning_rate(step: int, progress: float, options: LoopOptions) -> float:
    """Return the rate of a step: linear warm-up, then half a cosine to zero, or constant and from the middle a line to zero.

    Parameters
    ----------
    progress : 0 at the start of the run, 1 at its end.
    """
    warm, left = min(1.0, (step + 1) / max(1, options.warmup_steps)), 1 - min(1.0, progress)
    decay = 0.5 * (1 + math.cos(math.pi * (1 - left))) if options.schedule == "cosine" else min(1.0, 2 * left)
    return options.learning_rate * warm * decay


def _progress(state: _State, fabric: Fabric, options: LoopOptions) -> float:
    """Return the share of the run that is done, by steps or by time; the same in every process."""
    by_steps = state.step / options.steps
    if options.max_minutes <= 0:
        return by_steps
    return float(fabric.broadcast(max(by_steps, state.minutes / options.max_minutes)))


def _validate_average(state: _State, sets: dict[str, list[Sample]], log: Log | None, report: Report) -> float:
    """Validate the averaged weights and return what the best checkpoint is chosen by: the mean total over the sets.

    Without sets the latest checkpoint is the best one, and the score is the number of steps.
    """
    if not sets or log is None:
        return float(state.step)
    network, device = _averaged(state), state.fabric.device
    infer, exported = state.task.infer(network), state.task.exported(network)
    decoder, totals = decoder_for(exported.decoder, exported.panel, DEFAULT_MPP), []
    for name, samples in sets.items():
        scores = validate(lambda image: infer(image.to(device)), samples, decoder).as_dict()
        log.write(state.step, name, scores)
        report(f"step {state.step}  {name}: " + "  ".join(f"{key} {value:.3f}" for key, value in scores.items()))
        totals.append(scores["total"])
    return sum(totals) / len(totals)


@torch.no_grad()
def _picture(state: _State, batch: Any, log: Log | None) -> None:
    """Show what the averaged weights infer for the first images of a batch."""
    if log is None:
        return
    image = state.task.example(batch)[:_PICTURED]
    log.write_pictures(state.step, image[:, :3], state.task.infer(_averaged(state))(image.to(state.fabric.device)))


def _averaged(state: _State) -> torch.nn.Module:
    """Return a copy of the model with the averaged weights, in evaluation mode."""
    network = copy.deepcopy(state.task.networks[MODEL])
    network.load_state_dict(state.average.state)
    return network.eval()
