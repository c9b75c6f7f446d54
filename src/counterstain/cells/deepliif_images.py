"""Draw nuclei as the published DeepLIIF software does: three-pixel outlines on the original, and the refined segmentation.

Outlines lie wholly outside the nuclei. Components that do not count are not drawn, and no outline grows into them.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.decoders.deepliif import NEGATIVE, POSITIVE, UNKNOWN, Components
from counterstain.cells.deepliif_counts import Counted

Pixel = TypeVar("Pixel", bound=np.generic)

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)

_SIDES = ((-1, 0), (0, -1), (0, 1), (1, 0))
_AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""(row, col) steps to the neighbours, in the order in which a scan meets them."""

_GROWTH_STEPS = 2


def overlaid(image: NDArray[np.uint8], components: Components, counted: Counted) -> NDArray[np.uint8]:
    """Draw outlines on the image, red around positive and blue around negative nuclei.

    Parameters
    ----------
    image : (h, w, 3) uint8, the original.
    components : (h, w) labels from ``find_components``.
    counted : from ``count_cells``.

    Returns
    -------
    (h, w, 3) uint8 copy.
    """
    border = borders(components, counted)
    drawn = image.copy()
    drawn[border == POSITIVE] = RED
    drawn[border == NEGATIVE] = BLUE
    return drawn


def refined(components: Components, counted: Counted) -> NDArray[np.uint8]:
    """Draw the nuclei on black: positive red, negative blue, outlines green.

    Returns
    -------
    (h, w, 3) uint8.
    """
    border = borders(components, counted)
    colours = np.zeros((len(components.sizes) + 2, 3), dtype=np.uint8)  # background, components, noise
    classes = _class_of_label(counted)
    colours[classes == POSITIVE] = RED
    colours[classes == NEGATIVE] = BLUE
    drawn = colours[components.labels]
    drawn[border != UNKNOWN] = GREEN
    return drawn


def borders(components: Components, counted: Counted) -> NDArray[np.uint8]:
    """Return which pixels are outline, and of which class.

    Background beside a nucleus becomes its outline, the lower label first; then the outline grows twice into the 8-neighbouring
    background, where the neighbour that a scan meets first wins. The first pixel of a nucleus is outline too, and the
    background beside it is reached by growth only.

    Returns
    -------
    (h, w) uint8 of ``UNKNOWN`` (no outline), ``NEGATIVE`` or ``POSITIVE``.
    """
    labels, classes = components.labels, _class_of_label(counted)
    background = labels == 0
    owners = np.where(classes[labels] != UNKNOWN, labels, 0)
    owners.ravel()[components.first_pixels] = 0
    beside = _lowest_beside(owners)
    border = np.where(background, classes[beside], UNKNOWN)
    first = components.first_pixels[counted.is_counted]
    border.ravel()[first] = classes[labels.ravel()[first]]
    for _ in range(_GROWTH_STEPS):
        border = np.where(background & (border == UNKNOWN), _first_around(border), border)
    return border


def _class_of_label(counted: Counted) -> NDArray[np.uint8]:
    """Class by label: 0 (background) and -1 (noise) are ``UNKNOWN``, as are components that do not count."""
    classes = np.where(counted.is_positive, POSITIVE, NEGATIVE) * counted.is_counted
    return np.concatenate([[UNKNOWN], classes, [UNKNOWN]]).astype(np.uint8)


def _lowest_beside(owners: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the lowest label that is not 0 among the 4-neighbours, 0 when there is none."""
    none = np.iinfo(np.int32).max
    padded = np.pad(np.where(owners > 0, owners, none), 1, constant_values=none)
    lowest = np.minimum.reduce([_moved(padded, step) for step in _SIDES])
    return np.where(lowest == none, 0, lowest)


def _first_around(border: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the first class that is not ``UNKNOWN`` among the 8-neighbours."""
    padded = np.pad(border, 1)
    found = np.zeros_like(border)
    for step in _AROUND:
        found = np.where(found == UNKNOWN, _moved(padded, step), found)
    return found


def _moved(padded: NDArray[Pixel], step: tuple[int, int]) -> NDArray[Pixel]:
    """Return the neighbour of every pixel in one direction, from an image padded by one."""
    rows, cols = padded.shape[0] - 2, padded.shape[1] - 2
    return padded[1 + step[0] : 1 + step[0] + rows, 1 + step[1] : 1 + step[1] + cols]
