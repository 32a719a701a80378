"""A decoded picture at any size: its features between the pixels, and the network on them.

Features lie at pixel centres. Between them they are those of Keys' cubic convolution (a = -0.75,
as in OpenCV and PyTorch), which at a centre is the feature itself; the last 3 x 3 convolution
looks one native pixel to each side, f(p) = g(p) + sum w_d g(p + d). So the function is defined
everywhere, and at native size is the decoded picture.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float, Int, UInt8

from ._synthesis import MARGIN, UNIT, Features, Synthesis, colours

_POINTS = 2**17  # drawn at once
# of a cubic's slope at its neighbours: reduced originals came 0.07 dB nearer than with -0.5
_KEYS = -0.75

#: Returns colours at rows and columns of points, in native pixels from the first one's centre.
Lattice = Callable[
    [Float[np.ndarray, " rows"], Float[np.ndarray, " columns"]], Float[np.ndarray, "c n"]
]
#: Returns pixels from a first row and column on, so many rows and columns, with margins of 4.
_Part = Callable[[int, int, int, int], Float[np.ndarray, "k h w"]]
#: Turns columns of features about a point, nine of 3 x 3 native pixels, into colours.
_Paint = Callable[[list[Float[np.ndarray, "_ _"]]], Float[np.ndarray, "c n"]]


def of_features(found: Features, net: Synthesis) -> Lattice:
    """Return what draws a pyramid."""

    def part(top: int, left: int, height: int, width: int) -> np.ndarray:
        down, right = top % 2, left % 2
        about = found.part(net, top - down, left - right, height + down, width + right)
        return about[:, down:, right:]

    def paint(near: list[np.ndarray]) -> np.ndarray:
        drawn = [colours(net, part) for part in near]
        around = net.around @ np.concatenate(drawn) + net.around_bias[:, None]
        return (drawn[4] + around / UNIT) / UNIT

    return partial(_between, part, paint, found.size)


def of_samples(samples: UInt8[np.ndarray, "h w c"]) -> Lattice:
    """Return what draws a picture that is kept as samples."""
    margins = ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
    planes = np.moveaxis(np.pad(samples, margins, mode="edge"), 2, 0)

    def part(top: int, left: int, height: int, width: int) -> np.ndarray:
        return planes[:, top : top + height + 2 * MARGIN, left : left + width + 2 * MARGIN] / 255

    return partial(_between, part, lambda near: near[4], (samples.shape[0], samples.shape[1]))


def drawn(
    lattice: Lattice,
    size: tuple[int, int],
    part: tuple[float, float, float, float],
    samples: int = 1,
) -> Float[np.ndarray, "h w c"]:
    """Draw a part of a picture at a size, some pixels after the others.

    Args:
        lattice: Gives colours.
        size: Height and width of what is drawn.
        part: Top, left, height and width, in native pixels, of what is drawn.
        samples: A pixel is the average of so many times so many points.
    """
    top, left, height, width = part
    lines, points = (n * samples for n in size)
    ys = top + (np.arange(lines) + 0.5) * height / lines - 0.5
    xs = left + (np.arange(points) + 0.5) * width / points - 0.5
    wide = min(points, max(1, _POINTS // samples // samples) * samples)
    tall = max(1, _POINTS // wide // samples) * samples
    bands = []
    for at in range(0, lines, tall):
        y, parts = ys[at : at + tall], []
        for start in range(0, points, wide):
            x = xs[start : start + wide]
            pixels = np.clip(lattice(y, x), 0, 1)  # first: an average is of what would be seen
            blocks = pixels.reshape(-1, len(y) // samples, samples, len(x) // samples, samples)
            parts.append(blocks.mean((2, 4)))
        bands.append(np.concatenate(parts, axis=2))
    return np.concatenate(bands, axis=1).transpose(1, 2, 0)


def _between(
    part: _Part,
    paint: _Paint,
    native: tuple[int, int],
    ys: Float[np.ndarray, " rows"],
    xs: Float[np.ndarray, " columns"],
) -> Float[np.ndarray, "c n"]:
    """Return colours of features that are interpolated."""
    (top, height), (left, width) = (_about(at, n) for at, n in zip((ys, xs), native, strict=True))
    known = part(top, left, height, width)
    columns = [_taps(xs + d, width, left) for d in (-1, 0, 1)]
    near = []
    for d in (-1, 0, 1):
        places, weights = _taps(ys + d, height, top)
        across = _mixed(weights, [known[:, where] for where in places], 1)
        for where, shares in columns:
            found = _mixed(shares, [across[:, :, x] for x in where], 2)
            near.append(found.reshape(len(known), -1))
    return paint(near)


def _about(at: Float[np.ndarray, " n"], length: int) -> tuple[int, int]:
    """Return the first native pixel about some points in order, and how many there are."""
    first = int(np.clip(np.floor(at[0]), 0, length - 1))
    last = int(np.clip(np.ceil(at[-1]) + 1, first + 1, length))
    return first, last - first


def _mixed(
    weights: list[Float[np.ndarray, " n"]], parts: list[Float[np.ndarray, "k h w"]], axis: int
) -> Float[np.ndarray, "k h w"]:
    """Return the sum of parts, weighted along an axis."""
    out = np.zeros_like(parts[0])
    for weight, part in zip(weights, parts, strict=True):
        out += (weight[:, None] if axis == 1 else weight) * part
    return out


def _taps(
    at: Float[np.ndarray, " n"], length: int, first: int
) -> tuple[list[Int[np.ndarray, "_"]], list[Float[np.ndarray, "_"]]]:
    """Return places among nodes with margins, and weights, of the four about each point."""
    # half a pixel and a step of the convolution beyond the border, the margin still has them
    at = np.clip(at, first - 1.5, first + length + 0.5)
    node = np.floor(at).astype(np.int64)
    t = at - node
    weights = [
        ((_KEYS * t - 2 * _KEYS) * t + _KEYS) * t,
        ((_KEYS + 2) * t - (_KEYS + 3)) * t * t + 1,
        ((-(_KEYS + 2) * t + 2 * _KEYS + 3) * t - _KEYS) * t,
        (_KEYS - _KEYS * t) * t * t,
    ]
    return [node - first + MARGIN + k for k in (-1, 0, 1, 2)], weights
