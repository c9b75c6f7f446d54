"""Label images that several tests draw."""

import numpy as np
from numpy.typing import NDArray


def draw_disks(side: int, centres: list[tuple[int, int]], radius: float) -> NDArray[np.int32]:
    rows, cols = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.int32)
    for number, (row, col) in enumerate(centres, start=1):
        labels[np.hypot(rows - row, cols - col) <= radius] = number
    return labels
