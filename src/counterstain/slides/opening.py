"""From a path to an open ``Slide``: the content says which reader, the suffix does not."""

import importlib
from pathlib import Path

from counterstain.errors import MissingResolutionError, Remedy, UnsupportedSlideError
from counterstain.extras import require
from counterstain.geometry import DEFAULT_MPP
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution, Slide, stated_resolution
from counterstain.slides.openslide import OpenSlideSlide, is_generic_tiff, is_whole_slide, opens, stated_sides
from counterstain.slides.raster import decode_raster
from counterstain.slides.sniffing import kind_of
from counterstain.slides.tiff import decode_tiff
from counterstain.slides.tiff_headers import check_tiff_headers
from counterstain.slides.tiff_resolution import Sides, sides_of_tiff
from counterstain.slides.tiled_tiff import TiledTiffSlide, lacks_codec, reads_in_pieces
from counterstain.slides.trial import check_survives

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


def open_slide(path: str | Path, *, mpp: float | None = None, default_mpp: float = DEFAULT_MPP) -> Slide:
    """Open an image or a whole slide.

    Parameters
    ----------
    path : file, or folder of an OME-Zarr, to read.
    mpp : micrometres per pixel at full size; wins over what the file says.
    default_mpp : taken, as ``assumed``, for a flat image that states none.

    Raises
    ------
    UnreadableSlideError
        When the path is missing, empty, truncated, not an image or too large.
    UnsupportedSlideError
        When the image is of a kind that is refused.
    MissingResolutionError
        When a whole slide states no pixel size and ``mpp`` is not given.
    ValueError
        When ``mpp`` is not positive.
    """
    path = Path(path)
    if mpp is not None and not 0 < mpp < float("inf"):
        raise ValueError(f"mpp must be a positive number of micrometres per pixel, got {mpp}")
    kind = kind_of(path)
    if kind == "zarr":
        return _open_ome_zarr(path, mpp)
    if kind == "tiff":
        check_tiff_headers(path)
    if kind != "raster":
        check_survives(path)
    if kind == "slideio" and not opens(path):
        return _open_by_slideio(path, mpp)
    if kind != "raster" and is_whole_slide(path):
        return _open_whole_slide(path, mpp)
    if kind == "tiff" and reads_in_pieces(path):
        return _open_tiled(path, mpp)
    pixels = decode_tiff(path) if kind == "tiff" else decode_raster(path)
    stated = sides_of_tiff(path) if kind == "tiff" and mpp is None else None
    return ArraySlide(pixels, name=slide_name(path), resolution=_resolution(mpp, stated, default_mpp))


def slide_name(path: Path) -> str:
    """Return the file name without its suffix, ``.ome.tif`` and ``.ome.zarr.zip`` counting as one."""
    stem = path.stem.removesuffix(".zarr") if path.suffix.lower() == ".zip" else path.stem
    return as_unicode(stem.removesuffix(".ome") or path.stem)


def as_unicode(path: str | Path) -> str:
    """Return a path as text that every file can hold: bytes that are not UTF-8, which a disk allows, become U+FFFD."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _open_ome_zarr(path: Path, mpp: float | None) -> Slide:
    require(f"{path} is an OME-Zarr, which", ["zarr"], "slides", UnsupportedSlideError)
    reader = importlib.import_module("counterstain.slides.ome_zarr")
    resolution = _stated_resolution(path, mpp, reader.stated_sides(path) if mpp is None else None)
    slide: Slide = reader.OmeZarrSlide(path, name=slide_name(path), resolution=resolution)
    return slide


def _open_by_slideio(path: Path, mpp: float | None) -> Slide:
    """Open a CZI, VSI or ZVI; OpenSlide reads a CZI that is not compressed by JPEG XR, and needs no extra."""
    require(f"{path} is a CZI, VSI or ZVI slide, which", ["slideio"], "czi", UnsupportedSlideError)
    reader = importlib.import_module("counterstain.slides.slideio")
    resolution = _stated_resolution(path, mpp, reader.stated_sides(path) if mpp is None else None)
    slide: Slide = reader.SlideioSlide(path, name=slide_name(path), resolution=resolution)
    return slide


def _open_whole_slide(path: Path, mpp: float | None) -> Slide:
    stated = stated_sides(path) if mpp is None else None
    return OpenSlideSlide(path, name=slide_name(path), resolution=_stated_resolution(path, mpp, stated))


def _open_tiled(path: Path, mpp: float | None) -> Slide:
    """Open a tiled TIFF by tifffile, or by OpenSlide where tifffile lacks the codec."""
    resolution = _stated_resolution(path, mpp, sides_of_tiff(path) if mpp is None else None)
    reader = OpenSlideSlide if lacks_codec(path) and is_generic_tiff(path) else TiledTiffSlide
    return reader(path, name=slide_name(path), resolution=resolution)


def _stated_resolution(path: Path, mpp: float | None, stated: Sides | None) -> Resolution:
    if mpp is None and stated is None:
        raise MissingResolutionError(
            f"{path} does not state its pixel size",
            Remedy("state it: for a 40x scan", "mpp", "0.25"),
            Remedy("for 20x", "mpp", "0.5"),
        )
    return _resolution(mpp, stated, DEFAULT_MPP)


def _resolution(option: float | None, stated: Sides | None, default: float) -> Resolution:
    if option is not None:
        return Resolution(option, "option")
    return stated_resolution(stated) if stated is not None else Resolution(default, "assumed")
