"""The level of a kept map from which a tile is made, so that an overview does not read the whole map."""

import math
from dataclasses import replace
from typing import Any

from counterstain.stitching.maps import Plane


def nearest_level(plane: Plane, pixels: float) -> tuple[Any, float]:
    """Return an array that slices as (h, w, c), and how many of its pixels go into one that is asked for.

    Parameters
    ----------
    pixels : of the full map that go into one that is asked for, along a side.
    """
    stored = plane.stored
    smaller = getattr(stored, "smaller", ())  # only maps of an OME-Zarr have smaller levels
    halvings = min(int(math.log2(max(pixels, 1.0))), len(smaller))
    if not halvings:
        return stored, pixels
    return replace(stored, array=smaller[halvings - 1], smaller=()), pixels / 2**halvings
