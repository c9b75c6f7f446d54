"""A part of a record, as it is read from JSON and written to it: keys that were left out stay left out."""

import json
import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from counterstain.files import replacing


class Part(BaseModel):
    """A part of a record. Keys that a later version adds are kept as they are; a value of the wrong type is refused."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, defer_build=True)  # built when it is used, on its own


def as_json(part: Part) -> dict[str, Any]:
    """Return a part of a record as JSON's own types: all that was said, and nothing that was left out."""
    content: dict[str, Any] = finite(part.model_dump(exclude_unset=True))
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write strict JSON for people and programs, as a whole or not at all."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as hidden:
        hidden.write_text(text + "\n", encoding="utf-8", newline="\n")


def finite(value: Any) -> Any:
    """Return nested dicts and lists with NaN and infinity replaced by None, which JSON can say."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
