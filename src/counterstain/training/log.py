"""Write what a run measures: ``metrics.csv``, and TensorBoard events with pictures."""

import csv
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.tensorboard import SummaryWriter

_PICTURE_PX = 256


class Log:
    """The numbers and pictures of one run.

    Parameters
    ----------
    folder : of the run.
    step : the run goes on from here; later rows, of an interrupted run, are dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        path = folder / "metrics.csv"
        kept = _rows_until(path, step)
        self._file = path.open("w", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerows(kept)
        self._board = SummaryWriter(str(folder), purge_step=step + 1)

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()
        self._board.close()

    def write(self, step: int, part: str, values: dict[str, float]) -> None:
        """Write numbers of one part, such as ``train``: rows of step, part, name, value."""
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

    def write_pictures(self, step: int, image: Tensor, outputs: dict[str, Tensor]) -> None:
        """Write a grid to TensorBoard: a row per image, the input on the left, then every output."""
        self._board.add_image("inferred", picture_grid({"image": image} | outputs), step)


def _rows_until(path: Path, step: int) -> list[list[str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [row for row in csv.reader(file) if len(row) == 4 and int(row[0]) <= step]


def picture_grid(columns: dict[str, Tensor]) -> Tensor:
    """Return one picture: a row per sample, a column per image, in order.

    Parameters
    ----------
    columns : name -> (n, 1 or 3, h, w) in [0, 1].

    Returns
    -------
    (3, n * side, columns * side) float32 in [0, 1].
    """
    pictures = [image.float().cpu().clamp(0, 1).expand(-1, 3, -1, -1) for image in columns.values()]
    side = min(_PICTURE_PX, pictures[0].shape[-1])
    small = [functional.interpolate(picture, size=(side, side), mode="area") for picture in pictures]
    rows = torch.cat(small, dim=3)  # (n, 3, side, columns * side)
    return torch.cat(list(rows), dim=1)
