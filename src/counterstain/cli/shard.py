"""``--shard I/N`` as a type of option."""

import re
from typing import Any

import click

from counterstain.jobs.shard import Shard


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
