"""A slide whose pixels are in memory: what flat images are decoded to, and how an array is analysed."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from counterstain.geometry import DEFAULT_MPP, Box, Size
from counterstain.images import check_rgb
from counterstain.slides.base import WHOLE_FILE, Damage, Origin, Resolution
from counterstain.slides.pyramid import Level, damage_in_pyramid
from counterstain.slides.resampling import read_resampled

ASSUMED_RESOLUTION = Resolution(DEFAULT_MPP, "assumed")


class ArraySlide:
    """A ``Slide`` over an array.

    Parameters
    ----------
    pixels : (h, w, 3) uint8 RGB; not copied, so it must not change while the slide is open.
    name : names the output folder.
    resolution : pixel size; the default is that of a 40x scan and says that it is assumed.
    origin : which image of its file it is.
    damaged : the parts that could not be decoded, in pixels of the array, which are white.

    Raises
    ------
    ValueError
        When the array is not an RGB image.
    """

    def __init__(
        self,
        pixels: NDArray[Any],
        *,
        name: str = "array",
        resolution: Resolution = ASSUMED_RESOLUTION,
        origin: Origin = WHOLE_FILE,
        damaged: tuple[Damage, ...] = (),
    ) -> None:
        self._pixels = check_rgb(pixels)
        self._damaged = damaged
        self.origin = origin
        self.name = name
        self.resolution = resolution

    @property
    def size(self) -> Size:
        """Height and width at full resolution."""
        return Size(*self._pixels.shape[:2])

    def read(self, box: Box, mpp: float) -> NDArray[np.uint8]:
        """Return the (h, w, 3) uint8 pixels of a box in pixels of ``mpp``; white outside."""
        return read_resampled(lambda inside: self._pixels[inside.slices], self.size, self.resolution.factors(mpp), box)

    def damage(self, box: Box, mpp: float) -> tuple[Damage, ...]:
        """Return the parts of a box that were damaged in the file; see ``Slide.damage``."""
        return damage_in_pyramid(self._damage_in, [Level(self.size, 1.0)], self.resolution.factors(mpp), box)

    def _damage_in(self, box: Box, level: int) -> list[Damage]:
        del level  # there is one
        return [damage for damage in self._damaged if damage.box.intersection(box).size.area]

    def close(self) -> None:
        """Do nothing: there is no file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
