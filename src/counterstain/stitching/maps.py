"""Named planes over a whole slide: what inference writes and segmentation reads.

Planes are stored as uint8 wherever they live (a NumPy array here, a Zarr array on disk for large slides) and are read as
float32 in [0, 1], so that a result does not depend on where its maps were kept.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import Box, Size
from counterstain.panel import Panel


@dataclass(frozen=True, slots=True)
class Plane:
    """One channel over the whole slide; ``stored`` is any (h, w, c) uint8 array that slices as NumPy does."""

    stored: Any

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and number of components."""
        height, width, components = self.stored.shape
        return height, width, components

    def __getitem__(self, slices: tuple[slice, slice]) -> NDArray[np.float32]:
        """Return (h, w, c) float32 in [0, 1]."""
        return np.asarray(self.stored[slices], dtype=np.float32) / np.float32(255)

    def as_bytes(self, box: Box) -> NDArray[np.uint8]:
        """Return (h, w, c) uint8 as stored."""
        return np.asarray(self.stored[box.slices])


@dataclass(frozen=True, slots=True, kw_only=True)
class Maps:
    """All planes of one slide at the model's resolution: ``maps["dapi"][rows, cols]`` is (h, w, c) float32 in [0, 1]."""

    size: Size
    mpp: float
    panel: Panel
    planes: dict[str, Plane]

    def __getitem__(self, name: str) -> Plane:
        if name not in self.planes:
            raise KeyError(f"no map {name!r}; there are {sorted(self.planes)}")
        return self.planes[name]

    def __contains__(self, name: str) -> bool:
        return name in self.planes
