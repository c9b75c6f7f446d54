"""Write a file or a folder so that it is there as a whole or not at all.

The content goes to a hidden name beside its destination and is renamed at the end. Whatever stops the
writing, an error or Ctrl-C, removes the hidden name. Knows nothing about what is written.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from counterstain.errors import OutputError

ADVICE = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder with --out",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another folder with --out",
    errno.EACCES: "there is no permission to write there; choose another folder with --out",
    errno.EPERM: "there is no permission to write there; choose another folder with --out",
    errno.EROFS: "the disk is read-only; choose another folder with --out",
    errno.ENOTDIR: "a file stands where a folder is needed; move it away or choose another folder with --out",
    errno.EEXIST: "a file stands where a folder is needed; move it away or choose another folder with --out",
    errno.ENAMETOOLONG: "the name is too long for this disk; rename the input",
}
"""What to do about an error of the operating system, by its number."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the block into an ``OutputError`` that names ``path`` and says what to do."""
    try:
        yield
    except OSError as error:
        reason = ADVICE.get(error.errno or 0, str(error))
        raise OutputError(f"cannot write {path}: {reason}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden path in the same folder; when the block ends well it becomes ``path``, else it is removed.

    Raises
    ------
    OutputError
        The operating system refuses; what was at ``path`` before is unchanged.
    """
    hidden = path.with_name(f".{path.name}.{os.getpid()}.part")
    with explained(path):
        try:
            yield hidden
            os.replace(hidden, path)  # noqa: PTH105 (the one call that disk-full tests intercept)
        finally:
            hidden.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path, is_ours: Callable[[str], bool]) -> Iterator[Path]:
    """Yield an empty hidden folder; when the block ends well it takes the place of ``folder``, else it is removed.

    Of an older folder, the entries for whose names ``is_ours`` is false are kept.

    Raises
    ------
    OutputError
        The operating system refuses; an older folder is unchanged.
    """
    hidden, old = folder.with_name(f".{folder.name}.part"), folder.with_name(f".{folder.name}.old")
    with explained(folder):
        try:
            shutil.rmtree(hidden, ignore_errors=True)  # left by a run that was killed
            hidden.mkdir(parents=True)
            yield hidden
            _put_back(old, folder, is_ours)
            _swap(hidden, folder, old)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
        _put_back(old, folder, is_ours)


def _swap(new: Path, folder: Path, old: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(errno.EEXIST, "not a folder", str(folder))
    try:
        if folder.exists():
            os.replace(folder, old)  # noqa: PTH105
        os.replace(new, folder)  # noqa: PTH105
    finally:
        if old.exists() and not folder.exists():
            os.replace(old, folder)  # noqa: PTH105


def _put_back(old: Path, folder: Path, is_ours: Callable[[str], bool]) -> None:
    """Return what is not ours from a folder that was set aside, now or by a run that was killed, and remove the rest."""
    if not old.is_dir():
        return
    folder.mkdir(exist_ok=True)
    for entry in sorted(old.iterdir()):
        if not is_ours(entry.name) and not (folder / entry.name).exists():
            os.replace(entry, folder / entry.name)  # noqa: PTH105
    shutil.rmtree(old)
