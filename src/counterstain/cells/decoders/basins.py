"""Merge labels that belong together: basins without a real pass between them, and what lies within one label."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def merged_basins(labels: NDArray[np.int32], landscape: NDArray[np.float32], merge_ratio: float) -> NDArray[np.int32]:
    """Merge neighbouring basins whose pass is at least ``merge_ratio`` of the lower of their peaks.

    Passes are taken from the highest down, and a merged basin keeps the higher peak. The result is that of flooding from
    only those maxima that stand out by their dynamics (Grimaud, SPIE 1769 (1992) 292-305), here relative to their height.
    Equal passes are taken in the order of their labels.

    Parameters
    ----------
    labels : (h, w) int32, 0 = background, 4-connected.
    landscape : (h, w) float32, highest at the centres.
    merge_ratio : in [0, 1].

    Returns
    -------
    (h, w) int32; a merged basin has one of its labels.
    """
    lower, upper, heights = _passes(labels, landscape)
    if not len(lower):
        return labels
    peaks = np.full(int(labels.max()) + 1, -np.inf, dtype=np.float32)  # (labels + 1,), the background first
    np.maximum.at(peaks, labels.ravel(), landscape.ravel())
    order = np.argsort(-heights, kind="stable")  # stable: equal passes stay in the order of their labels
    parent = _united(lower[order].tolist(), upper[order].tolist(), heights[order].tolist(), peaks.tolist(), merge_ratio)
    return np.asarray(parent, dtype=np.int32)[labels]


def enclosed_by_one(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give every hole, and every label that lies within one other label, to the label around it.

    A hole is a 4-connected piece of background that does not reach the image border and has one label around it; a gap
    between two labels stays.

    Parameters
    ----------
    labels : (h, w) int32, 0 = background.

    Returns
    -------
    (h, w) int32.
    """
    # Labels and gaps become the nodes of one graph, and an edge joins two that touch. What has one neighbour alone is enclosed.
    gaps, _ = ndimage.label(labels == 0)
    offset = int(labels.max(initial=0))
    nodes = np.where(labels > 0, labels, gaps + offset).astype(np.int64)  # gap i is node offset + i
    framed = np.pad(nodes, 1)  # node 0 is the outside, a second neighbour of whatever reaches the border
    first, second = _neighbours(framed)  # (edges,) each, first < second
    around = np.zeros(int(nodes.max(initial=0)) + 1, dtype=np.int64)
    degree = np.bincount(np.concatenate([first, second]), minlength=len(around))
    around[first] = second  # right for nodes of degree 1, which are written once; the others are not used
    single = np.flatnonzero(degree == 1)
    # A node of degree 1 that is the larger of its pair was not written yet: look it up among the second ones, sorted.
    only_as_second = single[np.isin(single, second)]
    position = np.argsort(second, kind="stable")
    around[only_as_second] = first[position[np.searchsorted(second[position], only_as_second)]]
    owner = np.where(np.arange(len(around)) <= offset, np.arange(len(around)), 0)  # labels keep themselves, gaps are 0
    inside = single[(around[single] > 0) & (around[single] <= offset)]  # those that a label encloses, not the outside or a gap
    owner[inside] = around[inside]
    return owner[nodes].astype(np.int32)


def _passes(
    labels: NDArray[np.int32], landscape: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return each pair of 4-neighbouring labels once, with the height of the highest pass between them; (pairs,) each."""
    keys, heights = [], []
    base = np.int64(labels.max(initial=0)) + 1  # a pair is one number, low * base + high, so that pairs sort as numbers do
    for here, there in (  # each pixel with the one to its right, then with the one below
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        one, other = labels[here], labels[there]
        meet = (one != other) & (one > 0) & (other > 0)
        low, high = np.minimum(one[meet], other[meet]), np.maximum(one[meet], other[meet])
        keys.append(low * base + high)
        # The way from one pixel to the next is as high as the lower of the two.
        heights.append(np.minimum(landscape[here][meet], landscape[there][meet]))
    pairs, index = np.unique(np.concatenate(keys), return_inverse=True)
    highest = np.full(len(pairs), -np.inf, dtype=np.float32)
    np.maximum.at(highest, index, np.concatenate(heights))
    lower, upper = np.divmod(pairs, base)
    return lower, upper, highest


def _united(lower: list[int], upper: list[int], heights: list[float], peaks: list[float], merge_ratio: float) -> list[int]:
    """Merge labels over their passes, which come highest first (union-find); return the label that each ends up with.

    Lists, not arrays: each merge depends on those before it, and plain numbers are faster one by one.
    """
    parent = list(range(len(peaks)))

    def root(label: int) -> int:
        while parent[label] != label:
            parent[label] = parent[parent[label]]  # halve the path, so that later look-ups are short
            label = parent[label]
        return label

    for one, other, height in zip(lower, upper, heights, strict=True):
        first, second = root(one), root(other)
        if first != second and height >= merge_ratio * min(peaks[first], peaks[second]):
            if peaks[first] < peaks[second]:  # the root is the label of the highest peak
                first, second = second, first
            parent[second] = first
    return [root(label) for label in range(len(parent))]


def _neighbours(nodes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each unordered pair of different 4-neighbouring nodes once, the smaller first, in rising order."""
    base = nodes.max() + 1
    keys = []
    for one, other in ((nodes[:, :-1], nodes[:, 1:]), (nodes[:-1], nodes[1:])):
        meet = one != other
        keys.append(np.minimum(one[meet], other[meet]) * base + np.maximum(one[meet], other[meet]))
    low, high = np.divmod(np.unique(np.concatenate(keys)), base)
    return low, high
