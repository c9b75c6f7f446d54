"""Which components the published DeepLIIF software counts, by its limits on size, marker and optical density.

Images in and numbers out, all thresholds in the published units: grey levels 0-255 and pixels (Ghahremani et al., Nature
Machine Intelligence 4 (2022) 401-412). ``counterstain.cells.decoders.deepliif`` finds the components; ``deepliif_images`` draws
what is counted here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.decoders.deepliif import Components


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Which components count and what overrules the vote of their pixels; sizes in pixels."""

    size: int = 0
    """A nucleus has more pixels than this."""
    size_upper: int | None = None
    """A nucleus has fewer pixels than this."""
    marker: int | None = None
    """0-255: a nucleus whose maximal marker is above it is positive."""
    density_lower: int | None = None
    """0-722: a nucleus whose mean optical density is below it is negative."""
    density_upper: int | None = None
    """0-722: a nucleus whose mean optical density is above it is negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The nuclei that count; arrays of (n,) over the components."""

    is_counted: NDArray[np.bool_]
    is_positive: NDArray[np.bool_]


def density_image(image: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return 100 times the optical density summed over red, green and blue, rounded.

    Parameters
    ----------
    image : (h, w, 3) uint8.

    Returns
    -------
    (h, w) uint16 from 0 (white) to 722 (black).
    """
    density = np.log10(255.0 / np.maximum(np.arange(256), 1))
    return np.asarray(np.rint(100 * density[image].sum(axis=2)), dtype=np.uint16)


def automatic_marker(marker: NDArray[np.uint8]) -> int:
    """Return the marker threshold at 90 % of the range of the marker's pixels that are not 0; 0 when all are.

    Parameters
    ----------
    marker : (h, w) uint8.
    """
    values = marker[marker > 0]
    if not len(values):
        return 0
    low, high = (round(float(value)) for value in np.percentile(values, [0.1, 99.9]))
    return round((high - low) * 0.9) + low


def count_cells(
    components: Components, limits: Limits, marker: NDArray[np.uint8] | None = None, density: NDArray[np.uint16] | None = None
) -> Counted:
    """Select components by size and call each positive or negative.

    A component is positive when it has at least as many positive as negative pixels. Its maximal marker can promote it; its
    mean optical density, rounded, can demote it.

    Parameters
    ----------
    components : from ``find_components``.
    limits : a limit on a marker or density that is not given does nothing.
    marker : (h, w) uint8.
    density : (h, w) uint16 from ``density_image``.
    """
    is_counted = components.sizes > limits.size
    if limits.size_upper is not None:
        is_counted &= components.sizes < limits.size_upper
    is_positive = components.positive_pixels >= components.negative_pixels
    if limits.marker is not None and marker is not None:
        is_positive |= _maxima(components, marker) > limits.marker
    if density is not None:
        value = np.rint(_means(components, density))
        if limits.density_lower is not None:
            is_positive &= value >= limits.density_lower
        if limits.density_upper is not None:
            is_positive &= value <= limits.density_upper
    return Counted(is_counted=is_counted, is_positive=is_positive)


def score(counted: Counted) -> dict[str, int | float]:
    """Return the counts under their published names; the percentage has one decimal, and is 0 without a positive nucleus."""
    total = int(counted.is_counted.sum())
    positive = int((counted.is_counted & counted.is_positive).sum())
    percent = round(100 * positive / total, 1) if positive else 0
    return {"num_total": total, "num_pos": positive, "num_neg": total - positive, "percent_pos": percent}


def _maxima(components: Components, marker: NDArray[np.uint8]) -> NDArray[np.uint8]:
    inside = components.labels > 0
    highest = np.zeros(len(components.sizes) + 1, dtype=np.uint8)
    np.maximum.at(highest, components.labels[inside], marker[inside])
    return highest[1:]


def _means(components: Components, density: NDArray[np.uint16]) -> NDArray[np.float64]:
    inside = components.labels > 0
    totals = np.bincount(components.labels[inside], weights=density[inside], minlength=len(components.sizes) + 1)
    return totals[1:] / components.sizes
