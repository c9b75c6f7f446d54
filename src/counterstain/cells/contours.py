"""Trace the pixels along the border of every nucleus, as the published DeepLIIF software writes them.

Moore tracing, clockwise as seen on screen, of all nuclei of a label image in step. Unlike ``outlines``, which runs along the
sides of pixels, a contour visits the pixels themselves.
"""

import numpy as np
from numpy.typing import NDArray

STEPS = np.array([(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)])
"""(row, col) of one step in each direction: east, north-east, north and so on against the clock."""

_FIRST_SEARCH = 3
"""North-west: the first pixel is reached from its west, and the search goes on clockwise."""

_NONE = -1


def chains(labels: NDArray[np.int32], first_pixels: NDArray[np.int64]) -> list[NDArray[np.int8]]:
    """Return the directions of the steps along each contour, back to its first pixel.

    The trace starts at the first pixel (topmost row, then leftmost) and ends before its first step would come again, so a
    contour passes twice where a nucleus is one pixel wide. A nucleus of one pixel has no step.

    Parameters
    ----------
    labels : (h, w) int32; label i + 1 begins at the i-th first pixel; anything else is outside.
    first_pixels : (n,) int64 positions in the flattened image.

    Returns
    -------
    n arrays of int8 directions, 0 to 7, as in ``STEPS``.
    """
    count, width = len(first_pixels), labels.shape[1]
    flat = np.pad(labels, 1).ravel()
    start = (first_pixels // width + 1) * (width + 2) + first_pixels % width + 1
    here, search, opening = start.copy(), np.full(count, _FIRST_SEARCH), np.full(count, _NONE)
    active, owners, steps = np.arange(count), [], []
    while len(active):
        step = _next_steps(flat, here[active], search[active], active + 1, width + 2)
        closed = (step == _NONE) | ((here[active] == start[active]) & (step == opening[active]))
        active, step = active[~closed], step[~closed]
        opening[active] = np.where(opening[active] == _NONE, step, opening[active])
        here[active] += _offsets(width + 2)[step]
        search[active] = (step + 1 + step % 2) % 8  # clockwise from the last pixel that was found outside
        owners.append(active)
        steps.append(step.astype(np.int8))
    owner = np.concatenate(owners) if owners else np.zeros(0, np.int64)
    order = np.argsort(owner, kind="stable")
    lengths = np.bincount(owner, minlength=count)
    directions = np.concatenate(steps)[order] if steps else np.zeros(0, np.int8)
    return np.split(directions, np.cumsum(lengths)[:-1]) if count else []


def runs(chain: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Return the directions and lengths of the straight runs of a chain."""
    starts = np.flatnonzero(np.concatenate([[True], chain[1:] != chain[:-1]])) if len(chain) else np.zeros(0, np.int64)
    return chain[starts], np.diff(np.append(starts, len(chain)))


def _next_steps(
    flat: NDArray[np.int32], here: NDArray[np.int64], search: NDArray[np.int64], own: NDArray[np.int64], width: int
) -> NDArray[np.int64]:
    """Return the first direction, clockwise from where the search begins, in which there is a pixel of the same nucleus."""
    found = np.full(len(here), _NONE)
    for turn in range(8):
        direction = (search - turn) % 8
        hit = (found == _NONE) & (flat[here + _offsets(width)[direction]] == own)
        found[hit] = direction[hit]
    return found


def _offsets(width: int) -> NDArray[np.int64]:
    offsets: NDArray[np.int64] = STEPS[:, 0] * width + STEPS[:, 1]
    return offsets
