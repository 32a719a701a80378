"""A network over a large picture, tile by tile: the same numbers as over the whole."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Float

from .._cores import cores
from .._progress import counting

_MOST_AT_ONCE = 4  # tiles: each takes memory
Map = Callable[[Float[np.ndarray, "1 h w c"], tuple[int, int]], Float[np.ndarray, "1 h2 w2 k"]]


def tiled(
    apply: Map,
    cells: Float[np.ndarray, "h w c"],
    halo: int,
    side: int,
    progress: bool | None = False,
) -> Float[np.ndarray, "h w k"]:
    """Return what a network without padding says of a picture that is mirrored at its borders.

    Args:
        apply: Takes cells and the row and column at which they begin, ``halo`` before those that
            it returns. It is always given tiles of one shape, so that it compiles once.
        cells: The whole picture.
        halo: Cells that one is seen with, to each side.
        side: Of what is returned of a tile.
        progress: Draw a bar; None: if the process is interactive and it takes long.

    >>> picture = np.arange(35.0).reshape(5, 7, 1)
    >>> mean = lambda x, _: (x[:, :-2, 1:-1] + x[:, 2:, 1:-1]) / 2
    >>> np.array_equal(tiled(mean, picture, 1, 2), tiled(mean, picture, 1, 8))
    True
    """
    h, w = cells.shape[:2]
    result: np.ndarray | None = None

    def work(y: int, x: int, part: np.ndarray) -> tuple[int, int, np.ndarray]:
        return y, x, np.asarray(apply(part[None], (y - halo, x - halo)))[0]

    for y, x, said in side_by_side(work, tiles(cells, halo, side, progress, "cleaning")):
        if result is None:
            result = np.empty((h, w, said.shape[-1]), np.float32)
        inside = result[y : y + side, x : x + side]
        inside[...] = said[: inside.shape[0], : inside.shape[1]]
    assert result is not None
    return result


def tiles(
    cells: Float[np.ndarray, "h w c"], halo: int, side: int, progress: bool | None, text: str
) -> Iterator[tuple[int, int, Float[np.ndarray, "s s c"]]]:
    """Yield the tiles of a picture that is mirrored at its borders, all of one shape.

    Args:
        cells: The picture.
        halo: Cells that a tile has about it.
        side: Of a tile without them.
        progress: As of :func:`tiled`.
        text: What the bar says is done.

    Yields:
        Row and column of a tile's first cell, and its cells with those of the halo.
    """
    h, w = cells.shape[:2]
    many = [-(-s // side) for s in (h, w)]
    # beyond the last tile's border the mirror goes on; it is cut off again
    pads = [(halo, halo + n * side - s) for n, s in zip(many, (h, w), strict=True)]
    rows, columns = (_mirrored(s, *pad) for s, pad in zip((h, w), pads, strict=True))
    span = side + 2 * halo
    for i, j in counting(list(np.ndindex(*many)), progress, text):
        y, x = i * side, j * side
        yield y, x, cells[np.ix_(rows[y : y + span], columns[x : x + span])]


def side_by_side(work: Callable[..., Any], items: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    """Yield what ``work`` makes of each item, in order, while other cores work at the next ones.

    XLA's own threads find little to share in a tile.

    >>> list(side_by_side(lambda a, b: a * b, [(1, 2), (3, 4)]))
    [2, 12]
    """
    at_once = min(cores(), _MOST_AT_ONCE)
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        for item in items:
            waiting.append(pool.submit(work, *item))
            if len(waiting) > at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _mirrored(side: int, before: int, after: int) -> np.ndarray:
    """Return which cell stands at each place of a row that is mirrored beyond its ends."""
    at = np.arange(-before, side + after) % (2 * side)
    return np.minimum(at, 2 * side - 1 - at)
