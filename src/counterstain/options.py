"""Build a frozen options dataclass from a TOML file and overrides.

The file's tables are the nested dataclasses, its keys their fields. This module knows no option by name. The type of a
field says what it may be: a ``Literal`` lists words, and the types below have ranges. All mistakes are reported together.
"""

import dataclasses
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from pydantic import AfterValidator, AllowInfNan, Field, TypeAdapter, ValidationError

from counterstain.errors import UsageError

OptionsT = TypeVar("OptionsT")


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable text of one line")
    return text


Finite = Annotated[float, AllowInfNan(allow_inf_nan=False)]
"""A number that is neither NaN nor infinite."""

Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""How often something is done, at least once."""

Weight = Annotated[Finite, Field(ge=0, le=1e6)]
"""A factor of what is added up; 0 leaves it out."""

Line = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_printable)]
"""A text of one line, not empty."""

LONGEST_SHOWN = 200
"""Characters of a wrong value that a message shows."""


def load_options(cls: type[OptionsT], toml_path: Path | None = None, overrides: Mapping[str, object] | None = None) -> OptionsT:
    """Return ``cls`` filled from the file, then from the overrides, then from its own defaults.

    Parameters
    ----------
    cls : a dataclass whose fields are plain values, tuples, Literals, Optionals or such dataclasses.
    toml_path : file to read; None reads none.
    overrides : dotted field name -> value, as ``{"loop.learning_rate": 1e-4}``; see ``parse_overrides``.

    Raises
    ------
    UsageError
        When the file cannot be read, a key is unknown, or a value has the wrong type; one line per fault.
    """
    values = _read_toml(toml_path) if toml_path else {}
    for name, value in (overrides or {}).items():
        _put(values, name.split("."), value)
    faults = list(_unknown_keys(cls, values, ""))
    try:
        options = TypeAdapter(cls).validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        faults += [_describe(fault) for fault in error.errors()]
    else:
        if not faults:
            return options
    where = f"{toml_path}: " if toml_path else ""
    raise UsageError("\n  ".join([f"{where}{len(faults)} fault{'s'[: len(faults) > 1]} in the options", *faults]))


def parse_overrides(texts: Iterable[str]) -> dict[str, object]:
    """Turn ``"loop.learning_rate=1e-4"`` into ``{"loop.learning_rate": 0.0001}``; a value that is not TOML is taken as text.

    Raises
    ------
    UsageError
        When there is no ``=`` or no name before it.
    """
    overrides: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not all(part.strip() for part in name.split(".")):
            raise UsageError(f"expected NAME=VALUE, for example loop.learning_rate=1e-4, got {text!r}")
        overrides[name.strip()] = _parse_value(value.strip())
    return overrides


def _parse_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"cannot read the options in {path}: {error}") from error


def _put(values: dict[str, Any], parts: list[str], value: object) -> None:
    for part in parts[:-1]:
        inner = values.get(part)
        values[part] = values = inner if isinstance(inner, dict) else {}
    values[parts[-1]] = value


def _unknown_keys(hint: Any, value: object, prefix: str) -> Iterator[str]:
    """Yield one line per key that no dataclass within the type ``hint`` has."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown_keys(hint, item, f"{prefix}{index}.")
    cls = _dataclass_within(hint)
    if cls is None or not isinstance(value, dict):
        return
    hints, known = get_type_hints(cls), [field.name for field in dataclasses.fields(cls)]
    for key, inner in value.items():
        if key in known:
            yield from _unknown_keys(hints[key], inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}: unknown option; known here: {', '.join(sorted(known))}"


def _dataclass_within(hint: Any) -> Any:
    """Return the dataclass in ``X``, ``X | None`` or ``tuple[X, ...]``; None when there is none."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint
    return next((found for inner in get_args(hint) if (found := _dataclass_within(inner))), None)


def _describe(fault: Any) -> str:
    name = ".".join(str(part) for part in fault["loc"]) or "options"
    got = "" if fault["type"] == "missing" else f", got {_short(fault['input'])}"
    return f"{name}: {fault['msg'].removeprefix('Value error, ')}{got}"


def _short(value: object) -> str:
    """Return a value as it is shown; of a long one the start."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
