"""An image that has come as a whole: whether it can be read, how large it is, and what a job has to say of it."""

from dataclasses import dataclass
from pathlib import Path

from counterstain.errors import MissingResolutionError, Remedy
from counterstain.geometry import DEFAULT_MPP
from counterstain.slides.base import MppSource
from counterstain.slides.opening import open_slide
from counterstain.web.problems import Problem

CUT_IT = Remedy("cut out the region of interest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the header of an image says."""

    height_px: int
    width_px: int
    mpp: float | None
    """None where a job must say it."""
    mpp_source: MppSource | None


def look_at(path: Path, most_pixels: int) -> Seen:
    """Open an image as a job will, and return what it is.

    Raises
    ------
    SlideError
        It cannot be read.
    Problem
        It has too many pixels.
    """
    mpp: float | None
    try:
        with open_slide(path) as slide:
            size, mpp, source = slide.size, slide.resolution.mpp, slide.resolution.source
    except MissingResolutionError:
        with open_slide(path, mpp=DEFAULT_MPP) as slide:
            size, mpp, source = slide.size, None, None
    if size.area > most_pixels:
        raise Problem(413, f"the image has {size.area:,} pixels and {most_pixels:,} are the most", CUT_IT)
    return Seen(height_px=size.height, width_px=size.width, mpp=mpp, mpp_source=source)
