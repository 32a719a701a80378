"""How many processors there are for us, and work beside each other."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def cores() -> int:
    """Return how many processors this process may use, which are fewer where it was pinned.

    >>> cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def side_by_side(
    work: Callable[[Item], Made], items: Iterable[Item], *, workers: int, ahead: int
) -> Generator[Made]:
    """Yield ``work(item)`` of each item, in order, ``ahead`` of them begun in threads before.

    There may be items without end: each is asked for when its turn comes.

    >>> list(side_by_side(lambda i: i * i, [3, 4, 5], workers=2, ahead=2))
    [9, 16, 25]
    """
    items = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        waiting = deque(pool.submit(work, item) for item in islice(items, ahead))
        try:
            while waiting:
                made = waiting.popleft().result()
                waiting.extend(pool.submit(work, item) for item in islice(items, 1))
                yield made
        finally:
            for one in waiting:
                one.cancel()
