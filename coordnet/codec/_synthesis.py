"""Latent grids to pixels: whole numbers throughout, so that every machine paints the same picture.

Features are whole numbers of 2**-12, weights of 2**-12, their products are rounded back. float64
holds all of them exactly, and so the products of BLAS are the same in any order.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from ._pyramid import LEVELS

#: Units of features and weights: so many to 1. Biases, and weights of latents, have their product.
UNIT = 2**12
#: Nodes beyond the picture, on each side, that take part in filters.
MARGIN = 4
#: Below zero an activation falls by one sixteenth.
SLOPE = 16

_PIXELS = 2**16  # painted at once


class Synthesis(NamedTuple):
    """The weights. k features, c channels of a level's grid, u hidden units; finest level first.

    A level mixes its own latents (``own``, (k, c)) with what came from the level above
    (``passed``, (k, k); none on top), which ``taps`` (levels - 1, 4) have enlarged: weights of
    the four coarse nodes about a fine one, the nearest but one first. Then two layers, a linear
    way past them, and a last 3 x 3 convolution of what was painted.
    """

    own: Sequence[Float[np.ndarray, "_ _"]]
    passed: Sequence[Float[np.ndarray, "_ _"]]
    taps: Float[np.ndarray, "levels-1 4"]
    hidden: Float[np.ndarray, "u k"]
    hidden_bias: Float[np.ndarray, " u"]
    output: Float[np.ndarray, "3 u"]
    output_bias: Float[np.ndarray, " 3"]
    past: Float[np.ndarray, "3 k"]
    around: Float[np.ndarray, "3 27"]
    around_bias: Float[np.ndarray, " 3"]


def _rounded(products: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return whole numbers of features from products of features and weights."""
    return np.floor(products / UNIT + 0.5)


def interleaved(
    u: Float[np.ndarray, "k h w"], taps: Float[np.ndarray, " 4"], axis: int
) -> Float[np.ndarray, "k h2 w2"]:
    """Return twice as many nodes along an axis, less eight: half of a margin feeds a whole one."""
    n = u.shape[axis] - 4
    near = [u[(slice(None),) * axis + (slice(i, i + n),)] for i in range(5)]
    even = sum(t * v for t, v in zip(taps, near[:4], strict=True))
    odd = sum(t * v for t, v in zip(taps[::-1], near[1:], strict=True))
    out = np.stack([even, odd], axis + 1)
    return out.reshape(*u.shape[:axis], 2 * n, *u.shape[axis + 1 :])


def _enlarged(
    u: Float[np.ndarray, "k h w"], taps: Float[np.ndarray, " 4"], size: tuple[int, int]
) -> Float[np.ndarray, "k h2 w2"]:
    """Return the features of the next finer level, with the margin of theirs."""
    for axis in (1, 2):
        u = _rounded(interleaved(u, taps, axis))
    return u[:, : size[0] + 2 * MARGIN, : size[1] + 2 * MARGIN]


def _mixed(
    net: Synthesis, i: int, latents: Int[np.ndarray, "c h w"], above: np.ndarray | None
) -> Float[np.ndarray, "k h w"]:
    """Return the features of a level, from its latents and from above, both with margins."""
    c, h, w = latents.shape
    sums = net.own[i] @ latents.reshape(c, -1).astype(np.float64)
    if above is not None:
        sums += net.passed[i] @ above.reshape(len(above), -1)
    return _rounded(sums).reshape(-1, h, w)


class Features(NamedTuple):
    """What all levels but level 0 say together (k, h2, w2), level 0's latents, and their size."""

    coarse: Float[np.ndarray, "k h2 w2"]
    own: Int[np.ndarray, "c h w"] | None
    size: tuple[int, int]

    def rows(self, net: Synthesis, top: int, count: int) -> Float[np.ndarray, "k h w"]:
        """Return the features of some rows of pixels, the first an even one, with margins."""
        # nodes of level 1 about these rows: half as many, and the margin of them
        part = self.coarse[:, top // 2 : top // 2 + (count + 1) // 2 + 2 * MARGIN]
        fine = _enlarged(part, net.taps[0], (count, self.size[1]))
        if self.own is None:
            return fine
        return _mixed(net, 0, self.own[:, top : top + count + 2 * MARGIN], fine)


def features(
    net: Synthesis, latents: Sequence[Int[np.ndarray, "_ _ _"]], size: tuple[int, int]
) -> Features:
    """Return the features of a picture of that size, from grids of latents, the finest first."""
    finest = LEVELS - len(latents)
    sizes = [(-(-size[0] // 2**i), -(-size[1] // 2**i)) for i in range(LEVELS)]
    u = None
    for i in reversed(range(1, LEVELS)):
        if u is not None:
            u = _enlarged(u, net.taps[i], sizes[i])
        if i >= finest:
            u = _mixed(net, i - finest, _padded(latents[i - finest]), u)
    assert u is not None
    return Features(u, _padded(latents[0]) if finest == 0 else None, size)


def painted(
    net: Synthesis, latents: Sequence[Int[np.ndarray, "_ _ _"]], size: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture that grids of latents stand for, the finest first, strip by strip."""
    found = features(net, latents, size)
    out = np.empty((*size, 3), np.uint8)
    strip = max(2, _PIXELS // size[1] // 2 * 2)
    cut = slice(MARGIN - 1, 1 - MARGIN)
    for top in range(0, size[0], strip):
        rows = min(strip, size[0] - top)
        out[top : top + rows] = _pixels(net, found.rows(net, top, rows)[:, cut, cut])
    return out


def _padded(latents: Int[np.ndarray, "c h w"]) -> Int[np.ndarray, "c h2 w2"]:
    margin = (MARGIN, MARGIN)
    return np.pad(latents, ((0, 0), margin, margin), mode="edge")


def colours(net: Synthesis, flat: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "3 n"]:
    """Return what features say of the colours before the last convolution."""
    hidden = _rounded(net.hidden @ flat + net.hidden_bias[:, None])
    hidden = np.maximum(hidden, np.floor(hidden / SLOPE + 0.5))
    return _rounded(net.output @ hidden + net.past @ flat + net.output_bias[:, None])


def _pixels(net: Synthesis, u: Float[np.ndarray, "k h2 w2"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return pixels of features that have a margin of one."""
    k, h, w = u.shape
    out = colours(net, u.reshape(k, -1)).reshape(3, h, w)
    near = [out[:, y : y + h - 2, x : x + w - 2] for y in range(3) for x in range(3)]
    around = net.around @ np.concatenate(near).reshape(27, -1) + net.around_bias[:, None]
    out = out[:, 1:-1, 1:-1] + _rounded(around).reshape(3, h - 2, w - 2)
    levels = np.floor(out * 255 / UNIT + 0.5)
    return np.clip(levels, 0, 255).astype(np.uint8).transpose(1, 2, 0)
