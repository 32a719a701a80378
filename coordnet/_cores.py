"""How many processors there are for us."""

import os


def cores() -> int:
    """Return how many processors this process may use, which are fewer where it was pinned.

    >>> cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
