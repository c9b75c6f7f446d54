"""Images that several tests draw."""

import numpy as np
from numpy.typing import NDArray


def draw_disks(side: int, centres: list[tuple[int, int]], radius: float) -> NDArray[np.int32]:
    rows, cols = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.int32)
    for number, (row, col) in enumerate(centres, start=1):
        labels[np.hypot(rows - row, cols - col) <= radius] = number
    return labels


def nuclei(side: int = 96, *, positive: bool = True) -> np.ndarray:
    """Four dark disks of 20 px on a light ground: two brown ones and two blue ones."""
    rows, cols = np.mgrid[:side, :side]
    image = np.full((side, side, 3), (235, 232, 235), np.uint8)
    colours = [(90, 50, 20), (90, 110, 170)] if positive else [(90, 110, 170)] * 2
    for number, (row, col) in enumerate([(24, 24), (24, 70), (70, 24), (70, 70)]):
        image[(rows - row) ** 2 + (cols - col) ** 2 <= 100] = colours[number % 2]
    return image
