"""Compare nuclei one by one: by their centres (points) or by their pixels (label images).

Labels are positive whole numbers, 0 is background. Classes and thresholds are unknown here: select the points or labels first.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionScores:
    """Precision, recall and F1 in [0, 1]; each is NaN when its denominator is 0."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticQuality:
    """Panoptic quality and its two factors, in [0, 1]; NaN when there is nothing to compare."""

    panoptic: float
    detection: float
    """F1 of objects matched at an IoU above 0.5."""
    segmentation: float
    """Mean IoU of the matched objects."""


def match_points(truth: ArrayLike, found: ArrayLike, max_distance: float) -> NDArray[np.int64]:
    """Pair points one to one: as many pairs as possible, and among those the smallest total distance.

    Greedy matching depends on the order of the points; this does not. The sparse problem falls apart into connected
    components (two points are connected when they are near enough to be paired), each solved exactly.

    Parameters
    ----------
    truth : (n, 2) float reference points.
    found : (m, 2) float found points, in the same unit.
    max_distance : largest distance of a pair, inclusive.

    Returns
    -------
    (k, 2) int64 of (row of ``truth``, row of ``found``), in rising order of the first.
    """
    left, right = np.asarray(truth, dtype=np.float64).reshape(-1, 2), np.asarray(found, dtype=np.float64).reshape(-1, 2)
    if not len(left) or not len(right):
        return np.empty((0, 2), dtype=np.int64)
    near = cKDTree(left).sparse_distance_matrix(cKDTree(right), max_distance, output_type="ndarray")
    rows, cols, distances = (near[name] for name in ("i", "j", "v"))
    pairs = [
        _assign(rows[edges], cols[edges], distances[edges])
        for edges in _edges_by_component(rows, cols, len(left), len(left) + len(right))
    ]
    if not pairs:
        return np.empty((0, 2), dtype=np.int64)
    joined = np.concatenate(pairs).astype(np.int64)
    return joined[np.argsort(joined[:, 0])]


def detection_scores(*, matched: int, truth: int, found: int) -> DetectionScores:
    """Return precision, recall and F1 from the numbers of matched pairs, reference objects and found objects."""
    nan = float("nan")
    return DetectionScores(
        precision=matched / found if found else nan,
        recall=matched / truth if truth else nan,
        f1=2 * matched / (truth + found) if truth + found else nan,
    )


def aji(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Return the aggregated Jaccard index of two label images.

    Each reference object takes the predicted object with the highest IoU (of equals the lowest label; one predicted object may
    be taken more than once, as in the paper). The index is the sum of intersections over the sum of unions plus the area of
    predicted objects that nobody took. Kumar et al., IEEE Transactions on Medical Imaging 36 (2017) 1550-1560.

    Parameters
    ----------
    truth, predicted : (h, w) integer labels, 0 = background.

    Returns
    -------
    In [0, 1]; NaN when both images are empty.
    """
    overlap = _overlaps(truth, predicted)
    order = np.lexsort((overlap.predicted, -overlap.iou, overlap.truth))
    chosen = order[np.unique(overlap.truth[order], return_index=True)[1]]  # best predicted object of each reference object
    shared = overlap.shared[chosen].sum()
    union = overlap.union[chosen].sum()
    union += np.delete(overlap.truth_areas, overlap.truth[chosen]).sum()
    union += np.delete(overlap.predicted_areas, overlap.predicted[chosen]).sum()
    return float(shared / union) if union else float("nan")


def panoptic_quality(truth: ArrayLike, predicted: ArrayLike) -> PanopticQuality:
    """Return the panoptic quality of two label images.

    Objects match when their IoU is above 0.5, which makes the match unique. Kirillov et al., CVPR 2019.

    Parameters
    ----------
    truth, predicted : (h, w) integer labels, 0 = background.
    """
    overlap = _overlaps(truth, predicted)
    ious = overlap.iou[overlap.iou > 0.5]
    nan = float("nan")
    objects = len(overlap.truth_areas) + len(overlap.predicted_areas)
    detection = 2 * len(ious) / objects if objects else nan
    segmentation = float(ious.mean()) if len(ious) else nan
    panoptic = 2 * float(ious.sum()) / objects if objects else nan
    return PanopticQuality(panoptic=panoptic, detection=detection, segmentation=segmentation)


def _edges_by_component(rows: NDArray[Any], cols: NDArray[Any], offset: int, nodes: int) -> list[NDArray[np.int64]]:
    """Group the edges (reference point ``rows``, found point ``cols``) by connected component."""
    if not len(rows):
        return []
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, cols + offset)), shape=(nodes, nodes))
    component = connected_components(graph, directed=False)[1][rows]
    order = np.argsort(component, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(component[order])) + 1)


def _assign(rows: NDArray[Any], cols: NDArray[Any], distances: NDArray[np.float64]) -> NDArray[np.int64]:
    """Solve one component; pairs that are too far apart cost more than all possible pairs together."""
    left, row = np.unique(rows, return_inverse=True)
    right, col = np.unique(cols, return_inverse=True)
    forbidden = (min(len(left), len(right)) + 1) * (distances.max() + 1.0)
    cost = np.full((len(left), len(right)), forbidden)
    cost[row, col] = distances
    best_row, best_col = linear_sum_assignment(cost)
    allowed = cost[best_row, best_col] < forbidden
    return np.column_stack([left[best_row[allowed]], right[best_col[allowed]]])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Overlaps:
    """All pairs of a reference and a predicted object that share a pixel, by dense index."""

    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    shared: NDArray[np.int64]
    truth_areas: NDArray[np.int64]
    predicted_areas: NDArray[np.int64]

    @property
    def union(self) -> NDArray[np.int64]:
        return self.truth_areas[self.truth] + self.predicted_areas[self.predicted] - self.shared

    @property
    def iou(self) -> NDArray[np.float64]:
        return self.shared / self.union


def _overlaps(truth: ArrayLike, predicted: ArrayLike) -> _Overlaps:
    left, right = np.asarray(truth), np.asarray(predicted)
    if left.shape != right.shape:
        raise ValueError(f"label images must have one shape, got {left.shape} and {right.shape}")
    left_labels, row = np.unique(left, return_inverse=True)
    right_labels, col = np.unique(right, return_inverse=True)
    pairs, counts = np.unique(row.ravel().astype(np.int64) * len(right_labels) + col.ravel(), return_counts=True)
    rows, cols = np.divmod(pairs, max(len(right_labels), 1))
    first_row, first_col = int(np.count_nonzero(left_labels <= 0)), int(np.count_nonzero(right_labels <= 0))
    both = (rows >= first_row) & (cols >= first_col)
    return _Overlaps(
        truth=rows[both] - first_row,
        predicted=cols[both] - first_col,
        shared=counts[both],
        truth_areas=np.bincount(row.ravel(), minlength=len(left_labels))[first_row:],
        predicted_areas=np.bincount(col.ravel(), minlength=len(right_labels))[first_col:],
    )
