"""A slide that several threads may read: they wait for one another, as a reader need not support two at once."""

import threading
from typing import Self

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import Box, Size
from counterstain.slides.base import Damage, Origin, Resolution, Slide


class TakingTurns:
    """A ``Slide`` over another one, which is read by one thread at a time. Closing it closes the other."""

    def __init__(self, slide: Slide) -> None:
        self._slide = slide
        self._turn = threading.Lock()

    @property
    def name(self) -> str:
        """That of the other slide."""
        return self._slide.name

    @property
    def size(self) -> Size:
        """Height and width at full resolution."""
        return self._slide.size

    @property
    def resolution(self) -> Resolution:
        """Pixel size at full resolution."""
        return self._slide.resolution

    @property
    def origin(self) -> Origin:
        """Which image of its file the other slide is."""
        return self._slide.origin

    def read(self, box: Box, mpp: float) -> NDArray[np.uint8]:
        """Return the (h, w, 3) uint8 pixels of a box; see ``Slide.read``."""
        with self._turn:
            return self._slide.read(box, mpp)

    def damage(self, box: Box, mpp: float) -> tuple[Damage, ...]:
        """Return the parts of a box that could not be decoded; see ``Slide.damage``."""
        with self._turn:
            return self._slide.damage(box, mpp)

    def close(self) -> None:
        """Release the file."""
        self._slide.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
