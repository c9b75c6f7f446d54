"""One of N equal parts of the images, so that N machines that know nothing of each other do all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

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
