"""The smallest task: one weight, whose loss is its own value times a slope."""

from collections.abc import Iterator
from typing import Any

import torch

from counterstain.training.datasets.paired import ImageBatch


class OneWeight:
    """A ``Task`` under plain gradient descent, so that every update can be computed by hand."""

    def __init__(self, slope: float, *, terms: int = 1) -> None:
        self.slope, self.terms = slope, terms
        self.networks = {"model": torch.nn.Linear(1, 1, bias=False)}
        torch.nn.init.ones_(self.networks["model"].weight)
        self.optimizers = {"model": torch.optim.SGD(self.networks["model"].parameters(), lr=1.0)}

    def batches(self, start: int, rank: int) -> Iterator[ImageBatch]:
        while True:
            yield ImageBatch(images={"image": torch.ones(1, 3, 4, 4)})

    def steps(self, networks: Any, batch: ImageBatch) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
        answer = networks["model"](torch.ones(1, 1)).sum()
        yield "model", {f"term {index}": self.slope * answer for index in range(self.terms)}

    def infer(self, network: torch.nn.Module) -> Any:
        return lambda image: {"grey": image[:, :1] * 0}

    def example(self, batch: ImageBatch) -> torch.Tensor:
        return batch.images["image"]

    def exported(self, network: torch.nn.Module) -> Any:
        raise AssertionError("nothing is validated or exported")

    def validation(self) -> dict[str, list[Any]]:
        return {}
