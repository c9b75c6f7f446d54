"""Read the tensors of a TorchScript archive without running the program in it.

A ``.pt`` file is a zip with the program in ``code/``, the tree of its modules as a pickle in ``data.pkl``, and the values of
tensors in ``data/``. The pickle is a list of instructions; they are listed with ``pickletools``, which executes none, and only
those that build plain values and tensors are understood. Anything else is refused.
"""

import math
import pickletools
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from counterstain.errors import TrainingError

MAX_BYTES = 2_000_000_000
"""Entries that would unpack to more are refused."""

_DTYPES = {
    "torch FloatStorage": torch.float32,
    "torch DoubleStorage": torch.float64,
    "torch HalfStorage": torch.float16,
    "torch LongStorage": torch.int64,
}
"""Types of numbers by the names of their storage."""

_MARK = object()

_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    OSError,
    EOFError,
    ArithmeticError,
    RuntimeError,  # of torch, and of a tree without an end
    StopIteration,
)
"""What a damaged archive can lead to."""

Instruction = Callable[[list[Any], dict[int, Any], Any], None]


class _Name(str):
    """A global that the pickle names; never looked up."""

    __slots__ = ()


class _Module(dict[str, Any]):
    """A module or another object: its attributes by name."""


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Return every tensor of an archive, named as in a state dict.

    Raises
    ------
    TrainingError
        The file is no such archive, is damaged, or its pickle does anything but build values and tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            top = _top(archive)
            root = _interpret(_entry(archive, f"{top}data.pkl"), lambda key: _entry(archive, f"{top}data/{key}"))
        return dict(_tensors(root, ""))
    except _FAULTS as error:
        raise TrainingError(
            f"{path} cannot be read without executing it ({error}); use the .pth files of the same model instead"
        ) from error


def _top(archive: zipfile.ZipFile) -> str:
    """Return the folder of the archive that holds everything."""
    return next(name for name in [*archive.namelist(), "data.pkl"] if name.endswith("data.pkl")).removesuffix("data.pkl")


