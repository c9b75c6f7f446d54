"""The ``Decoder`` protocol: from segmentation maps to separate nuclei.

Adding a decoder takes a file in this folder with a class that keeps this protocol, and a line in ``names.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Nuclei:
    """Which pixel belongs to which nucleus, and how sure it is that each nucleus is positive."""

    labels: NDArray[np.int32]
    """(h, w) int32: 0 background, 1 to n without gaps, numbered by first pixel (topmost row, then leftmost)."""
    p_positive: NDArray[np.float32]
    """(n,) float32 in [0, 1]: entry i belongs to label i + 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halo:
    """What a decoder must see around a block of a slide so that it finds the nuclei of the block as on the whole slide."""

    width_um: float = 64.0
    """How far it sees beyond the block at first: eight nuclei."""
    most_widths: int = 1
    """How many times as wide the halo becomes on a side where it cuts a nucleus; 1 never widens it."""
    drops_wider: bool = True
    """Whether anything higher or wider than ``width_um`` is dropped, as too large for a nucleus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a decoder is told before it sees a map."""

    mpp: float
    """Micrometres per pixel of the maps."""
    reach_um: float = 0.0
    """How far a nucleus reaches beyond its interior into the boundary that the model infers; see ``Channel``."""
    min_area_um2: float | None = None
    """Smaller nuclei are dropped; None leaves the limit to the decoder."""
    settings: Mapping[str, float] = field(default_factory=dict)
    """By the names of ``Decoder.settings_class``; those that are missing have their default."""


class Decoder(Protocol):
    """A rule that cuts maps into nuclei.

    It is deterministic and works for any size of map, empty of nuclei or full. What it makes of a nucleus depends on what lies
    within its halo, and on ``with_sizes``, alone.
    """

    settings_class: ClassVar[type[Any]]
    """Frozen dataclass of the settings that this decoder alone reads, all with defaults; refuses values out of range by
    ``UsageError``."""
    default_min_area_um2: ClassVar[float | None]
    """Square micrometres: smaller nuclei are dropped where no limit is asked for; None where the decoder finds its own."""
    halo: ClassVar[Halo]

    @classmethod
    def made_for(cls, request: Request) -> Self:
        """Return the decoder for the maps of one model."""

    @property
    def sized_by(self) -> "Decoder | None":
        """The decoder whose nuclei, on the whole slide, are measured before this one can cut a block; mostly None."""

    def with_sizes(self, sizes_px: NDArray[np.int64]) -> Self:
        """Return the decoder that knows the (n,) int64 sizes in pixels of the nuclei that ``sized_by`` cuts, in any order."""

    def __call__(self, segmentation: NDArray[np.float32], distance: NDArray[np.float32] | None) -> Nuclei:
        """Cut the maps into nuclei.

        Parameters
        ----------
        segmentation : (h, w, 3) float32 in [0, 1]: positive, boundary and negative.
        distance : (h, w) float32 in [0, 1], 1 at the centre of a nucleus and 0 at its edge; None when not inferred.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSettings:
    """The settings of a decoder that reads none of its own."""


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
