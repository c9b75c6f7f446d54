"""From a path to an open ``Slide``: the content says which reader, the suffix does not.

Readers of slides are imported when a slide is met: a PNG or a JPEG needs none of them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from counterstain.errors import UnsupportedSlideError
from counterstain.extras import require
from counterstain.geometry import DEFAULT_MPP, Size
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import WHOLE_FILE, Origin, Resolution, Slide
from counterstain.slides.choosing import Candidate, choose, of_full_size
from counterstain.slides.pixel_size import Stated, resolution_of
from counterstain.slides.raster import Decoded, decode_raster
from counterstain.slides.sniffing import kind_of
from counterstain.slides.turning import with_turn
from counterstain.slides.white_level import with_white

Reader = Literal["zarr", "slideio", "openslide", "tiff", "raster"]

RASTER_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".jp2", ".ppm", ".pgm"})
WHOLE_SLIDE_SUFFIXES = frozenset(
    {
        ".svs",
        ".ndpi",
        ".mrxs",
        ".scn",
        ".vms",
        ".vmu",
        ".bif",
        ".svslide",
        ".dcm",
        ".qptiff",
        ".czi",
        ".vsi",
        ".zvi",
        ".zarr",
        ".ozx",
    }
)
SLIDE_SUFFIXES = RASTER_SUFFIXES | WHOLE_SLIDE_SUFFIXES
"""Lower-case suffixes of what a listing of a folder takes for slides; of folders, those that hold an OME-Zarr image. Any other
slide can be opened by naming it."""


def open_slide(
    path: str | Path, *, mpp: float | None = None, default_mpp: float = DEFAULT_MPP, series: int | None = None
) -> Slide:
    """Open an image or a whole slide.

    Parameters
    ----------
    path : file, or folder of an OME-Zarr, to read.
    mpp : micrometres per pixel at full size; wins over what the file says, which is warned of where it differs.
    default_mpp : taken, as ``assumed``, for a flat image that states none.
    series : number of the image in a file of several, from 0; None takes the only one of full size.

    Raises
    ------
    UnreadableSlideError
        When the path is missing, empty, truncated, not an image or too large.
    UnsupportedSlideError
        When the image is of a kind that is refused, or the file has several of full size and ``series`` names none of them.
    MissingResolutionError
        When a whole slide states no pixel size and ``mpp`` is not given.
    ValueError
        When ``mpp`` is not positive.
    """
    path = Path(path)
    if mpp is not None and not 0 < mpp < float("inf"):
        raise ValueError(f"mpp must be a positive number of micrometres per pixel, got {mpp}")
    wanted = Wanted(path=path, mpp=mpp, default_mpp=default_mpp, series=series)
    reader = _reader_of(path)
    if reader in ("zarr", "slideio"):
        return _open_listed(wanted, reader)
    if reader == "tiff":
        return _open_tiff(wanted)
    choose([Candidate(number=0, size=Size(0, 0))], path, series)  # of several images these readers know nothing
    return _open_whole_slide(wanted) if reader == "openslide" else _open_raster(wanted)


def full_size_series(path: Path) -> list[int]:
    """Return the numbers of the images of a file that are of full size and no labels: more than one only in a file of fields.

    Raises
    ------
    SlideError
        The file cannot be read.
    """
    reader = _reader_of(path)
    if reader in ("zarr", "slideio"):
        candidates = _listing(path, reader)
    elif reader == "tiff":
        from counterstain.slides.tiffs.flat import candidates_of_tiff

        candidates = candidates_of_tiff(path)
    else:
        return [0]
    return [candidate.number for candidate in of_full_size(candidates)]


def slide_name(path: Path) -> str:
    """Return the file name without its suffix, ``.ome.tif`` and ``.ome.zarr.zip`` counting as one."""
    stem = path.stem.removesuffix(".zarr") if path.suffix.lower() == ".zip" else path.stem
    return as_unicode(stem.removesuffix(".ome") or path.stem)


def series_name(name: str, series: int) -> str:
    """Return the name of one of several fields of a file."""
    return f"{name}_series{series}"


def as_unicode(path: str | Path) -> str:
    """Return a path as text that every file can hold: bytes that are not UTF-8, which a disk allows, become U+FFFD."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be opened, and how."""

    path: Path
    mpp: float | None
    default_mpp: float
    series: int | None

    def name(self, origin: Origin = WHOLE_FILE) -> str:
        """Return the name of the slide: that of its file, with the number of the image where it is one of several fields."""
        name = slide_name(self.path)
        return name if origin.fields == 1 else series_name(name, origin.series)

    def resolution(self, found: Stated, *, is_flat: bool = False) -> Resolution:
        """Return the pixel size that is taken; of a flat image it may be assumed."""
        return resolution_of(self.path, found, option=self.mpp, assumed=self.default_mpp if is_flat else None)


