"""What an upload is called on disk: letters of the client's name that mean nothing anywhere, and a suffix by the content."""

import re
import zipfile
from pathlib import Path

from counterstain.errors import Remedy, UnsupportedSlideError

TIFFS = frozenset({".tif", ".tiff", ".svs", ".ndpi", ".scn", ".bif", ".svslide", ".qptiff"})

KINDS: tuple[tuple[int, tuple[bytes, ...], frozenset[str], str], ...] = (
    (0, (b"\x89PNG\r\n\x1a\n",), frozenset({".png"}), "PNG"),
    (0, (b"\xff\xd8\xff",), frozenset({".jpg", ".jpeg"}), "JPEG"),
    (0, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TIFFS, "TIFF"),
    (0, (b"ZISRAWFILE",), frozenset({".czi"}), "CZI"),
    (0, (b"PK\3\4",), frozenset({".zip", ".ozx"}), "ZIP"),
    (0, (b"BM",), frozenset({".bmp"}), "BMP"),
    (8, (b"WEBP",), frozenset({".webp"}), "WebP"),
    (4, (b"jP  \r\n\x87\n",), frozenset({".jp2"}), "JPEG 2000"),
    (0, (b"P6", b"P5"), frozenset({".ppm", ".pgm"}), "PPM"),
    (128, (b"DICM",), frozenset({".dcm"}), "DICOM"),
)
"""Offset, marks, suffixes and name of each kind of file that is taken: formats of one file, as an upload is one."""

LONGEST_STEM = 80

ANOTHER = Remedy("send a PNG, JPEG, TIFF or slide file that opens in other programs")


def shown_name(name: str) -> str:
    """Return what people see: the last part of a client's name, without what is not printable."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(letter for letter in last if letter.isprintable())[:200] or "image"


def kept_name(name: str, path: Path) -> str:
    """Return the name for the disk of a file whose content has come.

    Parameters
    ----------
    name : as the client gave it; no more than some of its letters are kept.

    Raises
    ------
    UnsupportedSlideError
        The content is no image, or of another kind than the name says, or two things at once.
    """
    with path.open("rb") as file:
        head = file.read(256)
    suffix = Path(shown_name(name)).suffix.lower()
    for offset, marks, suffixes, kind in KINDS:
        if head[offset:].startswith(marks):
            if suffix not in suffixes:
                named = f"its name ends in {suffix}" if suffix else "its name has no ending"
                expected = Remedy(f"name it with {' or '.join(sorted(suffixes))}", "name")
                raise UnsupportedSlideError(f"the content is a {kind} and {named}", expected)
            _check_single(path, kind)
            return _stem(name, suffix) + suffix
    raise UnsupportedSlideError("the content is not an image of a known kind", ANOTHER)


def _check_single(path: Path, kind: str) -> None:
    """Refuse a file that is an archive too: what one program takes for a picture, another would unpack."""
    if kind not in ("ZIP", "TIFF", "CZI") and zipfile.is_zipfile(path):
        raise UnsupportedSlideError(f"the content is a {kind} and a ZIP archive at once", ANOTHER)


def _stem(name: str, suffix: str) -> str:
    stem = shown_name(name)[: -len(suffix)]
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).strip("._-")[:LONGEST_STEM] or "image"
