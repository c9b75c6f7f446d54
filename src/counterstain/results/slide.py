"""What a record says of the image that was analysed."""

from typing import Annotated, Any

from pydantic import Field

from counterstain.analysis import Analysis
from counterstain.geometry import Size
from counterstain.results.part import Part
from counterstain.slides.base import MppSource, Origin, Resolution
from counterstain.slides.turning import UPRIGHT

Micrometres = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Pixels = Annotated[int, Field(ge=1)]


class OriginRecord(Part):
    """Which image of its file it was."""

    series: int
    name: str
    images: int
    left_out: tuple[str, ...] = ()


class FrameRecord(Part):
    """Where the first pixel of the slide lies in the file's own pixels."""

    row_px: int
    col_px: int


class SlideRecord(Part):
    """The image that was analysed."""

    name: str
    source: str
    width_px: Pixels
    height_px: Pixels
    mpp: Micrometres
    pixel_height_um: Micrometres | None = None
    pixel_width_um: Micrometres | None = None
    """Sides of a pixel that is not square."""
    mpp_source: MppSource
    origin: OriginRecord | None = None
    frame: FrameRecord | None = None
    """None in results of early versions, as ``origin``."""
    orientation: int = UPRIGHT
    white_level: int | None = None
    analysed_mpp: Micrometres
    analysed_width_px: Pixels
    analysed_height_px: Pixels
    overview_sha256: str = ""
    tissue_mm2: float | None = None

    @property
    def size(self) -> Size:
        """Height and width of the image in its own pixels."""
        return Size(self.height_px, self.width_px)

    @property
    def analysed_size(self) -> Size:
        """Height and width of the maps."""
        return Size(self.analysed_height_px, self.analysed_width_px)

    @property
    def sides(self) -> tuple[float, float]:
        """Height and width of a pixel in micrometres."""
        return self.pixel_height_um or self.mpp, self.pixel_width_um or self.mpp

    @property
    def resolution(self) -> Resolution:
        """Size of a pixel and where it comes from."""
        height, width = self.sides
        return Resolution(self.mpp, self.mpp_source, 1.0 if height == width else height / width)


def slide_record(analysis: Analysis) -> dict[str, Any]:
    """Return the ``slide`` of a record."""
    slide, maps = analysis.slide, analysis.maps
    height_um, width_um = slide.resolution.sides
    return {
        "name": slide.name,
        "source": analysis.source,
        "width_px": slide.size.width,
        "height_px": slide.size.height,
        "mpp": slide.resolution.mpp,
        **({} if height_um == width_um else {"pixel_height_um": height_um, "pixel_width_um": width_um}),
        "mpp_source": slide.resolution.source,
        "origin": _origin(slide.origin),
        "frame": {"row_px": slide.origin.row_px, "col_px": slide.origin.col_px},
        **({} if slide.origin.orientation == UPRIGHT else {"orientation": slide.origin.orientation}),
        **({} if slide.origin.white is None else {"white_level": slide.origin.white}),
        "analysed_mpp": maps.mpp,
        "analysed_width_px": maps.size.width,
        "analysed_height_px": maps.size.height,
        **({"overview_sha256": analysis.overview_sha256} if analysis.overview_sha256 else {}),
        **({} if analysis.tissue_mm2 is None else {"tissue_mm2": analysis.tissue_mm2}),
    }


def _origin(origin: Origin) -> dict[str, Any]:
    """Return which image of its file the slide is, and what the file holds beside it."""
    return {"series": origin.series, "name": origin.name, "images": origin.images, "left_out": list(origin.left_out)}
