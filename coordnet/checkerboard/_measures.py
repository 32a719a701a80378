"""How much of a picture is a pattern of its own upsampling."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

_TILE = 64  # pixels along a side of what is transformed
_RING = 3, 6  # bins from a line: beyond the window's main lobe, near enough to be its surroundings
_SIDE, _BORDER = 128, 16  # of what is looked at, and at its edges what is left out


class Pattern(NamedTuple):
    """What :func:`examine` found: see :func:`phase_dc` and :func:`stride_peak` (dB)."""

    phase_dc: float
    stride_peak: float


def overlap(kernel: int, stride: int) -> Int[np.ndarray, " stride"]:
    """Return how many kernels of a transposed convolution paint each pixel of a period, on an axis.

    Args:
        kernel: Side of the kernel, at least 1.
        stride: The period.

    >>> overlap(3, 2).tolist(), overlap(4, 2).tolist(), overlap(5, 3).tolist()
    ([2, 1], [2, 2], [2, 2, 1])
    """
    if kernel < 1 or stride < 1:
        msg = f"`kernel` and `stride` must be at least 1, got {kernel} and {stride}"
        raise ValueError(msg)
    return -(-np.maximum(kernel - np.arange(stride), 0) // stride)


def phase_dc(picture: Float[np.ndarray, "*n h w c"], stride: int) -> float:
    """Return how far the means of the ``stride**2`` phases are apart, over the picture's RMS.

    Of the answer to a constant input, away from the borders, it is 0 where there is no pattern;
    above 0.05 one is seen. On other pictures phases differ by chance.

    Args:
        picture: Of any range.
        stride: The period that is looked for.

    >>> board = np.indices((8, 8)).sum(0) % 2 * 1.0
    >>> round(phase_dc(board[..., None], 2), 4), phase_dc(np.ones((8, 8, 1)), 2)
    (0.7071, 0.0)
    """
    _check_period(stride)
    y = np.asarray(picture, np.float64)
    h, w = (n // stride * stride for n in y.shape[-3:-1])
    if not h or not w:
        msg = f"`picture` must be at least {stride} pixels high and wide, got {picture.shape}"
        raise ValueError(msg)
    y = y[..., :h, :w, :]
    cells = y.reshape(-1, h // stride, stride, w // stride, stride, y.shape[-1])
    means = cells.mean((0, 1, 3))  # stride, stride, c
    spread = np.sqrt(np.square(means - means.mean((0, 1))).mean())
    return float(spread / max(np.sqrt(np.square(y).mean()), 1e-30))


def stride_peak(picture: Float[np.ndarray, "*n h w c"], stride: int) -> float:
    """Return by how many dB a picture's spectrum stands out at the frequencies of a stride.

    The power at the lines, multiples of 1/stride, over the median of the bins around them; of
    tiles of about 64 pixels, their mean removed, under a Hann window; the mean of all lines. White
    noise is near 0 dB, what enlarges cleanly below; above 10 dB there is a pattern.

    Args:
        picture: At least 64 pixels high and wide; of any range.
        stride: The period that is looked for.

    >>> noise = np.random.default_rng(0).normal(size=(256, 256, 1))
    >>> board = np.indices((256, 256)).sum(0)[..., None] % 2
    >>> stride_peak(noise, 2) < 3, stride_peak(noise + board, 2) > 20
    (True, True)
    """
    _check_period(stride)
    y = np.asarray(picture, np.float64)
    y = np.moveaxis(y.reshape(-1, *y.shape[-3:]), -1, 1)
    side = _TILE // stride * stride
    if min(y.shape[-2:]) < _TILE or side < 2 * stride:
        msg = (
            f"`picture` must be at least {_TILE} pixels high and wide, and `stride` at most "
            f"{_TILE // 2}, got {np.shape(picture)} and {stride}"
        )
        raise ValueError(msg)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(side) + 0.5) / side)
    power, whole = np.zeros((side, side)), 0.0
    for top in range(0, y.shape[-2] - side + 1, side // 2):
        for left in range(0, y.shape[-1] - side + 1, side // 2):
            tile = y[..., top : top + side, left : left + side]
            whole += float(np.square(tile).sum())
            tile = (tile - tile.mean((-2, -1), keepdims=True)) * window[:, None] * window
            power += np.square(np.abs(np.fft.fft2(tile))).sum((0, 1))
    # below, there are but rounding errors of float32: of 6e-8 of a pixel, squared, in every bin
    power = np.maximum(power, 1e-15 * max(whole, 1e-30))
    far = np.indices((2 * _RING[1] + 1,) * 2) - _RING[1]
    distance = np.abs(far).max(0)
    rows, columns = far[:, (distance >= _RING[0]) & (distance <= _RING[1])]
    step, found = side // stride, []
    for k in range(1, stride**2):
        at = step * (k // stride), step * (k % stride)
        around = power[(at[0] + rows) % side, (at[1] + columns) % side]
        found.append(power[at] / np.median(around))
    return float(10 * np.log10(np.mean(found)))


def examine(up: Callable[[Any], Any], inputs: int, stride: int, *, seed: int = 0) -> Pattern:
    """Return the pattern of something that enlarges, of its answers to constants and to noise.

    Args:
        up: Of ``(n, h, w, inputs)`` to a picture ``stride`` times as large: a layer, or a network.
        inputs: Channels.
        stride: How many times larger its output is.
        seed: Of the inputs.

    >>> from flax import nnx
    >>> from coordnet.checkerboard import Deconv, ResizeConv
    >>> found = examine(Deconv(16, 3, rngs=nnx.Rngs(0)), 16, 2)
    >>> found.phase_dc > 0.05, found.stride_peak > 10
    (True, True)
    >>> found = examine(ResizeConv(16, 3, rngs=nnx.Rngs(0)), 16, 2)
    >>> found.phase_dc < 1e-6, found.stride_peak < 3
    (True, True)
    """
    _check_period(stride)
    rng = np.random.default_rng(seed)
    side = -(-_SIDE // stride)
    constant = rng.normal(size=(1, 1, 1, inputs)) * np.ones((1, side, side, 1))
    noise = rng.normal(size=(1, side, side, inputs)) + rng.normal(size=(1, 1, 1, inputs))
    # whole periods are left out, so that what is left begins with the first phase
    border = -(-_BORDER // stride) * stride
    core = slice(border, -border)
    found = [np.asarray(up(jnp.asarray(x, jnp.float32)))[:, core, core] for x in (constant, noise)]
    return Pattern(phase_dc(found[0], stride), stride_peak(found[1], stride))


def _check_period(stride: int) -> None:
    if stride < 2:
        msg = f"`stride` must be at least 2, got {stride}: one pixel has no pattern"
        raise ValueError(msg)
