"""Open the files of a bundle, in a folder or in a zip, without trusting what it claims.

Sizes are compared with the limits before anything is read or inflated, nothing is unpacked to disk under a name of the bundle,
and only plain files are read: a pipe or a device that stands in a bundle's folder could be read for ever. What the files mean
is not known here.
"""

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from counterstain.errors import BundleError

MANIFEST = "manifest.json"

MAX_MANIFEST_BYTES = 2**20
"""A manifest of a hundred lines has 4 kB."""

MAX_FILE_BYTES = 2_000_000_000
"""One file of weights; a graph of ONNX can hold hardly more."""

MAX_BUNDLE_BYTES = 4_500_000_000
"""All files together: a graph, the same weights once more for other programs, and pages of text."""

MAX_RATIO = 100
"""How many times its compressed size a file of a zip may be; weights hardly reach 2, a bomb 1000."""

_FREE_BYTES = 2**20
"""Below this size the ratio does not count."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

OpenFile = Callable[[str], BinaryIO]
"""A file of the bundle by its name, to be read once; KeyError or OSError when it is not there."""

_Sized = tuple[BinaryIO, int]
"""A stream, and how many bytes come out of it."""


@contextmanager
def open_bundle(path: Path) -> Iterator[OpenFile]:
    """Yield an opener of the files of a bundle.

    Parameters
    ----------
    path : a folder with a manifest, or a zip of that folder or of its files.

    Raises
    ------
    BundleError
        There is no such folder or zip, it is damaged or encrypted, or a file that is asked for is larger than the limits.
    """
    try:
        if path.is_dir():
            yield _within_limits(lambda name: _plain(path / name))
            return
        with _plain(path)[0] as stream, zipfile.ZipFile(stream) as archive:
            yield _within_limits(_zipped(path, archive))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} is neither a bundle folder nor a readable zip of one: {error}") from error
    except FileNotFoundError as error:
        raise BundleError(f"{path} does not exist; expected a bundle folder or a zip of one") from error
    except (OSError, ValueError) as error:  # no file system takes a name with a zero byte, which is a ValueError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise BundleError(f"cannot read the bundle {path}: {reason}") from error


def _within_limits(open_file: Callable[[str], _Sized]) -> OpenFile:
    """Return an opener that compares sizes with the limits: that of one file, and that of all files together."""
    total = 0

    def checked(name: str) -> BinaryIO:
        nonlocal total
        stream, size = open_file(name)
        total += size
        limit = MAX_MANIFEST_BYTES if name == MANIFEST else MAX_FILE_BYTES
        if size <= limit and total <= MAX_BUNDLE_BYTES:
            return stream
        stream.close()
        if size > limit:
            raise BundleError(f"{name} of the bundle has {size:,} bytes, allowed are {limit:,}")
        raise BundleError(f"the files of the bundle have more than {MAX_BUNDLE_BYTES:,} bytes together")

    return checked


def _plain(path: Path) -> _Sized:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise BundleError(f"{path} is not a plain file; a bundle is made of plain files")
    return path.open("rb"), found.st_size


def _zipped(path: Path, archive: zipfile.ZipFile) -> Callable[[str], _Sized]:
    """Return an opener of files beside the manifest, at the top of the archive or in its only folder."""
    names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    folder = "" if MANIFEST in names or len(tops) != 1 else f"{tops.pop()}/"

    def open_file(name: str) -> _Sized:
        entry = archive.getinfo(folder + name)
        if names.count(folder + name) > 1:
            raise BundleError(f"{path} holds {name} more than once; which one is meant cannot be told")
        if entry.compress_type not in _METHODS:
            raise BundleError(f"{name} in {path} is compressed in a way that is not read; make the zip with deflate")
        if entry.file_size > MAX_RATIO * entry.compress_size + _FREE_BYTES:
            raise BundleError(
                f"{name} in {path} would unpack from {entry.compress_size:,} to {entry.file_size:,} bytes, "
                f"more than {MAX_RATIO} times as many, which weights never do"
            )
        return cast(BinaryIO, archive.open(entry)), entry.file_size

    return open_file
