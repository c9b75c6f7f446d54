"""Trace the outlines of all nuclei of a label image at once.

A directed edge runs along each pixel side that separates a nucleus from something else, with the nucleus on its right. The
edges that follow one another form closed rings. All rings are put in order together: each edge points to the one that follows
it, and the pointers are doubled in length until all have reached an end, which takes log2(longest ring) array operations.
"""

import numpy as np
from numpy.typing import NDArray

_EAST, _SOUTH, _WEST, _NORTH = range(4)
"""Directions of travel: along the top, right, bottom and left side of a pixel."""

_START_CORNER = np.array([(0, 0), (0, 1), (1, 1), (1, 0)])
"""(row, col) offset of the corner where the edge of each direction starts."""

_STEP = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
"""(row, col) of one pixel in each direction."""

BRIDGE_PX = 1 / 8
"""Half width of the bridge drawn where two parts of a nucleus meet in a corner only."""


def outlines(labels: NDArray[np.int32], count: int) -> list[NDArray[np.float64]]:
    """Return the outer ring of each label.

    The ring runs along pixel sides, clockwise as seen on screen, from the top left corner of the first pixel, without points
    inside straight runs. Without holes its area is the number of pixels. A nucleus that is connected through a corner only
    gets a bridge there (``BRIDGE_PX``), so that the ring is a simple polygon; a label in several pieces gets the ring of its
    first piece.

    Parameters
    ----------
    labels : (h, w) int32, 0 = background, 1 to ``count`` without gaps.
    count : number of labels.

    Returns
    -------
    ``count`` open rings of (k, 2) float64 (row, col), where pixel (r, c) covers [r, r + 1) x [c, c + 1).
    """
    if not count:
        return []
    padded = np.pad(labels, 1)  # (h + 2, w + 2): every pixel of a nucleus has four neighbours
    keys, own = _edges(padded)  # (edges,) each, as is all that follows
    following, pinched = _following(padded, keys, own)
    starts = _first_edges(own, keys, count)  # (count,)
    steps_left, in_ring = _rank(following, starts)
    chosen = np.flatnonzero(in_ring)  # the edges of holes and of further pieces are in no ring that has a start
    order = chosen[np.lexsort((-steps_left[chosen], own[chosen]))]
    return _rings(keys[order], own[order], pinched[order], padded.shape[1])


def _edges(padded: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return rising keys (4 * pixel + direction) of all edges, and the label on the right of each."""
    flat, width = padded.ravel(), padded.shape[1]
    inside = np.flatnonzero(flat)
    own = flat[inside]
    # (pixels, 4) bool, in the order of the directions: above, right, below and left lies something else.
    sides = np.stack([flat[inside + offset] != own for offset in (-width, 1, width, -1)], axis=1)
    pixel, direction = np.nonzero(sides)
    return inside[pixel] * 4 + direction, own[pixel]


def _following(
    padded: NDArray[np.int32], keys: NDArray[np.int64], own: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the index of the edge after each, and whether the two turn left around a corner where only diagonals touch."""
    flat, width = padded.ravel(), padded.shape[1]
    pixel, direction = np.divmod(keys, 4)
    step = np.array([1, width, -1, -width])  # to the next pixel east, south, west and north, in the flattened image
    # At the end of an edge, with its own pixel on the right: turn left where the nucleus goes on there, else go straight where
    # it goes on ahead, else turn right around the own pixel.
    ahead = pixel + step[direction]
    ahead_left = ahead + step[direction - 1]
    left, straight = flat[ahead_left] == own, flat[ahead] == own
    next_pixel = np.where(left, ahead_left, np.where(straight, ahead, pixel))
    next_direction = np.where(left, direction - 1, np.where(straight, direction, direction + 1)) % 4
    # A left turn where the pixel straight ahead is not of the nucleus leads through a corner to a diagonal neighbour.
    return np.searchsorted(keys, next_pixel * 4 + next_direction), left & ~straight


def _first_edges(own: NDArray[np.int32], keys: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the edge along the top of each label's first pixel: the first of its edges, as keys rise."""
    first = np.zeros(count + 1, dtype=np.int64)
    first[own[::-1]] = np.arange(len(keys))[::-1]  # written backwards: the last write to a label is its first edge
    return first[1:]


def _rank(following: NDArray[np.int64], starts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Cut each ring before its start; return the steps from each edge to the end, and whether it is in such a ring."""
    count = len(following)
    pointer = following.copy()
    is_last = np.isin(following, starts)
    pointer[is_last] = np.flatnonzero(is_last)  # the last edge of a ring points to itself, where doubling comes to rest
    steps = (~is_last).astype(np.int64)
    reached = 1
    while reached < count and not is_last[pointer].all():  # rings without a start never reach a last edge
        jumped = pointer[pointer]
        if np.array_equal(jumped, pointer):  # every pointer is at rest
            break
        steps += steps[pointer]
        pointer = jumped
        reached *= 2
    return steps, is_last[pointer]


def _rings(
    keys: NDArray[np.int64], own: NDArray[np.int32], pinched: NDArray[np.bool_], width: int
) -> list[NDArray[np.float64]]:
    """Return the corner points of edges, ordered by label and along each ring; ``width`` is that of the padded image."""
    pixel, direction = np.divmod(keys, 4)
    corners = np.column_stack(np.divmod(pixel, width)) - 1 + _START_CORNER[direction]  # (edges, 2); 1 for the padding
    opens = np.concatenate([[True], own[1:] != own[:-1]])  # the first edge of each ring
    before = np.concatenate([[_NORTH], direction[:-1]])
    before[opens] = _NORTH  # a ring comes back to its first pixel along the left side
    turns = opens | (direction != before)  # only where the direction changes is a corner kept
    bridged = turns & np.concatenate([[False], pinched[:-1]]) & _twice(corners, own, turns)
    points, labels = corners[turns].astype(np.float64), own[turns]
    if bridged.any():
        points, labels = _with_bridges(points, labels, bridged[turns], before[turns], direction[turns])
    return np.split(points, np.flatnonzero(np.diff(labels)) + 1)


def _twice(corners: NDArray[np.int64], own: NDArray[np.int32], turns: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which corners the ring of the same label visits twice."""
    span = int(corners[:, 1].max()) + 1
    place = corners[:, 0] * span + corners[:, 1]  # (row, col) as one number
    candidates = np.flatnonzero(turns)
    candidates = candidates[np.lexsort((own[candidates], place[candidates]))]  # equal corners of one label side by side
    same = (np.diff(place[candidates]) == 0) & (np.diff(own[candidates]) == 0)
    visited = np.zeros(len(own), dtype=np.bool_)
    visited[candidates[:-1][same]] = True
    visited[candidates[1:][same]] = True
    return visited


def _with_bridges(
    points: NDArray[np.float64],
    labels: NDArray[np.int32],
    bridged: NDArray[np.bool_],
    before: NDArray[np.int64],
    direction: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Replace each bridged corner by two points, one on the way in and one on the way out."""
    copies = np.where(bridged, 2, 1)
    last = np.cumsum(copies) - 1  # where the last copy of each corner lies
    widened = np.repeat(points, copies, axis=0)
    # The second copy moves on along the way out, the first one back along the way in.
    widened[last[bridged]] += BRIDGE_PX * _STEP[direction[bridged]]
    widened[last[bridged] - 1] -= BRIDGE_PX * _STEP[before[bridged]]
    return widened, np.repeat(labels, copies)
