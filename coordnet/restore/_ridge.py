"""Blocks of JPEG files cleaned by one product of matrices, found in closed form, in seconds.

What UnJPEG (2016) asked of a deep network on blocks of 24 x 24 pixels, asked of a linear map: from
what is about a block to what its middle 8 x 8 pixels lack.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
from flax import nnx
from jaxtyping import Float, UInt8
from numpy.lib.stride_tricks import sliding_window_view

from ._cleaner import Seen, seen, told_of
from ._jpeg import BLOCK, as_jpeg, read_jpeg
from ._planes import to_ycc
from ._stream import Folder

#: Each has its own map; a file takes the nearest.
QUALITIES = (5, 10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 95)
_SPAN = 3 * BLOCK
_LUMA, _CHROMA = _SPAN**2, _SPAN**2 + BLOCK**2  # numbers that a block is seen with
_SIDE = 256  # pixels of the squares that are learnt from
_ROWS = 16  # of blocks, at once
# Squared levels of a number that is seen, of luma and chroma: with less, noise is fitted. Grey
# Classic5 at quality 10 gains 0.36, 0.50, 0.48 dB with 1, 10, 100 of luma, Kodak in colour at 85
# 0.37, 0.36, 0.22 with 1 and 1, 10 and 300, 100 and 5000 of luma and chroma
_RIDGE = (10.0, 300.0)


class Ridge(nnx.Module):
    """A map for luma and one for chroma, for each of the qualities; nothing at first.

    >>> Ridge(rngs=nnx.Rngs(0)).luma.shape
    (12, 576, 64)
    """

    def __init__(self, *, rngs: nnx.Rngs):
        del rngs  # as every network's constructor
        many = len(QUALITIES)
        self.luma = nnx.Param(np.zeros((many, _LUMA, BLOCK**2), np.float32))
        self.chroma = nnx.Param(np.zeros((many, _CHROMA, BLOCK**2), np.float32))

    def __call__(self, shown: Seen) -> Float[np.ndarray, "h w 3"]:
        """Return Y, Cb and Cr of a file, 0 to 255."""
        # by their steps, and of grey those of luma alone
        many = len(_told()[0]) // (2 if len(shown.bins) == 1 else 1)
        near = np.square(_told()[:, :many] - shown.told[:many]).sum(1)
        place = int(np.argmin(near))
        found = shown.planes[..., :3].copy()
        for k in range(len(shown.bins)):
            maps = self.chroma if k else self.luma
            weights = np.asarray(maps[...][place])
            for top, blocks in _blocks(shown, k):
                rows, columns = blocks.shape[:2]
                lacks = (blocks.reshape(rows * columns, -1) @ weights).reshape(
                    rows, columns, BLOCK, BLOCK
                )
                lacks = lacks.swapaxes(1, 2).reshape(rows * BLOCK, columns * BLOCK)
                inside = found[top : top + rows * BLOCK, :, k]
                inside += lacks[: inside.shape[0], : inside.shape[1]]
        return found


@cache
def _told() -> Float[np.ndarray, "q k"]:
    """Return what is told of the steps of each of the qualities."""
    black = np.zeros((16, 16, 3), np.uint8)
    return np.stack([told_of(read_jpeg(as_jpeg(black, q)))[:-3] for q in QUALITIES])


def _blocks(shown: Seen, k: int) -> Iterator[tuple[int, Float[np.ndarray, "r c n"]]]:
    """Yield what blocks of a plane are seen with, some rows of blocks after the others.

    About its own mean: 24 x 24 pixels, and of chroma what luma says that it lacks of its middle.
    """
    height, width = shown.planes.shape[:2]
    pads = [(BLOCK, BLOCK + -n % BLOCK) for n in (height, width)]
    plane = np.pad(shown.planes[..., k], pads, mode="edge")
    windows = sliding_window_view(plane, (_SPAN, _SPAN))[::BLOCK, ::BLOCK]
    told = None
    if k:
        ends = [(0, -n % BLOCK) for n in (height, width)]
        told = np.pad(shown.planes[..., 2 + k] - shown.planes[..., k], ends, mode="edge")
    for at in range(0, len(windows), _ROWS):
        part = windows[at : at + _ROWS]
        rows, columns = part.shape[:2]
        mean = part[..., BLOCK:-BLOCK, BLOCK:-BLOCK].mean((2, 3))
        found = part.reshape(rows, columns, -1) - mean[..., None]
        if told is not None:
            own = told[at * BLOCK : (at + rows) * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
            own = own.swapaxes(1, 2).reshape(rows, columns, -1)
            found = np.concatenate([found, own], 2)
        yield at * BLOCK, found


def solved(folder: Folder, *, pictures: int = 60, seed: int = 0) -> Ridge:
    """Return the maps that serve parts of a folder's pictures best, in the mean of squares.

    Args:
        folder: Clean pictures.
        pictures: Squares of 256 pixels for each quality.
        seed: Of what is drawn.
    """
    net = Ridge(rngs=nnx.Rngs(0))
    many = len(QUALITIES)
    luma, chroma = (np.zeros((many, wide, BLOCK**2), np.float32) for wide in (_LUMA, _CHROMA))
    rng = np.random.default_rng(seed)
    squares = [_square(rng, folder) for _ in range(pictures)]
    for place, quality in enumerate(QUALITIES):
        files = [seen(read_jpeg(as_jpeg(one, quality, subsampling=2))) for one in squares]
        for maps, planes, ridge in zip((luma, chroma), ((0,), (1, 2)), _RIDGE, strict=True):
            wide = maps.shape[1]
            own, both = np.zeros((wide, wide)), np.zeros((wide, BLOCK**2))
            for square, shown in zip(squares, files, strict=True):
                lacks = to_ycc(square) - shown.planes[..., :3]
                for k in planes:
                    x = np.concatenate([part.reshape(-1, wide) for _, part in _blocks(shown, k)])
                    y = lacks[..., k].reshape(_SIDE // BLOCK, BLOCK, -1, BLOCK)
                    own += x.T @ x
                    both += x.T @ y.swapaxes(1, 2).reshape(-1, BLOCK**2)
            count = pictures * len(planes) * (_SIDE // BLOCK) ** 2
            maps[place] = np.linalg.solve(own + ridge * count * np.eye(wide), both)
    net.luma[...], net.chroma[...] = luma, chroma
    return net


def _square(rng: np.random.Generator, folder: Folder) -> UInt8[np.ndarray, "s s 3"]:
    picture = folder.any(rng, _SIDE)
    y, x = (int(rng.integers(n - _SIDE + 1)) for n in picture.shape[:2])
    return np.ascontiguousarray(picture[y : y + _SIDE, x : x + _SIDE])
