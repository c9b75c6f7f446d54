"""``--shard I/N``: one of N equal parts of the images, so that N machines that know nothing of each other do all of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Part ``number`` of ``total``, counted from 1."""

    number: int
    total: int

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Return every ``total``-th item from the ``number``-th on: the shards together hold each item once."""
        return [*items[self.number - 1 :: self.total]]

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"


class ShardType(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.1
    """``I/N`` with 1 <= I <= N."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        """Return the shard, or fail with what is wrong about the text."""
        if isinstance(value, Shard):
            return value
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", value)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            self.fail(f"expected the part and the number of parts, such as 1/20 to 20/20, got {value!r}.", param, ctx)
        return Shard(number=int(found[1]), total=int(found[2]))
