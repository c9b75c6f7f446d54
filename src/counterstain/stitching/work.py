"""The folder of an unfinished slide: what it was started with, which tiles are done, and what was found in them.

A run that is killed leaves the folder as it is, and the same command goes on from there. All writes are such that the death of
the process at any moment leaves either the old state or the new one.
"""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from counterstain.errors import OutputError, Remedy, UsageError
from counterstain.geometry import Box
from counterstain.tiling.quality import TileQuality

SETTINGS = "settings.json"
TILES = "tiles.txt"
FORMAT_VERSION = 3
"""2 since the quality of a tile is in its line, 3 since its damage is."""

SHARES = tuple(field.name for field in fields(TileQuality))

Settings = Mapping[str, Any]
"""Names to values of JSON: everything that decides what a run computes."""


def resume(folder: Path, settings: Settings, *, replace: bool = False) -> bool:
    """Return whether a folder holds a run with these settings that can go on; one that holds none is emptied.

    Parameters
    ----------
    replace : whether a run with other settings is thrown away, not refused.

    Raises
    ------
    UsageError
        It holds a run with other settings; the message says which differ.
    OutputError
        What it holds is damaged.
    """
    now = _plain(settings)
    try:
        earlier = _read_settings(folder)
    except OutputError:
        if not replace:
            raise
        earlier = None
    if earlier == now:
        return True
    if earlier is not None and not replace:
        raise UsageError(
            f"{folder} holds an unfinished run with other settings: {_differences(earlier, now)}",
            Remedy("repeat it with those"),
            Remedy("start anew", "overwrite"),
        )
    if folder.exists():
        discard(folder)
    folder.mkdir(parents=True)
    return False


def discard(folder: Path) -> None:
    """Remove a folder of work. The settings go first: what is left when the process dies on the way is never resumed."""
    (folder / SETTINGS).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)


def holds(folder: Path, settings: Settings) -> bool:
    """Return whether a folder holds a run with these settings, as another process that shares it sees it."""
    return _read_settings(folder) == _plain(settings)


def write_settings(folder: Path, settings: Settings) -> None:
    """Write the settings, which marks the folder as one that ``resume`` accepts."""
    hidden = folder / f".{SETTINGS}.part"
    hidden.write_text(json.dumps(_plain(settings), indent=2), encoding="utf-8")
    os.replace(hidden, folder / SETTINGS)  # noqa: PTH105 (the one call that disk-full tests intercept)


class TileLog:
    """The tiles whose maps are written, one line each in a file that is only appended to."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / TILES
        self.done: dict[tuple[int, int], TileQuality] = _read(self._path)
        """Row and column of the cores that are written, by earlier runs too, with what was found in them."""
        self._file = self._path.open("a", encoding="ascii")

    def add(self, keep: Box, quality: TileQuality) -> None:
        """Record a core whose maps have been written."""
        shares = " ".join(repr(share) for share in astuple(quality))
        self._file.write(f"\n{keep.row} {keep.col} {shares} .")
        self._file.flush()
        self.done[keep.row, keep.col] = quality

    def close(self) -> None:
        """Close the file. Each line was flushed, so what fails here has been raised by ``add``."""
        with suppress(OSError):
            self._file.close()

    def __enter__(self) -> "TileLog":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _read_settings(folder: Path) -> dict[str, Any] | None:
    """Return the settings of the run in a folder; None when it was killed before it did anything, or there is none.

    Raises
    ------
    OutputError
        They are damaged, as a machine that lost its power may leave them.
    """
    path = folder / SETTINGS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise OutputError(f"{path} is damaged; remove the folder {folder} and run again")
    return content


def _read(path: Path) -> dict[tuple[int, int], TileQuality]:
    """Return the tiles of all whole lines: one that was cut off lacks its full stop, and a damaged one its numbers."""
    if not path.exists():
        return {}
    found = {}
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        words = line.split()
        if len(words) != 3 + len(SHARES):
            continue
        with suppress(ValueError):
            shares = dict(zip(SHARES, map(float, words[2:-1]), strict=True))
            found[int(words[0]), int(words[1])] = TileQuality(**shares)
    return found


def _plain(settings: Settings) -> dict[str, Any]:
    """Return the settings as they come back from JSON, with the version of this folder."""
    content: dict[str, Any] = json.loads(json.dumps({"format_version": FORMAT_VERSION, **settings}))
    return content


def _differences(earlier: dict[str, Any], now: dict[str, Any]) -> str:
    names = [name for name in {**earlier, **now} if earlier.get(name) != now.get(name)]
    return ", ".join(f"{name} was {earlier.get(name)!r} and is {now.get(name)!r}" for name in names)
