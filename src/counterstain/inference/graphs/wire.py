"""Read the fields of a protobuf message one after the other, without copying what they hold and without its schema.

The wire format is that of https://protobuf.dev/programming-guides/encoding; groups, which ONNX never uses, are refused.
"""

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5
"""Wire types."""

_FIXED_BYTES = {FIXED_64: 8, FIXED_32: 4}
_VARINT_BYTES = 10


class Piece(NamedTuple):
    """One field of a message."""

    number: int
    """Of the field in the schema."""
    kind: int
    """Its wire type."""
    value: int
    """Of a varint; 0 for the other types."""
    content: memoryview
    """Of bytes and of numbers of fixed length; empty for a varint."""


_NOTHING = memoryview(b"")


def pieces_of(message: memoryview) -> Iterator[Piece]:
    """Yield the fields of a message in the order in which they are stored.

    Raises
    ------
    ValueError
        It is cut off or is no such message.
    """
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield Piece(key >> 3, kind, value, _NOTHING)
        elif kind in (BYTES, FIXED_32, FIXED_64):
            length, at = _varint(message, at) if kind == BYTES else (_FIXED_BYTES[kind], at)
            at += length
            if at > end:
                raise ValueError("a field reaches past the end of its message")
            yield Piece(key >> 3, kind, 0, message[at - length : at])
        else:
            raise ValueError(f"no field has the wire type {kind}")


def varints_of(packed: memoryview) -> Iterator[int]:
    """Yield the numbers of a packed field.

    Raises
    ------
    ValueError
        It is cut off.
    """
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at)
        yield value


def signed(value: int) -> int:
    """Return a varint as the int64 that was written."""
    return value - (1 << 64) if value >> 63 else value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that starts at a place, and the place behind it."""
    value = 0
    for index, byte in enumerate(message[at : at + _VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & (2**64 - 1), at + index + 1
    raise ValueError("a number is cut off")
