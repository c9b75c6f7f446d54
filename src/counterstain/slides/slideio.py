"""CZI, VSI and ZVI slides through slideio, read piece by piece from the level that fits. Needs the extra ``czi``.

Of several scenes of full size the user names one. Labels and overviews, which may show a name, are never read. Imported only
when it is asked for.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import slideio
from numpy.typing import NDArray

from counterstain.errors import DamagedTileError, UnreadableSlideError, UnsupportedSlideError
from counterstain.geometry import Box, Size
from counterstain.images import to_rgb
from counterstain.slides.base import WHOLE_FILE, Damage, Origin, Resolution
from counterstain.slides.choosing import Candidate
from counterstain.slides.pixel_size import Stated, believable, nominal, stated
from counterstain.slides.pyramid import damage_in_pyramid, level_of, read_pyramid
from counterstain.slides.tiles import TileCache, fill
from counterstain.slides.white_level import FULL, WhiteLevel, scaled, white_level, with_white

_DRIVERS = {".vsi": "VSI", ".zvi": "ZVI"}
"""By suffix; whatever else comes here is a CZI by its content."""

_CZI_PIXELS = re.compile(r"<PixelType>\s*(\w+)\s*</PixelType>")

_CZI_BITS = re.compile(r"<ComponentBitCount>\s*(\d{1,2})\s*</ComponentBitCount>")

_PLACE_IN_SOURCE = re.compile(r"^\S+\.[ch]pp:\d+:\s*")
"""Where slideio says in which of its own lines an error arose."""

SLIDEIO_ERRORS = (RuntimeError, OSError, ValueError, TypeError, IndexError, MemoryError)

BLOCK_PX = 1024
"""Side of the blocks that are decoded and kept: tiles of a CZI are large, slow to decode, and not kept by slideio."""

CACHE_BYTES = 256 * 2**20
"""A row of blocks of a slide of 85,000 pixels in width."""

RANGE_PX = 1024
"""Longer side of the level, at most, that is looked at to see how bright a 16-bit slide is."""


def scenes_of(path: Path) -> list[Candidate]:
    """Return the scenes of a file; labels and overviews that slideio lists as scenes are among them.

    Raises
    ------
    UnreadableSlideError
        It cannot be read.
    """
    try:
        slide = _open(path)
        scenes = [slide.get_scene(number) for number in range(slide.num_scenes)]
        return [_candidate(scene, number) for number, scene in enumerate(scenes)]
    except SLIDEIO_ERRORS as error:
        raise UnreadableSlideError(f"cannot read the whole slide {path}: {_reason(error)}") from error


def stated_by_slideio(path: Path, series: int) -> Stated:
    """Return the micrometres per pixel down and across that a scene states, or those of its objective.

    Raises
    ------
    UnreadableSlideError
        It cannot be read.
    UnsupportedSlideError
        It is of a kind that is refused.
    """
    scene = _scene(path, series)
    found = stated(_sides(scene))
    return found if found.sides or not scene.magnification > 0 else nominal(scene.magnification, found.doubt)


def _candidate(scene: Any, number: int) -> Candidate:
    width, height = scene.size
    sides = _sides(scene)
    believed = sides if sides and believable(sides) else None
    return Candidate(number=number, name=scene.name, size=Size(height, width), sides=believed)


def _sides(scene: Any) -> tuple[float, float] | None:
    across, down = (side * 1e6 for side in scene.resolution)
    return (down, across) if down > 0 and across > 0 else None


class SlideioSlide:
    """A ``Slide`` over a scene of a file; what was not scanned is white.

    Raises
    ------
    UnreadableSlideError
        When the file, or later a part of it, cannot be read.
    UnsupportedSlideError
        When it is not an RGB image of one plane, or its tiles would be put in wrong places.
    """

    def __init__(self, path: Path, *, name: str, resolution: Resolution, origin: Origin = WHOLE_FILE) -> None:
        self._path = path
        self._block = TileCache(self._decode, limit_bytes=CACHE_BYTES)
        self._scene: Any = _scene(path, origin.series)
        self.name = name
        self.resolution = resolution
        sizes = [self._scene.get_zoom_level_info(number).size for number in range(self._scene.num_zoom_levels)]
        full = Size(sizes[0].height, sizes[0].width)
        self._levels = [level_of(Size(size.height, size.width), full) for size in sizes if size.height and size.width]
        self._white = self._white_level()
        col, row, _, _ = self._scene.rect
        self.origin = with_white(replace(origin, row_px=row, col_px=col), self._white)

    @property
    def size(self) -> Size:
        """Height and width at full resolution."""
        return self._levels[0].size

    def read(self, box: Box, mpp: float) -> NDArray[np.uint8]:
        """Return the (h, w, 3) uint8 pixels of a box in pixels of ``mpp``, from the next finer level; white outside."""
        return read_pyramid(self._read_level, self._levels, self.resolution.factors(mpp), box, self._damage_in)

    def damage(self, box: Box, mpp: float) -> tuple[Damage, ...]:
        """Return the parts of a box that could not be decoded; see ``Slide.damage``."""
        return damage_in_pyramid(self._damage_in, self._levels, self.resolution.factors(mpp), box)

    def _damage_in(self, box: Box, level: int) -> list[Damage]:
        return self._block.damage_in(box, level, Size(BLOCK_PX, BLOCK_PX), -(-self._levels[level].size.width // BLOCK_PX))

    def _read_level(self, box: Box, level: int) -> NDArray[np.uint8]:
        size = self._levels[level].size
        kind = self._scene.get_channel_data_type(0)
        pixels = np.full((box.height, box.width, 3), np.iinfo(kind).max, kind)
        fill(pixels, box, Size(BLOCK_PX, BLOCK_PX), -(-size.width // BLOCK_PX), lambda number: self._block(level, number))
        return to_rgb(scaled(pixels, self._white) if pixels.dtype == np.uint16 else pixels)

    def _decode(self, level: int, number: int) -> NDArray[Any]:
        """Return the (h, w, 3) pixels of a block."""
        whole = Box.whole(self._levels[level].size)
        row, col = divmod(number, -(-whole.width // BLOCK_PX))
        return self._read_stored(Box(row * BLOCK_PX, col * BLOCK_PX, BLOCK_PX, BLOCK_PX).intersection(whole), level)

    def _read_stored(self, box: Box, level: int) -> NDArray[Any]:
        """Return the (h, w, 3) pixels of a box of a level; a CZI stores blue first."""
        try:
            pixels = self._scene.read_block_from_level(level, (box.col, box.row, box.width, box.height))
        except SLIDEIO_ERRORS as error:
            raise DamagedTileError(
                f"cannot decode rows {box.row} to {box.stop_row - 1}, columns {box.col} to {box.stop_col - 1} "
                f"of level {level} of {self._path}: {_reason(error)}"
            ) from error
        return np.asarray(pixels[..., ::-1] if _is_czi(self._path) else pixels)

    def _white_level(self) -> WhiteLevel:
        """Return the value of white in 16 bits, as the file states it or by the middle of the smallest level."""
        if self._scene.get_channel_data_type(0) != np.uint16:
            return FULL
        number = len(self._levels) - 1
        size = self._levels[number].size
        height, width = min(size.height, RANGE_PX), min(size.width, RANGE_PX)
        middle = Box((size.height - height) // 2, (size.width - width) // 2, height, width)
        pixels = self._read_stored(middle, number)
        seen = pixels[(pixels < np.iinfo(pixels.dtype).max).any(axis=2)]  # white may be what is missing
        return white_level(int(seen.max(initial=0)), self._path, _stated_white(self._path))

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._scene = None
        self._block.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _is_czi(path: Path) -> bool:
    return path.suffix.lower() not in _DRIVERS


def _open(path: Path) -> Any:
    return slideio.open_slide(str(path), _DRIVERS.get(path.suffix.lower(), "CZI"))


def _scene(path: Path, number: int) -> Any:
    """Return a scene, when it is an RGB image that is read rightly."""
    try:
        slide = _open(path)
        scene = slide.get_scene(number)
        _check_kind(scene, str(slide.raw_metadata), path)
    except SLIDEIO_ERRORS as error:
        raise UnreadableSlideError(f"cannot read the whole slide {path}: {_reason(error)}") from error
    return scene


def _stated_white(path: Path) -> int | None:
    """Return the largest value of a pixel by the bits that a CZI says are used."""
    found = [int(bits) for bits in _CZI_BITS.findall(str(_open(path).raw_metadata))] if _is_czi(path) else []
    return 2 ** min(found) - 1 if found and 8 < min(found) < 16 else None


def _check_kind(scene: Any, metadata: str, path: Path) -> None:
    """Refuse what is not an RGB image. Three channels of a CZI are colours only where its pixels are BGR, not grey."""
    kinds = {np.dtype(scene.get_channel_data_type(number)) for number in range(scene.num_channels)}
    is_rgb = scene.num_channels == 3 and kinds <= {np.dtype(np.uint8), np.dtype(np.uint16)} and len(kinds) == 1
    if _is_czi(path):
        is_rgb = is_rgb and all(pixels in ("Bgr24", "Bgr48") for pixels in _CZI_PIXELS.findall(metadata))
    else:
        is_rgb = is_rgb and kinds == {np.dtype(np.uint8)}
    if not is_rgb or scene.num_z_slices > 1 or scene.num_t_frames > 1:
        raise UnsupportedSlideError(
            f"{path} has {scene.num_channels} channels of {', '.join(map(str, kinds))}, {scene.num_z_slices} planes and "
            f"{scene.num_t_frames} frames, expected one RGB image of a stained slide; export the plane to analyse as OME-TIFF"
        )
    if _is_czi(path) and scene.rect[1] < 0:
        raise UnsupportedSlideError(
            f"{path} has tiles at negative rows ({scene.rect[1]}), which slideio puts in wrong places; export it as OME-TIFF"
        )


def _reason(error: Exception) -> str:
    return _PLACE_IN_SOURCE.sub("", str(error))
