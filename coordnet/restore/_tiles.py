"""A network over a large picture, tile by tile: the same numbers as over the whole."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from .._cores import cores, side_by_side
from .._progress import counting

Made = TypeVar("Made")
#: Row and column of a tile's first cell, and its cells with those of the halo.
Tile = tuple[int, int, Float[np.ndarray, "s t c"]]
Map = Callable[[Float[np.ndarray, "1 h w c"], tuple[int, int]], Float[np.ndarray, "1 h2 w2 k"]]

_MOST_AT_ONCE = 4  # tiles: each takes memory


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

    def work(tile: Tile) -> tuple[int, int, np.ndarray]:
        y, x, part = tile
        return y, x, np.asarray(apply(part[None], (y - halo, x - halo)))[0]

    for y, x, said in each(work, tiles(cells, halo, side, progress, "cleaning")):
        if result is None:
            result = np.empty((h, w, said.shape[-1]), np.float32)
        inside = result[y : y + side, x : x + side]
        inside[...] = said[: inside.shape[0], : inside.shape[1]]
    assert result is not None
    return result


def tiles(
    cells: Float[np.ndarray, "h w c"], halo: int, side: int, progress: bool | None, text: str
) -> Iterator[Tile]:
    """Yield the tiles of a picture that is mirrored at its borders, all of one shape.

    Args:
        cells: The picture.
        halo: Cells that a tile has about it.
        side: Of a tile without them.
        progress: As of :func:`tiled`.
        text: What the bar says is done.
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


def each(work: Callable[[Tile], Made], found: Iterator[Tile]) -> Iterator[Made]:
    """Yield what ``work`` makes of tiles, in order: XLA itself keeps one core busy with a tile."""
    at_once = min(cores(), _MOST_AT_ONCE)
    return side_by_side(work, found, workers=at_once, ahead=at_once)


def _mirrored(side: int, before: int, after: int) -> np.ndarray:
    """Return which cell stands at each place of a row that is mirrored beyond its ends."""
    at = np.arange(-before, side + after) % (2 * side)
    return np.minimum(at, 2 * side - 1 - at)
