"""Write a file or a folder so that it is there as a whole or not at all.

The content goes to a hidden name beside its destination and is renamed at the end. Whatever stops the
writing, an error or Ctrl-C, removes the hidden name. Knows nothing about what is written.
"""

import errno
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from counterstain.errors import ELSEWHERE, OutputError, Remedy

_IN_THE_WAY = ("a file stands where a folder is needed", (Remedy("move it away"), ELSEWHERE))
ADVICE: dict[int, tuple[str, tuple[Remedy, ...]]] = {
    errno.ENOSPC: ("the disk is full", (Remedy("free some space"), ELSEWHERE)),
    errno.EDQUOT: ("the disk quota is used up", (Remedy("free some space"), ELSEWHERE)),
    errno.EACCES: ("there is no permission to write there", (ELSEWHERE,)),
    errno.EPERM: ("there is no permission to write there", (ELSEWHERE,)),
    errno.EROFS: ("the disk is read-only", (ELSEWHERE,)),
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.ENAMETOOLONG: ("the name is too long for this disk", (Remedy("rename the input"),)),
}
"""What an error of the operating system means, and what to do about it, by its number."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the block into an ``OutputError`` that names ``path`` and says what to do."""
    try:
        yield
    except OSError as error:
        reason, remedies = ADVICE.get(error.errno or 0, (error.strerror or str(error), ()))
        raise OutputError(f"cannot write {path}: {reason}", *remedies) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a hidden path in the same folder; when the block ends well it becomes ``path``, else it is removed.

    Raises
    ------
    OutputError
        The operating system refuses; what was at ``path`` before is unchanged.
    """
    hidden = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")  # other machines have the same numbers
    with explained(path):
        try:
            yield hidden
            os.replace(hidden, path)  # noqa: PTH105 (the one call that disk-full tests intercept)
        finally:
            hidden.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path, is_ours: Callable[[str], bool]) -> Iterator[Path]:
    """Yield an empty hidden folder; when the block ends well it takes the place of ``folder``, else it is removed.

    Of an older folder, the entries for whose names ``is_ours`` is false are kept. Where ``folder`` is a link, what it points
    to is replaced and the link stays. The folder is ``claimed`` meanwhile.

    Raises
    ------
    OutputError
        Another thread or process is writing the same folder, or the operating system refuses; an older folder is unchanged.
    """
    folder = folder.resolve()
    hidden, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    with claimed(folder), explained(folder):
        try:
            aside = _left_behind(folder)
            hidden.mkdir(parents=True)
            yield hidden
            for earlier in aside:
                _put_back(earlier, folder, is_ours)
            _swap(hidden, folder, old)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
        _put_back(old, folder, is_ours)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep all others, in this process and in others, from claiming or replacing a folder while the block runs.

    The thread that claimed it may claim and replace it again.

    Raises
    ------
    OutputError
        Another thread or process has claimed it or is writing it, or the operating system refuses.
    """
    folder = folder.resolve()
    is_outermost = _hold(folder)
    mark = folder.with_name(f".{folder.name}.{os.getpid()}.run")
    try:
        if is_outermost:
            with explained(folder):
                mark.mkdir(parents=True, exist_ok=True)
                _left_behind(folder)
        yield
    finally:
        if is_outermost:
            shutil.rmtree(mark, ignore_errors=True)
            with _holders_lock:
                _holders.pop(folder, None)


_holders: dict[Path, tuple[int, int]] = {}
"""Folder that is claimed in this process -> process and thread that hold it; a fork inherits entries of its parent."""

_holders_lock = threading.Lock()


def _hold(folder: Path) -> bool:
    """Note that this thread holds a folder, and return whether that is new.

    Raises
    ------
    OutputError
        Another thread of this process holds it.
    """
    own = (os.getpid(), threading.get_ident())
    with _holders_lock:
        holder = _holders.get(folder)
        if holder and holder[0] == own[0] and holder != own:
            raise OutputError(
                f"another run of this process is writing to this folder: {folder}", Remedy("wait for it"), ELSEWHERE
            )
        _holders[folder] = own
    return holder != own


def _left_behind(folder: Path) -> list[Path]:
    """Remove what killed runs had half written and return what they had set aside; the folder must be held.

    Raises
    ------
    OutputError
        A process that is alive is writing the same folder.
    """
    name, aside = re.compile(rf"\.{re.escape(folder.name)}\.(\d+)\.(part|old|run)"), []
    for path in sorted(folder.parent.iterdir()) if folder.parent.is_dir() else []:
        found = name.fullmatch(path.name)
        if found is None:
            continue
        process = int(found[1])
        if process != os.getpid() and _is_alive(process):
            raise OutputError(
                f"another run is writing to this folder: {folder} (process {process})",
                Remedy("wait for it"),
                ELSEWHERE,
                Remedy(f"remove {path} if there is no such run"),
            )
        if found[2] == "old":
            aside.append(path)
        elif found[2] == "part" or process != os.getpid():
            shutil.rmtree(path, ignore_errors=True)
    return aside


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # where signal 0 is not a question
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


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
    """Put back what is not ours from a folder that was set aside, now or by a run that was killed, and remove the rest."""
    if not old.is_dir():
        return
    folder.mkdir(exist_ok=True)
    for entry in sorted(old.iterdir()):
        if not is_ours(entry.name) and not (folder / entry.name).exists():
            os.replace(entry, folder / entry.name)  # noqa: PTH105
    shutil.rmtree(old)
