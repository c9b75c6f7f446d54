"""Work on the blocks of a slide in several threads at once, with bounded memory and in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Results per thread that may wait for an earlier one."""


def in_threads(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Yield what each item becomes, in the order of the items.

    An error is raised where its result would have come. Items that were not begun by then are dropped, as they are when the
    iterator is closed early.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="cells") as pool:
        waiting = deque(pool.submit(work, item) for item in islice(remaining, threads * AHEAD))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(work, item) for item in islice(remaining, 1))
                yield result
        finally:
            for future in waiting:
                future.cancel()
