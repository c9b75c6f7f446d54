"""How much of a slide its file no longer holds, and whether that is too much.

A tile that cannot be decoded is white to the network, no tissue and no nuclei; ``TileQuality.damaged`` says how much of each.
"""

from collections.abc import Iterator

from counterstain.errors import Remedy, UnreadableSlideError
from counterstain.slides.base import Damage, Slide
from counterstain.tiling.quality import TileQualities, damaged_share

MOST_OF_ONE_TILE = 0.5
"""Share of what is analysed that one damaged tile of a file may have, whatever share of damage is allowed."""

COPY_AGAIN = Remedy("copy the file again from where it came")


def check_damage(slide: Slide, tiles: TileQualities, mpp: float, *, most: float) -> None:
    """Check that no more than a share of the area of tiles, whose boxes count in pixels of ``mpp``, is damaged.

    One tile of the file alone may be more, up to ``MOST_OF_ONE_TILE``: a small image has few.

    Raises
    ------
    UnreadableSlideError
        More is; the message names the share and the first damage.
    """
    share = damaged_share(tiles)
    if share > most:
        reasons = dict.fromkeys(damage.reason for damage in damage_in_tiles(slide, tiles, mpp))
        if len(reasons) == 1 and share <= MOST_OF_ONE_TILE:
            return
        reason = next(iter(reasons), "not found again")
        raise UnreadableSlideError(
            f"{slide.name} is damaged: {100 * share:.3g} % of what was analysed cannot be decoded, and at most "
            f"{100 * most:g} % may be left out; the first damage: {reason}",
            COPY_AGAIN,
            Remedy("allow more", "max_damaged_share", "0.2"),
        )


def damage_in_tiles(slide: Slide, tiles: TileQualities, mpp: float) -> Iterator[Damage]:
    """Yield the damage of the tiles that have any, which are read again for it; boxes count in pixels of ``mpp``."""
    for box, quality in tiles:
        if quality.damaged:
            slide.read(box, mpp)
            yield from slide.damage(box, mpp)
