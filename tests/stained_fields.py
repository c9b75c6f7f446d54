"""Fields of nuclei that several tests draw, in stains of their choice."""

import numpy as np
from drawn import draw_disks
from numpy.typing import NDArray

from counterstain.images import DAB, HEMATOXYLIN, Stain

EOSIN: Stain = (0.09, 0.95, 0.28)
FAST_RED: Stain = (0.21, 0.85, 0.48)
AEC: Stain = (0.27, 0.68, 0.68)
GREEN: Stain = (0.80, 0.37, 0.47)
METHYL_GREEN: Stain = (0.98, 0.14, 0.13)
BLACK: Stain = (0.58, 0.58, 0.58)
WHITE = (240, 240, 240)


def stained_field(
    chromogen: Stain | None = DAB,
    counterstain: Stain | None = HEMATOXYLIN,
    *,
    ground: Stain | None = None,
    strength: float = 0.8,
    white: tuple[int, int, int] = WHITE,
    side: int = 160,
) -> NDArray[np.uint8]:
    """Return (side, side, 3) uint8: rows of nuclei, every other one in the chromogen, on glass or a stained ground."""
    centres = [(row, col) for row in range(12, side, 24) for col in range(12, side, 24)]
    labels = draw_disks(side, centres, 6.0)
    density = np.zeros((side, side, 3))
    if ground:
        density[:, side // 8 :] += 0.25 * np.array(ground)
    for stain, which in ((counterstain, labels % 2 == 0), (chromogen, labels % 2 == 1)):
        if stain:
            density[(labels > 0) & which] += strength * np.array(stain)
    noise = np.random.default_rng(3).normal(0, 1.5, density.shape)
    return np.clip(np.array(white) * 10**-density + noise, 0, 255).astype(np.uint8)