def _entry(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MAX_BYTES:
        raise ValueError(f"{name} unpacks to more than {MAX_BYTES:,} bytes")
    return archive.read(name)


def _tensors(module: Any, prefix: str) -> list[tuple[str, Tensor]]:
    if isinstance(module, Tensor):
        return [(prefix, module)]
    if not isinstance(module, _Module):
        return []
    return [found for name, value in module.items() for found in _tensors(value, f"{prefix}.{name}" if prefix else str(name))]


def _interpret(pickle: bytes, storage: Callable[[str], bytes]) -> Any:
    """Build what the pickle describes."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for opcode, argument, _ in pickletools.genops(pickle):
        if opcode.name == "STOP":
            return stack.pop()
        if opcode.name == "BINPERSID":
            stack.append(_storage(stack.pop(), storage))
        elif opcode.name in _VALUES:
            stack.append(_VALUES[opcode.name](argument))
        elif opcode.name in _INSTRUCTIONS:
            _INSTRUCTIONS[opcode.name](stack, memo, argument)
        else:
            raise ValueError(f"instruction {opcode.name} is not allowed")
    raise ValueError("the pickle has no end")


def _storage(reference: Any, storage: Callable[[str], bytes]) -> Tensor:
    """Return all values of ``("storage", type, key, device, count)`` as a flat tensor."""
    kind, name, key, _, count = reference
    dtype = _DTYPES.get(name)
    if kind != "storage" or dtype is None:
        raise ValueError(f"storage of type {name} is not allowed")
    values = torch.frombuffer(bytearray(storage(str(key))), dtype=dtype)
    if values.numel() < int(count):
        raise ValueError(f"storage {key} is too short")
    return values


def _call(stack: list[Any], memo: dict[int, Any], argument: Any) -> None:
    """Build a tensor, its parameter, or an empty dict; no other function exists here."""
    del memo, argument
    arguments, function = stack.pop(), stack.pop()
    if function == "torch._utils _rebuild_tensor_v2":
        stack.append(_tensor(*arguments[:4]))
    elif function == "torch._utils _rebuild_parameter":
        stack.append(arguments[0])
    elif function == "collections OrderedDict":
        stack.append({})
    elif str(function).startswith("torch.jit._pickle "):  # typed lists and tags: their values come first
        stack.append(arguments[0])
    else:
        raise ValueError(f"a call of {function} is not allowed")


def _tensor(values: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    reach = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) + 1
    if min((offset, *size, *stride)) < 0 or max(reach, math.prod(size)) > values.numel():
        raise ValueError("a tensor reaches outside its storage")
    return torch.as_strided(values, size, stride, offset).clone()


def _new(stack: list[Any], memo: dict[int, Any], argument: Any) -> None:
    """Make an object of a class of the program: only its attributes matter."""
    del memo, argument
    _, name = stack.pop(), stack.pop()
    if not (isinstance(name, _Name) and name.startswith("__torch__.")):
        raise ValueError(f"an object of {name} is not allowed")
    stack.append(_Module())


def _build(stack: list[Any], memo: dict[int, Any], argument: Any) -> None:
    del memo, argument
    state, module = stack.pop(), stack[-1]
    if not (isinstance(module, _Module) and isinstance(state, dict)):
        raise ValueError("a state that is not a dict is not allowed")
    module.update(state)


def _since_mark(stack: list[Any]) -> list[Any]:
    start = len(stack) - 1 - next(index for index, value in enumerate(reversed(stack)) if value is _MARK)
    values = stack[start + 1 :]
    del stack[start:]
    return values


def _set_items(stack: list[Any], memo: dict[int, Any], argument: Any) -> None:
    del memo, argument
    values = _since_mark(stack)
    stack[-1].update(zip(values[::2], values[1::2], strict=True))


def _append_all(stack: list[Any], memo: dict[int, Any], argument: Any) -> None:
    del memo, argument
    values = _since_mark(stack)
    stack[-1].extend(values)


def _set_item(stack: list[Any], memo: dict[int, Any], argument: Any) -> None:
    del memo, argument
    value, key = stack.pop(), stack.pop()
    stack[-1][key] = value


_VALUES: dict[str, Callable[[Any], Any]] = {
    "MARK": lambda _: _MARK,
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_TUPLE": lambda _: (),
    "EMPTY_LIST": lambda _: [],
    "EMPTY_DICT": lambda _: {},
    "GLOBAL": _Name,
    **{
        name: lambda value: value
        for name in ("BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT")
    },
}
"""Instructions that put one value on the stack."""

_INSTRUCTIONS: dict[str, Instruction] = {
    "PROTO": lambda stack, memo, argument: None,
    "FRAME": lambda stack, memo, argument: None,
    "BINPUT": lambda stack, memo, argument: memo.__setitem__(argument, stack[-1]),
    "LONG_BINPUT": lambda stack, memo, argument: memo.__setitem__(argument, stack[-1]),
    "BINGET": lambda stack, memo, argument: stack.append(memo[argument]),
    "LONG_BINGET": lambda stack, memo, argument: stack.append(memo[argument]),
    "TUPLE": lambda stack, memo, argument: stack.append(tuple(_since_mark(stack))),
    "TUPLE1": lambda stack, memo, argument: stack.append((stack.pop(),)),
    "TUPLE2": lambda stack, memo, argument: stack.append((stack.pop(), stack.pop())[::-1]),
    "TUPLE3": lambda stack, memo, argument: stack.append((stack.pop(), stack.pop(), stack.pop())[::-1]),
    "APPEND": lambda stack, memo, argument: stack[-2].append(stack.pop()),
    "APPENDS": _append_all,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "NEWOBJ": _new,
    "REDUCE": _call,
    "BUILD": _build,
}
"""Instructions that change what is on the stack: (stack, memo, argument)."""
