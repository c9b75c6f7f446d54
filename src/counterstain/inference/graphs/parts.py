"""The parts of an ONNX graph that decide whether it is safe to load: nodes, and what is claimed of tensors.

Numbers of fields are those of ``onnx.proto``. The package ``onnx`` is needed to train, not to analyse, so it is not used here.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod

from counterstain.inference.graphs.wire import VARINT, Piece, pieces_of, signed, varints_of

MAX_PIECES = 3_000_000
"""Fields that are read of one graph: each of its nodes has about ten."""

SMALL = 64
"""Tensors of at most so many values are read: they may say how large another becomes."""

Numbers = tuple[float, ...]
"""Values of a small constant; empty when they are not known."""

_FORMATS = {1: "f", 6: "i", 7: "q", 11: "d"}
"""Type of a tensor -> how ``struct`` reads its values: float32, int32, int64, float64."""

_FLOAT, _TEXT = 1, 8
_VARINT_BYTES = 10
_LOCATION_EXTERNAL = 1
_DENSEST = 2
"""Values that one byte holds at most: those of 4 bits."""


class Reader:
    """Reads the fields of messages, and refuses to read without end."""

    def __init__(self) -> None:
        self._left = MAX_PIECES

    def __call__(self, message: memoryview) -> Iterator[Piece]:
        """Yield the fields of a message.

        Raises
        ------
        ValueError
            It is damaged, or more was read than any graph has.
        """
        for piece in pieces_of(message):
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"it has more than {MAX_PIECES:,} parts")
            yield piece


@dataclass(slots=True, kw_only=True)
class Tensor:
    """A constant."""

    name: str = ""
    numbers: Numbers = ()


@dataclass(slots=True, kw_only=True)
class Node:
    """One operation."""

    operator: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    numbers: dict[str, Numbers] = field(default_factory=dict)
    """Attribute -> its whole numbers."""
    constant: Numbers = ()
    """What a node without inputs gives, where that is small."""
    has_graph: bool = False
    """Whether it holds another graph."""


def opset_of(message: memoryview, read: Reader) -> tuple[str, int]:
    """Return the domain and the version of a set of operators."""
    fields = _fields(message, read)
    versions = [number for piece in fields[2] for number in _whole(piece)]
    return _last_text(fields[1]), versions[-1] if versions else 0


def node_of(message: memoryview, read: Reader) -> Node:
    """Return a node with what its attributes hold.

    Raises
    ------
    ValueError
        It is damaged, or a tensor in it claims what it does not hold.
    """
    fields = _fields(message, read)
    node = Node(
        operator=_last_text(fields[4]),
        domain=_last_text(fields[7]),
        inputs=[_last_text([piece]) for piece in fields[1]],
        outputs=[_last_text([piece]) for piece in fields[2]],
    )
    for piece in fields[5]:
        _take_attribute(node, _fields(piece.content, read), read)
    return node


def _take_attribute(node: Node, fields: defaultdict[int, list[Piece]], read: Reader) -> None:
    """Note the numbers of an attribute: fields 2 and 7 are floats, 3 and 8 whole, 5 and 10 tensors, 6 and 11 graphs."""
    if fields[22] or fields[23]:
        raise ValueError("it has a sparse tensor, which may claim any size; store it in full")
    floats = [number for piece in fields[2] + fields[7] for number in _unpacked(piece.content, _FLOAT)]
    whole = [number for piece in fields[3] + fields[8] for number in _whole(piece)]
    held = [number for piece in fields[5] + fields[10] for number in tensor_of(piece.content, read).numbers]
    name = _last_text(fields[1])
    node.has_graph |= bool(fields[6] or fields[11])
    node.numbers[name] = (*floats, *whole, *held)
    if name.startswith("value"):  # value, value_int, value_ints, value_float, value_floats
        node.constant = node.numbers[name]


def tensor_of(message: memoryview, read: Reader) -> Tensor:
    """Return the name of a tensor, and its values where they are few.

    Raises
    ------
    ValueError
        It claims more values than it holds, is kept in another file, or holds texts.
    """
    fields = _fields(message, read)
    if fields[13] or any(piece.value == _LOCATION_EXTERNAL for piece in fields[14]):
        raise ValueError("it keeps weights in another file; store them in the graph")
    if sum(len(piece.content) or 1 for piece in fields[1]) > _VARINT_BYTES * SMALL:
        raise ValueError(f"it has a tensor of more than {SMALL} sides")
    name, kind = _last_text(fields[8]), fields[2][-1].value if fields[2] else 0
    _check_claim(name, [side for piece in fields[1] for side in _whole(piece)], kind, len(message))
    whole = [number for piece in fields[5] + fields[7] for number in _whole(piece)]
    floats = [number for piece in fields[4] for number in _unpacked(piece.content, _FLOAT)]
    raw = [number for piece in fields[9] for number in _unpacked(piece.content, kind)]
    return Tensor(name=name, numbers=(*whole, *floats, *raw))


def _fields(message: memoryview, read: Reader) -> defaultdict[int, list[Piece]]:
    """Return the pieces of a message by the number of their field."""
    found = defaultdict[int, list[Piece]](list)
    for piece in read(message):
        found[piece.number].append(piece)
    return found


def _check_claim(name: str, dims: list[int], kind: int, held_bytes: int) -> None:
    claimed = prod(dims)
    if kind == _TEXT:
        raise ValueError(f"its tensor {name[:80]!r} holds texts")
    if min(dims, default=0) < 0 or claimed > _DENSEST * held_bytes:
        raise ValueError(f"its tensor {name[:80]!r} claims {claimed:,} values and holds {held_bytes:,} bytes")


def _unpacked(raw: memoryview, kind: int) -> Numbers:
    """Return the numbers in raw bytes; none when there are too many to matter, or they are of another type."""
    code = _FORMATS.get(kind)
    if code is None or len(raw) % struct.calcsize(code) or len(raw) > SMALL * struct.calcsize(code):
        return ()
    return tuple(value for (value,) in struct.iter_unpack(f"<{code}", raw))


def _whole(piece: Piece) -> list[int]:
    """Return the whole numbers of a repeated field, packed or not; none when there are too many to matter."""
    if piece.kind == VARINT:
        return [signed(piece.value)]
    return [signed(value) for value in varints_of(piece.content)] if len(piece.content) <= _VARINT_BYTES * SMALL else []


def _last_text(pieces: list[Piece]) -> str:
    return bytes(pieces[-1].content[:1000]).decode("utf-8", "replace") if pieces else ""
