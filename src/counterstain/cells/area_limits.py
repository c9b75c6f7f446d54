"""Check whether the numbers hinge on the limits of area: how many nuclei are only just larger, or smaller, than a limit."""

import numpy as np
from numpy.typing import NDArray

from counterstain.cells.table import FLAG_TOUCHES_BORDER, CellColumns, Thresholds

NEAR = 1.25
"""Times the smallest area that is counted; a slightly different limit would drop a nucleus that is smaller than this."""

MANY = 0.10
"""Share of nuclei near a limit from which the count hinges on it."""

POINTS = 0.02
"""Change of the share of positive nuclei without those near a limit from which it hinges on the limit."""

FEWEST = 5
"""With fewer nuclei near a limit than this, their number may be chance, and no warning is given."""


def limit_warnings(cells: CellColumns, thresholds: Thresholds) -> tuple[str, ...]:
    """Return a warning for each limit of area on which the number of nuclei, or the share of positive ones, hinges.

    Nuclei that touch the border of the image are left out, as their area is that of a part.
    """
    whole = (cells["quality_flags"] & FLAG_TOUCHES_BORDER) == 0
    areas, positive = cells["area_um2"][whole], cells["is_positive"][whole]
    found = []
    low, high = (thresholds.get(name) for name in ("min_area_um2", "max_area_um2"))
    if isinstance(low, int | float) and low > 0:
        found.append(
            _warning(areas < NEAR * low, positive, f"less than {NEAR:g} times the smallest area that is counted ({low:g} um2)")
        )
    if isinstance(high, int | float):
        found.append(
            _warning(
                areas > high / NEAR, positive, f"more than {1 / NEAR:g} times the largest area that is counted ({high:g} um2)"
            )
        )
    return tuple(warning for warning in found if warning)


def _warning(near: NDArray[np.bool_], positive: NDArray[np.bool_], size: str) -> str:
    count = int(near.sum())
    if count < FEWEST:
        return ""
    share, without = (float(part.mean()) if len(part) else 0.0 for part in (positive, positive[~near]))
    if count < MANY * len(near) and abs(share - without) < POINTS:
        return ""
    return (
        f"{count} of {len(near)} nuclei have {size}; without them {100 * without:.1f} % would be positive, not "
        f"{100 * share:.1f} %: look whether they are nuclei, and choose the limits of area on purpose"
    )
