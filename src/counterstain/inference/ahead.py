"""Make the items of an iterator in a thread of its own, a few before they are needed, so that reading and computing overlap."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")

_END = object()


def ahead(items: Iterable[Item], depth: int = 2) -> Generator[Item, None, None]:
    """Yield the items in their order; up to ``depth`` wait ready, so memory stays bounded.

    An error while an item is made is raised where the item would have come. The thread ends with the iterator, also when that
    is closed early. A caller that may stop before the end must close it: else that is left to whatever thread collects it.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as thread:
        waiting: deque[Future[Item | object]] = deque(thread.submit(next, iterator, _END) for _ in range(depth))
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(thread.submit(next, iterator, _END))
                yield item  # type: ignore[misc]
        finally:
            for future in waiting:
                future.cancel()
