"""The ``Decoder`` protocol: from segmentation maps to separate nuclei."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Nuclei:
    """Which pixel belongs to which nucleus, and how sure it is that each nucleus is positive."""

    labels: NDArray[np.int32]
    """(h, w) int32: 0 background, 1 to n without gaps, numbered by first pixel (topmost row, then leftmost)."""
    p_positive: NDArray[np.float32]
    """(n,) float32 in [0, 1]: entry i belongs to label i + 1."""


class Decoder(Protocol):
    """A rule that cuts maps into nuclei. It is deterministic and works for any size of map, empty of nuclei or full."""

    def __call__(self, segmentation: NDArray[np.float32], distance: NDArray[np.float32] | None) -> Nuclei:
        """Cut the maps into nuclei.

        Parameters
        ----------
        segmentation : (h, w, 3) float32 in [0, 1]: positive, boundary and negative.
        distance : (h, w) float32 in [0, 1], 1 at the centre of a nucleus and 0 at its edge; None when not inferred.
        """


def numbered_by_first_pixel(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Renumber labels from 1 without gaps, in the order in which a scan row by row meets them.

    Parameters
    ----------
    labels : (h, w) int32, 0 = background, with or without gaps.

    Returns
    -------
    labels : (h, w) int32, 0 = background, 1 to n.
    kept : (n,) int64, the old label of each new one.
    """
    pixels = np.flatnonzero(labels)
    own = labels.ravel()[pixels]
    first = np.full(int(own.max(initial=0)) + 1, -1, dtype=np.int64)
    first[own[::-1]] = pixels[::-1]  # the last write to an index wins: the first pixel
    kept = np.flatnonzero(first >= 0)
    kept = kept[np.argsort(first[kept])]
    renumbered = np.zeros(len(first), dtype=np.int32)
    renumbered[kept] = np.arange(1, len(kept) + 1)
    return renumbered[labels], kept
