"""Sizes, boxes and resolutions, always in (row, col) order.

A ``Box`` is half open: it covers rows ``row .. row + height - 1``. Boxes may reach outside a slide; readers fill what is
outside. Nothing here knows pixels, files or models.
"""

from collections.abc import Iterator
from dataclasses import dataclass

DEFAULT_MPP = 0.25
"""Micrometres per pixel of a 40x scan; what the default bundle is trained at."""

MPP_AT_1X = 10.0
"""Micrometres per pixel at magnification 1, by the convention that 40x is 0.25."""


@dataclass(frozen=True, slots=True)
class Size:
    """Height and width in pixels, both at least 0."""

    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 0 or self.width < 0:
            raise ValueError(f"a size cannot be negative: {self.height} x {self.width}")

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    def scaled(self, factor: float, across: float | None = None) -> "Size":
        """Return the size at another resolution, rounded, never below one pixel where there was one.

        Parameters
        ----------
        factor : new pixels per pixel, down, and across too where that is None.
        """
        height = max(round(self.height * factor), min(self.height, 1))
        width = max(round(self.width * (factor if across is None else across)), min(self.width, 1))
        return Size(height, width)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels: first row, first column, height and width."""

    row: int
    col: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 0 or self.width < 0:
            raise ValueError(f"a box cannot have a negative side: {self}")

    @classmethod
    def whole(cls, size: Size) -> "Box":
        """Return the box that covers an image of this size."""
        return cls(0, 0, size.height, size.width)

    @property
    def size(self) -> Size:
        """Height and width."""
        return Size(self.height, self.width)

    @property
    def stop_row(self) -> int:
        """First row below the box."""
        return self.row + self.height

    @property
    def stop_col(self) -> int:
        """First column right of the box."""
        return self.col + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices into an array whose (0, 0) is the slide's; the box must not be negative."""
        return slice(self.row, self.stop_row), slice(self.col, self.stop_col)

    def shifted(self, rows: int, cols: int) -> "Box":
        """Return the box moved down by ``rows`` and right by ``cols``."""
        return Box(self.row + rows, self.col + cols, self.height, self.width)

    def grown(self, margin: int) -> "Box":
        """Return the box with ``margin`` pixels added on all four sides."""
        return Box(self.row - margin, self.col - margin, self.height + 2 * margin, self.width + 2 * margin)

    def intersection(self, other: "Box") -> "Box":
        """Return the common part; of zero area (never an error) when the boxes do not meet."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = max(0, min(self.stop_row, other.stop_row) - row)
        width = max(0, min(self.stop_col, other.stop_col) - col)
        return Box(row, col, height, width)

    def contains(self, row: float, col: float) -> bool:
        """Return whether a point lies in the half-open box."""
        return self.row <= row < self.stop_row and self.col <= col < self.stop_col

    def split(self, side: int) -> Iterator["Box"]:
        """Yield the squares of this side, counted from (0, 0), that meet the box, each narrowed to it, row by row."""
        for row in range(self.row // side * side, self.stop_row, side):
            for col in range(self.col // side * side, self.stop_col, side):
                cell = self.intersection(Box(row, col, side, side))
                if cell.height and cell.width:
                    yield cell


def mpp_of_magnification(magnification: float) -> float:
    """Return micrometres per pixel for an objective magnification, by the 40x = 0.25 convention."""
    if not magnification > 0:
        raise ValueError(f"magnification must be positive, got {magnification}")
    return MPP_AT_1X / magnification
