"""The image that a result was made of: known from the record, and opened when its pixels are first asked for."""

import threading
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from counterstain.errors import CounterstainError, Remedy, UsageError
from counterstain.geometry import Box, Size
from counterstain.results.slide import SlideRecord
from counterstain.slides.base import Damage, Origin, Resolution, Slide
from counterstain.slides.opening import open_slide

NAME_IT = Remedy("name the image of the result", "slide")


def open_source(stored: SlideRecord, named: Path | None = None) -> Slide:
    """Open the image of a result and check that it is that image.

    Parameters
    ----------
    named : where it lies now; None is where it lay.

    Raises
    ------
    SlideError
        It cannot be opened; the message says how to name it.
    UsageError
        It has another size or pixel size.
    """
    mpp = stored.mpp if stored.mpp_source == "option" else None
    series = stored.origin.series if stored.origin else None
    try:
        slide = open_slide(named or stored.source, mpp=mpp, default_mpp=stored.analysed_mpp, series=series)
    except CounterstainError as error:
        raise type(error)(error.happened, *error.remedies, NAME_IT) from error
    if (slide.size, slide.resolution.mpp, slide.resolution.sides) != (stored.size, stored.mpp, stored.sides):
        slide.close()
        raise UsageError(f"{named or stored.source} is not the image that the result was made of", NAME_IT)
    return slide


class SourceSlide:
    """A ``Slide`` whose name and sizes are those of a record, and whose pixels are those of the image that it was made of.

    Parameters
    ----------
    stored : what the record says.
    named : where the image lies now; None is where it lay.
    """

    def __init__(self, stored: SlideRecord, named: Path | None = None) -> None:
        self._stored, self._named = stored, named
        self._slide: Slide | None = None
        self._one_at_a_time = threading.Lock()

    @property
    def name(self) -> str:
        """Of the result."""
        return self._stored.name

    @property
    def size(self) -> Size:
        """Height and width at full resolution."""
        return self._stored.size

    @property
    def resolution(self) -> Resolution:
        """Pixel size at full resolution."""
        return self._stored.resolution

    @property
    def origin(self) -> Origin:
        """Which image of its file it was, as far as the record says."""
        stored = self._stored
        which = stored.origin.model_dump(include={"series", "name", "images", "left_out"}) if stored.origin else {}
        place = stored.frame.model_dump(include={"row_px", "col_px"}) if stored.frame else {}
        return Origin(**which, **place, orientation=stored.orientation, white=stored.white_level)

    def read(self, box: Box, mpp: float) -> NDArray[np.uint8]:
        """Return the (h, w, 3) uint8 pixels of a box in pixels of ``mpp``; white outside.

        Raises
        ------
        SlideError, UsageError
            The image is no longer there, or it is a different one.
        """
        return self._open().read(box, mpp)

    def damage(self, box: Box, mpp: float) -> tuple[Damage, ...]:
        """Return the parts of a box that could not be decoded when it was last read."""
        return self._open().damage(box, mpp)

    def _open(self) -> Slide:
        with self._one_at_a_time:
            if self._slide is None:
                self._slide = open_source(self._stored, self._named)
            return self._slide

    def close(self) -> None:
        """Close the image if it was opened."""
        with self._one_at_a_time:
            if self._slide is not None:
                self._slide.close()
                self._slide = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
