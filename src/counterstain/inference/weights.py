"""Weight files of a bundle after they were read: small ones in memory, large ones as a private copy on disk.

What was hashed is what is handed on. A small file is read once, and its bytes are hashed and kept. A large one is read once
too: each block is hashed and written to a copy, in a new folder that only the user of this process may enter, and runtimes load
that copy. So nobody who may change the bundle can change weights after they were checked; another program of the same user
could change the copy, as it could change the memory of this process. Memory then holds a part of a large file, never all.

The copies lie where the system keeps temporary files (``TMPDIR``) and are removed with the object that holds them. A process
that was killed removes nothing: the next one that makes a copy there does it, since nobody holds the lock of that folder then.
"""

import contextlib
import hashlib
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from counterstain.errors import BundleError

LARGE_BYTES = 64 * 2**20
"""Files of at least this size are kept on disk."""

_BLOCK_BYTES = 2**20

_PREFIX = "counterstain-weights-"

_LOCK = "lock"

_SURELY_OVER_S = 24 * 60 * 60
"""Where files cannot be locked (Windows), a copy of this age is taken for one of a killed process; one in use stays there."""


class CheckedWeights(Mapping[str, bytes]):
    """File name in the manifest -> content; the content of a large file is read from its copy each time."""

    def __init__(self) -> None:
        self._small: dict[str, bytes] = {}
        self._large: dict[str, Path] = {}

    def take(self, name: str, stream: BinaryIO) -> str:
        """Read a file to its end, keep it, and return its SHA-256.

        Raises
        ------
        BundleError
            When the copy of a large file cannot be written.
        """
        start = stream.read(LARGE_BYTES)
        if len(start) < LARGE_BYTES:
            self._small[name] = start
            return hashlib.sha256(start).hexdigest()
        self._large[name] = self._private_folder() / "weights"
        return _copy(start, stream, self._large[name])

    def path_of(self, name: str) -> Path | None:
        """Return the copy of a large file, or None when the file is in memory."""
        return self._large.get(name)

    def _private_folder(self) -> Path:
        remove_abandoned(Path(tempfile.gettempdir()))
        try:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX))  # mode 0700
            lock = _lock(folder)
        except OSError as error:
            raise BundleError(_no_room(tempfile.gettempdir(), error)) from error
        weakref.finalize(self, _remove, folder, lock)
        return folder

    def __getitem__(self, name: str) -> bytes:
        return self._large[name].read_bytes() if name in self._large else self._small[name]

    def __iter__(self) -> Iterator[str]:
        yield from (*self._small, *self._large)

    def __len__(self) -> int:
        return len(self._small) + len(self._large)


def source_of(weights: Mapping[str, bytes], name: str) -> bytes | Path:
    """Return what a runtime loads: the path of a private copy when the file is large, else its content."""
    path = weights.path_of(name) if isinstance(weights, CheckedWeights) else None
    return weights[name] if path is None else path


def remove_abandoned(temporary: Path) -> None:
    """Remove the copies that killed processes left in a folder of temporary files; those in use, and those of others, stay."""
    for folder in temporary.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or another process removes it at the same time
            if _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    """Return whether no process uses a copy; a process that is about to lock its folder has not written the lock yet."""
    fcntl = _fcntl()
    if fcntl is None or not (folder / _LOCK).exists():
        return time.time() - folder.stat().st_mtime > _SURELY_OVER_S
    with (folder / _LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # its process lives
            return False
    return True


def _lock(folder: Path) -> BinaryIO:
    """Return the open lock of a folder. It gets its name when it is locked, so nobody sees it unlocked."""
    unnamed = folder / "new-lock"
    lock = unnamed.open("xb")
    fcntl = _fcntl()
    if fcntl is not None:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(folder / _LOCK)
    return lock


def _fcntl() -> Any:
    """Return the module that locks files; None on Windows."""
    try:
        import fcntl
    except ImportError:
        return None
    return fcntl


def _remove(folder: Path, lock: BinaryIO) -> None:
    lock.close()
    shutil.rmtree(folder, ignore_errors=True)


def _copy(start: bytes, stream: BinaryIO, path: Path) -> str:
    """Write what was read and the rest of a stream to a file, and return the SHA-256 of what was written."""
    digest, block = hashlib.sha256(), start
    with _open(path) as copy:
        while block:
            digest.update(block)
            _write(copy, block, path)
            block = stream.read(_BLOCK_BYTES)
    return digest.hexdigest()


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("xb", buffering=0)
    except OSError as error:
        raise BundleError(_no_room(path.parent, error)) from error


def _write(copy: BinaryIO, block: bytes, path: Path) -> None:
    view = memoryview(block)
    try:
        while view:
            view = view[copy.write(view) :]
    except OSError as error:
        raise BundleError(_no_room(path.parent, error)) from error


def _no_room(folder: str | Path, error: OSError) -> str:
    return (
        f"large weights are copied to {folder} while they load, which failed: {error.strerror or error}; "
        "set TMPDIR to a folder with more room"
    )