def _reader_of(path: Path) -> Reader:
    """Return which reader a file is for, once its headers are checked and the native readers have survived it."""
    kind = kind_of(path)
    if kind in ("raster", "zarr"):
        return kind
    from counterstain.slides.checks.tiff_headers import check_tiff_headers
    from counterstain.slides.checks.trial import check_survives
    from counterstain.slides.openslide import is_whole_slide, opens

    if kind == "tiff":
        check_tiff_headers(path)
    check_survives(path)
    if kind == "slideio" and not opens(path):
        return kind
    if is_whole_slide(path):
        return "openslide"
    return "tiff" if kind == "tiff" else "raster"


def _open_listed(wanted: Wanted, reader: Reader) -> Slide:
    """Open an image of a container that needs an extra, which is imported only here."""
    path = wanted.path
    origin = choose(_listing(path, reader), path, wanted.series)
    if reader == "zarr":
        from counterstain.slides.zarrs.ome_zarr import OmeZarrSlide, stated_by_zarr

        resolution = wanted.resolution(stated_by_zarr(path, origin.series))
        return OmeZarrSlide(path, name=wanted.name(origin), resolution=resolution, origin=origin)
    from counterstain.slides.slideio import SlideioSlide, stated_by_slideio

    resolution = wanted.resolution(stated_by_slideio(path, origin.series))
    return SlideioSlide(path, name=wanted.name(origin), resolution=resolution, origin=origin)


def _listing(path: Path, reader: Reader) -> list[Candidate]:
    """Return the images of a container.

    OpenSlide reads a CZI that is not compressed by JPEG XR, and needs no extra.
    """
    if reader == "zarr":
        require(f"{path} is an OME-Zarr, which", ["zarr"], "slides", UnsupportedSlideError)
        from counterstain.slides.zarrs.places import images_of_zarr

        return images_of_zarr(path)
    require(f"{path} is a CZI, VSI or ZVI slide, which", ["slideio"], "czi", UnsupportedSlideError)
    from counterstain.slides.slideio import scenes_of

    return scenes_of(path)


def _open_whole_slide(wanted: Wanted) -> Slide:
    from counterstain.slides.openslide import OpenSlideSlide, stated_by_openslide

    resolution = wanted.resolution(stated_by_openslide(wanted.path))
    return OpenSlideSlide(wanted.path, name=wanted.name(), resolution=resolution)


def _open_tiff(wanted: Wanted) -> Slide:
    from counterstain.slides.tiffs.flat import decode_tiff, headers_of_tiff
    from counterstain.slides.tiffs.tiled import TiledTiffSlide, reads_in_pieces

    path = wanted.path
    image, origin = headers_of_tiff(path, wanted.series)
    if reads_in_pieces(image):
        resolution = wanted.resolution(image.stated)
        return TiledTiffSlide(path, name=wanted.name(origin), resolution=resolution, origin=origin)
    decoded = decode_tiff(path, origin.series)
    return _flat(decoded, wanted, wanted.resolution(image.stated, is_flat=True), origin)


def _open_raster(wanted: Wanted) -> Slide:
    decoded = decode_raster(wanted.path)
    origin = with_turn(WHOLE_FILE, decoded.orientation)
    return _flat(decoded, wanted, wanted.resolution(Stated(), is_flat=True), origin)


def _flat(decoded: Decoded, wanted: Wanted, resolution: Resolution, origin: Origin) -> Slide:
    shown, name = with_white(origin, decoded.white), wanted.name(origin)
    return ArraySlide(decoded.pixels, name=name, resolution=resolution, origin=shown, damaged=decoded.damaged)
