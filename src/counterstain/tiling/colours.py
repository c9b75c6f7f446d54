"""Where the stained pixels of an image lie in the plane of colours. Knows no stain by name.

A colour is told from the amount of stain by its chromaticity: the optical densities of red, green and blue over their mean (van
der Laak et al., Cytometry 39:275-284, 2000). A stain is one point of that plane, whatever its strength, and the mixtures of two
stains lie on the line between their points.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from counterstain.images import Stain, optical_density

STAINED = (0.08, 0.9)
"""Mean optical density of pixels whose colour is looked at: paler ones are noise, denser ones nearly black."""

DARKEST = 4
"""Brightness (0 to 255) of any channel up to which cameras see little, so that the hue is wrong."""

CLEAREST_SHARE = 0.02
"""Share of the pixels that is taken for background."""

VERY_DARK, RATHER_DARK, BRIGHT = 60, 100, 180
"""Brightness (0 to 255) of the brightest channel below which a pixel is dark, and of the darkest above which it is glass."""

ALL_DARK, DARK_SHARE, RATHER_DARK_SHARE, GLASS_SHARE = 0.75, 0.6, 0.4, 0.15
"""Share of very dark pixels from which an image is one on a dark ground whatever else it is, of dark ones from which it is and
from which it may be, if they are smooth, and of bright ones from which it cannot."""

DARK_ROUGHNESS, DARK_BROWN = 0.7, 0.28
"""On a dark ground, the darkest quarter is smoother than the brightest (in tissue it is up to 30 times as rough), and is not
brown, as it is where DAB fills the image."""

Ground = Literal["bright", "dark", "doubtful"]

Values = NDArray[np.float32]
Point = tuple[float, float]
"""Redness and greenness of a colour; (0, 0) is grey."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Colours:
    """Stained pixels as points in the plane of colours; each (n,) float32."""

    red: Values
    """Optical density of red over the mean of the three, less 1; negative where red light passes."""
    green: Values
    """Optical density of green less that of blue, over the mean and the root of 3; positive where blue light passes."""
    density: Values
    """Mean optical density of the three."""

    def __len__(self) -> int:
        return len(self.red)

    def where(self, chosen: NDArray[np.bool_]) -> "Colours":
        """Return some of the pixels."""
        places = np.flatnonzero(chosen)  # taken three times, which is faster than by truth values
        return Colours(red=self.red[places], green=self.green[places], density=self.density[places])

    def above(self, slope: float) -> Values:
        """Return (n,) float32: how far each lies above the line of a slope through grey, towards red and purple."""
        return np.asarray(self.green - np.float32(slope) * self.red)

    def greyness(self) -> Values:
        """Return (n,) float32: the distance of each from grey."""
        return np.asarray(np.hypot(self.red, self.green))

    def mean(self) -> Point:
        """Return the mean colour of at least one pixel, weighted by density."""
        return float(np.average(self.red, weights=self.density)), float(np.average(self.green, weights=self.density))


def background(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the (3,) float32 RGB of the clearest pixels of an (h, w, 3) uint8 image: glass, or the palest tissue."""
    darkest = _darkest(pixels).ravel()
    rank = math.ceil((1 - CLEAREST_SHARE) * (darkest.size - 1))
    clearest = pixels.reshape(-1, 3)[np.flatnonzero(darkest >= np.partition(darkest, rank)[rank])]  # (n, 3)
    return np.asarray(np.median(clearest, axis=0), np.float32)


def stained(pixels: NDArray[np.uint8], white: NDArray[np.float32]) -> Colours:
    """Return the colours of the stained pixels of an (h, w, 3) uint8 image, measured against the (3,) colour of the background.

    So the colours of the lamp, of yellowed mounting medium and of a pale haze drop out.
    """
    glass, third = optical_density(white / 255), np.float32(1 / 3)
    red, green, blue = (np.maximum(optical_density(pixels[..., channel]) - glass[channel], 0) for channel in range(3))
    mean = (red + green + blue) * third
    is_seen = _darkest(pixels) > DARKEST
    chosen = np.flatnonzero((mean >= STAINED[0]) & (mean < STAINED[1]) & is_seen)
    red, green, blue, mean = (plane.ravel()[chosen] for plane in (red, green, blue, mean))
    return Colours(red=red / mean - 1, green=(green - blue) / (mean * np.float32(math.sqrt(3))), density=mean)


def as_stain(point: Point) -> Stain:
    """Return the optical density in red, green and blue, of length 1, of a point in the plane of colours."""
    red, green = point
    half = math.sqrt(3) * green
    parts = (max(1 + red, 0.0), max((2 - red + half) / 2, 0.0), max((2 - red - half) / 2, 0.0))
    length = math.hypot(*parts)
    return (round(parts[0] / length, 3), round(parts[1] / length, 3), round(parts[2] / length, 3))


def darkness_of_ground(pixels: NDArray[np.uint8]) -> Ground:
    """Return whether an (h, w, 3) uint8 image shows bright things on a dark ground, as fluorescence and negatives do.

    A slide with a black frame has glass as well, and tissue full of dark DAB is brown and rough where it is dark.
    """
    brightest = np.maximum(np.maximum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    if np.mean(_darkest(pixels) > BRIGHT) >= GLASS_SHARE:
        return "bright"
    if np.mean(brightest < VERY_DARK) > ALL_DARK:
        return "dark"
    dark = brightest < RATHER_DARK
    if dark.mean() < RATHER_DARK_SHARE or _roughness(pixels) > DARK_ROUGHNESS or _brownness(pixels[dark]) > DARK_BROWN:
        return "bright"
    return "dark" if dark.mean() > DARK_SHARE else "doubtful"


def _darkest(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (h, w) uint8: the darkest channel of each pixel; much faster than along the axis of channels."""
    return np.minimum(np.minimum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])


def _roughness(pixels: NDArray[np.uint8]) -> float:
    """Return how many times as steep the darkest quarter of an image is as its brightest."""
    grey = pixels.mean(axis=2, dtype=np.float32)
    steepness = sum(np.abs(np.gradient(grey, axis=axis)) for axis in (0, 1) if grey.shape[axis] > 1)
    low, high = np.quantile(grey, [0.25, 0.75])
    return float(np.mean(steepness, where=grey <= low) / max(np.mean(steepness, where=grey >= high), 1e-6))


def _brownness(colours: NDArray[np.uint8]) -> float:
    """Return by how much red is brighter than blue in (n, 3) dark colours, as a share of the brightest channel."""
    values = colours.astype(np.float32)
    return float(np.mean((values[:, 0] - values[:, 2]) / (values.max(axis=1) + 10)))
