"""Compare two class images pixel by pixel: 0 background, 1 negative, 2 positive.

In come the reference and the prediction, out come ratios per class. Confusion matrices of several images add up, so a set of
images is scored either as one (add, then score) or image by image (score, then average). Nuclei are unknown here.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BACKGROUND, NEGATIVE, POSITIVE = 0, 1, 2
"""The classes of a class image."""

NUCLEAR = (NEGATIVE, POSITIVE)
"""The classes over which the published mean is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelScores:
    """Ratios per class; a ratio whose denominator is 0 (the class is absent) is NaN."""

    iou: NDArray[np.float64]
    """(classes,) float64 in [0, 1]: intersection over union (Jaccard)."""
    dice: NDArray[np.float64]
    """(classes,) float64 in [0, 1]: twice the intersection over the sum of both areas; equal to F1."""
    precision: NDArray[np.float64]
    """(classes,) float64 in [0, 1]: correct share of the predicted pixels."""
    recall: NDArray[np.float64]
    """(classes,) float64 in [0, 1]: found share of the reference pixels."""
    accuracy: float
    """Share of all pixels, background included, that have the right class; NaN without pixels."""

    def mean(self, ratio: str, classes: tuple[int, ...] = NUCLEAR) -> float:
        """Return the mean of ``"iou"``, ``"dice"``, ``"precision"`` or ``"recall"`` over classes.

        Classes that are absent (NaN) are left out; the mean is NaN when all are absent.
        """
        values = {"iou": self.iou, "dice": self.dice, "precision": self.precision, "recall": self.recall}[ratio][list(classes)]
        present = values[~np.isnan(values)]
        return float(present.mean()) if present.size else float("nan")


def confusion_matrix(truth: ArrayLike, predicted: ArrayLike, classes: int = 3) -> NDArray[np.int64]:
    """Count pixels by reference class (row) and predicted class (column).

    Parameters
    ----------
    truth, predicted : (h, w) integer in [0, classes), of the same shape.
    classes : number of classes.

    Returns
    -------
    (classes, classes) int64 of counts.

    Raises
    ------
    ValueError
        Shapes differ, or a class lies outside the range.
    """
    rows, cols = np.asarray(truth), np.asarray(predicted)
    if rows.shape != cols.shape:
        raise ValueError(f"class images must have one shape, got {rows.shape} and {cols.shape}")
    for image in (rows, cols):
        if image.size and not (image.min() >= 0 and image.max() < classes):
            raise ValueError(f"classes must lie in [0, {classes}), got {image.min()} to {image.max()}")
    pairs = rows.astype(np.int64).ravel() * classes + cols.astype(np.int64).ravel()
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def pixel_scores(confusion: ArrayLike) -> PixelScores:
    """Turn a confusion matrix (rows: reference, columns: prediction) into ratios per class.

    Parameters
    ----------
    confusion : (classes, classes) integer counts, of one image or summed over many.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    hits, truth, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    return PixelScores(
        iou=_ratio(hits, truth + predicted - hits),
        dice=_ratio(2 * hits, truth + predicted),
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, truth),
        accuracy=float(_ratio(hits.sum(), counts.sum())),
    )


def _ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    """Divide; NaN where the denominator is 0."""
    numerator, denominator = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    quotient = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient
