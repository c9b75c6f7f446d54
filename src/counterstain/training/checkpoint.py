"""Save and load the state of a run. A file is complete or absent, and loading one executes nothing."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from counterstain.errors import TrainingError

FORMAT_VERSION = 2
"""Version 1 knew one network and one optimizer; it is still read."""

MODEL = "model"
"""Name of the network that is averaged, validated and exported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything needed to go on as if nothing had happened; random numbers follow from the step."""

    step: int
    model: dict[str, Tensor]
    """Weights of the network that is exported."""
    average: dict[str, Tensor]
    """Their moving average."""
    others: dict[str, dict[str, Tensor]]
    """Weights of networks that only help to train, by name."""
    optimizers: dict[str, dict[str, Any]]
    """State of the optimizer of each network, by the network's name."""
    best_score: float
    stale: int
    """Validations since the best one."""
    minutes: float = 0.0
    """Time spent so far; 0 in files written before it was kept."""


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write to a temporary name, force it to disk, then rename; a file of that name is whole at every moment.

    Raises
    ------
    TrainingError
        It cannot be written.
    """
    temporary = path.with_suffix(".partial")
    content = {name: getattr(checkpoint, name) for name in Checkpoint.__slots__} | {"format_version": FORMAT_VERSION}
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TrainingError(f"cannot save {path}: {error.strerror or error}; the one before it is whole") from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; only tensors and plain values are accepted.

    Raises
    ------
    TrainingError
        The file is missing, damaged, of another version, or holds anything but tensors and plain values.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(f"{path} is not a readable checkpoint: {error}") from error
    version = content.pop("format_version", None) if isinstance(content, dict) else None
    if version == 1:
        content |= {"others": {}, "optimizers": {MODEL: content.pop("optimizer", None)}, "stale": 0}
    elif version != FORMAT_VERSION:
        raise TrainingError(f"{path}: expected checkpoint format 1 to {FORMAT_VERSION}, found {str(version)[:80]}")
    content.setdefault("minutes", 0.0)
    faults = list(_faults(content))
    if faults:
        raise TrainingError("\n  ".join([f"{path} is not a checkpoint of a training run:", *faults]))
    return Checkpoint(**content)


def _faults(content: dict[str, Any]) -> Iterator[str]:
    """Yield the parts of a checkpoint that are missing, unknown or of the wrong type."""
    known = set(Checkpoint.__slots__)
    if set(content) != known:
        missing, unknown = (sorted(str(name)[:80] for name in names) for names in (known - set(content), set(content) - known))
        yield f"missing: {', '.join(missing) or 'nothing'}; unknown: {', '.join(unknown) or 'nothing'}"
        return
    for name, least in {"step": 0, "stale": 0, "minutes": 0.0, "best_score": -math.inf}.items():
        value = content[name]
        if isinstance(value, bool) or not isinstance(value, int | type(least)) or not value >= least:
            yield f"{name}: expected a number from {least}, got {str(value)[:80]}"
    for name in ("model", "average"):
        if not _is_state(content[name]):
            yield f"{name}: expected weights by name"
    if not isinstance(content["others"], dict) or not all(map(_is_state, content["others"].values())):
        yield "others: expected the weights of networks by name"
    optimizers = content["optimizers"]
    if not isinstance(optimizers, dict) or not all(isinstance(state, dict) for state in optimizers.values()):
        yield "optimizers: expected states by name"


def _is_state(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) and isinstance(w, Tensor) for name, w in value.items())


class WeightAverage:
    """Exponential moving average of a model's weights (Polyak averaging).

    Floating-point buffers, such as the running statistics of batch normalisation, are averaged too; whole numbers are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model; early steps move further, so that the start is forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in model.state_dict().items():
            if tensor.dtype.is_floating_point:
                self.state[name].lerp_(tensor.detach().to(self.state[name]), 1 - decay)
            else:
                self.state[name].copy_(tensor)

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Go back to a saved average."""
        for name, tensor in state.items():
            self.state[name].copy_(tensor)
