"""Latent grids to pixels: whole numbers throughout, so that every machine paints the same picture.

Features are whole numbers of 2**-12, weights of 2**-12, their products are rounded back. float64
holds all of them exactly, and so the products of BLAS are the same in any order.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from .._files import FormatError
from ._pyramid import EXACT, LEVELS

#: Units of features and weights: so many to 1. Biases, and weights of latents, have their product.
UNIT = 2**12
#: Nodes beyond the picture, on each side, that take part in filters.
MARGIN = 4
#: Below zero an activation falls by one sixteenth.
SLOPE = 16

_PIXELS, _WIDEST = 2**16, 512  # painted at once, and in a row of them


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

    def part(
        self, net: Synthesis, top: int, left: int, height: int, width: int
    ) -> Float[np.ndarray, "k h w"]:
        """Return the features of some pixels, from an even row and column on, with margins."""
        # nodes of level 1 about them: half as many, and the margin of them
        rows, columns = (slice(n // 2, n // 2 + (count + 1) // 2 + 2 * MARGIN)
                         for n, count in ((top, height), (left, width)))  # fmt: skip
        fine = _enlarged(self.coarse[:, rows, columns], net.taps[0], (height, width))
        if self.own is None:
            return fine
        rows, columns = (
            slice(top, top + height + 2 * MARGIN),
            slice(left, left + width + 2 * MARGIN),
        )
        return _mixed(net, 0, self.own[:, rows, columns], fine)


def check_sums(net: Synthesis, latents: Sequence[Int[np.ndarray, "_ _ _"]]) -> None:
    """Raise FormatError where a sum might not be exact in float64: no encoder writes such weights.

    Every sum is bounded by the magnitudes of its weights, and of what they can meet.
    """
    finest, sums, u = LEVELS - len(latents), [], np.zeros(1)
    for i in reversed(range(LEVELS)):
        if i + 1 < LEVELS:
            for _ in range(2):
                sums.append(u * np.abs(net.taps[i]).sum())
                u = sums[-1] / UNIT + 1
        if i >= finest:
            k = i - finest
            most = np.abs(latents[k]).max((1, 2)).astype(np.float64)
            passed = np.abs(net.passed[k]) @ u if i + 1 < LEVELS else 0.0
            sums.append(np.abs(net.own[k]) @ most + passed)
            u = sums[-1] / UNIT + 1
    sums.append(np.abs(net.hidden) @ u + np.abs(net.hidden_bias))
    hidden = sums[-1] / UNIT + 1
    sums.append(np.abs(net.output) @ hidden + np.abs(net.past) @ u + np.abs(net.output_bias))
    out = sums[-1] / UNIT + 1
    sums.append(np.abs(net.around) @ np.tile(out, 9) + np.abs(net.around_bias))
    sums.append(255 * (out + sums[-1] / UNIT + 1))
    if (largest := max(float(v.max()) for v in sums)) >= EXACT:
        msg = f"the .cnet file has weights of which a sum may be {largest:.2g}, beyond 2**53"
        raise FormatError(msg)


def features(
    net: Synthesis, latents: Sequence[Int[np.ndarray, "_ _ _"]], size: tuple[int, int]
) -> Features:
    """Return the features of a picture of that size, from grids of latents, the finest first."""
    check_sums(net, latents)
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
    """Return the picture that grids of latents stand for, the finest first, part by part."""
    found = features(net, latents, size)
    out = np.empty((*size, 3), np.uint8)
    wide = min(size[1], _WIDEST)
    tall = max(2, _PIXELS // wide // 2 * 2)
    cut = slice(MARGIN - 1, 1 - MARGIN)
    for top in range(0, size[0], tall):
        for left in range(0, size[1], wide):
            place = out[top : top + tall, left : left + wide]
            about = found.part(net, top, left, *place.shape[:2])
            place[:] = _pixels(net, about[:, cut, cut])
    return out


def grey(samples: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 1"]:
    """Return the mean of the three channels that were painted for one."""
    return ((samples.sum(-1, keepdims=True, dtype=np.uint16) + 1) // 3).astype(np.uint8)


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
