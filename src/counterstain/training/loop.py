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
from counterstain.training.datasets.batches import batches
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
    folder = _open_run(options)
    torch.manual_seed(options.loop.seed)
    fabric = Fabric(accelerator="auto", devices=1, precision=options.loop.precision)  # type: ignore[arg-type]
    network = CompactNetwork(DEFAULT_PANEL).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.loop.learning_rate, weight_decay=options.loop.weight_decay)
    average = WeightAverage(network, options.loop.ema_decay)
    step, best = _resume(folder, network, optimizer, average)
    model, optimizer = fabric.setup(network, optimizer)

    report("opening training patches (the first time they are rendered, which takes minutes)")
    cache = open_cache(options.data, options.loop.seed)
    validation = {"field": field_set(options.data), "rendered": rendered_set(options.data, options.loop.seed)}
    log = _Log(folder)
    started = time.monotonic()
    for batch in batches(cache, options.augment, options.loop, start=step):
        progress = _progress(step, time.monotonic() - started, options.loop)
        rate = learning_rate(step, progress, options.loop)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = batch.to(fabric.device)
        terms = loss_terms(model((batch.image - 0.5) / 0.5), batch, options.losses)
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        fabric.backward(loss)
        fabric.clip_gradients(model, optimizer, max_norm=options.loop.gradient_clip)
        optimizer.step()
        average.update(network, step)
        step += 1

        done = progress >= 1 or step >= options.loop.steps
        if step % options.loop.log_every == 0 or done:
            _refuse_not_finite(loss, step)
            values = {name: float(term.detach()) for name, term in terms.items()} | {"loss": float(loss.detach()), "rate": rate}
            log.write(step, "train", values)
            report(f"step {step}  loss {values['loss']:.4f}  {(time.monotonic() - started) / 60:.1f} min")
        if step % options.loop.validate_every == 0 or done:
            score = _validate_average(network, average, validation, (log, step, report))
            if score > best:
                best = score
                _save(folder / "best.pt", step, (network, average, optimizer), best)
        if step % options.loop.checkpoint_every == 0 or done:
            _save(folder / "last.pt", step, (network, average, optimizer), best)
        if done:
            break
    log.close()
    return folder


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


def _resume(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage) -> tuple[int, float]:
    path = folder / "last.pt"
    if not path.exists():
        return 0, -math.inf
    checkpoint = load_checkpoint(path)
    network.load_state_dict(checkpoint.model)
    optimizer.load_state_dict(checkpoint.optimizer)
    average.state = checkpoint.average
    return checkpoint.step, checkpoint.best_score


def _save(path: Path, step: int, parts: tuple[nn.Module, WeightAverage, torch.optim.Optimizer], best: float) -> None:
    network, average, optimizer = parts
    checkpoint = Checkpoint(
        step=step,
        model=network.state_dict(),
        average=average.state,
        optimizer=optimizer.state_dict(),
        best_score=best,
    )
    save_checkpoint(checkpoint, path)


def _progress(step: int, seconds: float, options: LoopOptions) -> float:
    by_time = seconds / 60 / options.max_minutes if options.max_minutes > 0 else 0.0
    return max(step / options.steps, by_time)


def _refuse_not_finite(loss: Tensor, step: int) -> None:
    if not bool(torch.isfinite(loss)):
        raise TrainingError(
            f"the loss is {float(loss.detach())} at step {step}; lower loop.learning_rate, or use precision 32-true"
        )


def _validate_average(
    network: nn.Module, average: WeightAverage, sets: dict[str, list[Sample]], log: "tuple[_Log, int, Report]"
) -> float:
    """Validate the averaged weights and return what the best checkpoint is chosen by: the mean total over the sets."""
    writer, step, report = log
    current = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(average.state)
    network.eval()
    totals = []
    for name, samples in sets.items():
        scores = validate(segment_with(network), samples).as_dict()
        writer.write(step, name, scores)
        report(f"step {step}  {name}: " + "  ".join(f"{key} {value:.3f}" for key, value in scores.items()))
        totals.append(scores["total"])
    network.load_state_dict(current)
    network.train()
    return sum(totals) / len(totals)


class _Log:
    """Write numbers to ``metrics.csv`` and to TensorBoard."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "metrics.csv").open("a", newline="")
        self._rows = csv.writer(self._file)
        self._board = SummaryWriter(str(folder))

    def write(self, step: int, part: str, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._rows.writerow([step, part, name, f"{value:.6g}"])
            self._board.add_scalar(f"{part}/{name}", value, step)
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        self._board.close()
