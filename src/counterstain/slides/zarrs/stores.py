"""Zarr stores that are not trusted: a folder that nothing leads out of, or a zip file, with a limit on what is read at once.

Needs zarr, so it is imported only when it is asked for.
"""

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore, ZipStore

from counterstain.errors import UnreadableSlideError

MAX_METADATA_BYTES = 8 * 2**20

MAX_CHUNK_BYTES = 256 * 2**20
"""Of a chunk, stored and decoded."""

_METADATA = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"})


def open_store(path: Path) -> "CheckedFolder | CheckedZip":
    """Return the store in a folder or zip file, open to be read.

    Raises
    ------
    OSError, zipfile.BadZipFile
        It cannot be read.
    """
    if path.is_dir():
        return CheckedFolder(path, read_only=True)
    with zipfile.ZipFile(path) as file:
        return CheckedZip(path, {member.filename: member.file_size for member in file.infolist()})


def read_text(path: Path, key: str) -> str | None:
    """Return a text file of a store; None where there is none, it is too large for metadata or no UTF-8."""
    try:
        if path.is_dir():
            file = path / key
            is_inside = file.resolve().is_relative_to(path.resolve())
            content = file.read_bytes() if is_inside and file.stat().st_size <= MAX_METADATA_BYTES else b""
        else:
            with zipfile.ZipFile(path) as store:
                content = store.read(key) if store.getinfo(key).file_size <= MAX_METADATA_BYTES else b""
        return content.decode("utf-8")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error):
        return None


class CheckedFolder(LocalStore):
    """A folder. A link that leads out of it is refused, and so is a file larger than a chunk may be."""

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """Return what is stored under a key, None without one.

        Raises
        ------
        UnreadableSlideError
            The key leads elsewhere, or the file is too large.
        """
        self._check(key, is_whole=byte_range is None)
        return await super().get(key, prototype, byte_range)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[Any]) -> Any:
        """Return parts of what is stored under keys; see ``get``."""
        wanted = list(key_ranges)
        for key, byte_range in wanted:
            self._check(key, is_whole=byte_range is None)
        return await super().get_partial_values(prototype, wanted)

    def holds(self, key: str) -> bool:
        """Return whether there is a file of this key."""
        return (self.root / key).is_file()

    def content(self, key: str, length: int = -1) -> bytes:
        """Return the first bytes of a file, all of them where no length is given; refuses what ``get`` refuses."""
        self._check(key, is_whole=True)
        with (self.root / key).open("rb") as file:
            return file.read(length)

    def _check(self, key: str, *, is_whole: bool) -> None:
        path = self.root / key
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise UnreadableSlideError(f"{path} leads out of {self.root}, which a slide must not")
        if is_whole and path.is_file():
            _check_length(str(path), path.stat().st_size)


class CheckedZip(ZipStore):
    """A zip file, of which nothing is unpacked to disk. A member larger than a chunk may be is refused.

    Parameters
    ----------
    lengths : of its members once they are unpacked, in bytes.
    """

    def __init__(self, path: Path, lengths: Mapping[str, int]) -> None:
        super().__init__(path, mode="r")
        self._lengths = lengths
        self._members: zipfile.ZipFile | None = None

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Return what is stored under a key, None without one.

        Raises
        ------
        UnreadableSlideError
            The member is too large once it is unpacked.
        """
        _check_length(f"{key} in {self.path}", self._lengths.get(key, 0))
        return await super().get(key, prototype, byte_range)

    def holds(self, key: str) -> bool:
        """Return whether there is a member of this key."""
        return key in self._lengths

    def content(self, key: str, length: int = -1) -> bytes:
        """Return the first bytes of a member, all of them where no length is given; refuses what ``get`` refuses."""
        _check_length(f"{key} in {self.path}", self._lengths.get(key, 0))
        self._members = self._members or zipfile.ZipFile(self.path)
        with self._members.open(key) as member:
            return member.read(length)

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._members:
            self._members.close()
        super().close()


def _check_length(name: str, length: int) -> None:
    limit = MAX_METADATA_BYTES if name.split(" in ")[0].rsplit("/", 1)[-1] in _METADATA else MAX_CHUNK_BYTES
    if length > limit:
        raise UnreadableSlideError(f"{name} has {length:,} bytes, more than the {limit:,} that are read at once")
