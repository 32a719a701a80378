"""A decoded picture at any size: its features between the pixels, and the network on them.

Features lie at pixel centres. Between them they are those of Keys' cubic convolution
(a = -0.5, "Catmull-Rom"), which at a centre is the feature itself; the last 3 x 3 convolution
looks one native pixel to each side, f(p) = g(p) + sum w_d g(p + d). So the function is defined
everywhere, and at native size is the decoded picture.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float, Int, UInt8

from ._synthesis import MARGIN, UNIT, Features, Synthesis, colours

_STRIP = 2**17  # pixels drawn at once

#: Returns colours at rows and columns of points, in native pixels from the first one's centre.
Lattice = Callable[
    [Float[np.ndarray, " rows"], Float[np.ndarray, " columns"]], Float[np.ndarray, "c n"]
]
#: Returns rows from the first to before the last (k, rows + 8, width + 8), with margins of 4.
_Rows = Callable[[int, int], Float[np.ndarray, "k h w"]]
#: Turns columns of features about a point, nine of 3 x 3 native pixels, into colours.
_Paint = Callable[[list[Float[np.ndarray, "_ _"]]], Float[np.ndarray, "c n"]]


def of_features(found: Features, net: Synthesis) -> Lattice:
    """Return what draws a pyramid."""

    def rows(first: int, last: int) -> np.ndarray:
        even = first // 2 * 2
        return found.rows(net, even, last - even)[:, first - even :]

    def paint(near: list[np.ndarray]) -> np.ndarray:
        drawn = [colours(net, part) for part in near]
        around = net.around @ np.concatenate(drawn) + net.around_bias[:, None]
        return (drawn[4] + around / UNIT) / UNIT

    return partial(_between, rows, paint, found.size)


def of_samples(samples: UInt8[np.ndarray, "h w c"]) -> Lattice:
    """Return what draws a picture that is kept as samples."""
    margins = ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
    planes = np.moveaxis(np.pad(samples, margins, mode="edge"), 2, 0)

    def rows(first: int, last: int) -> np.ndarray:
        return planes[:, first : last + 2 * MARGIN] / 255

    return partial(_between, rows, lambda near: near[4], (samples.shape[0], samples.shape[1]))


def drawn(
    lattice: Lattice,
    size: tuple[int, int],
    part: tuple[float, float, float, float],
    samples: int = 1,
) -> Float[np.ndarray, "h w c"]:
    """Draw a part of a picture at a size, strip by strip.

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
    out = []
    strip = max(1, _STRIP // points // samples) * samples
    for at in range(0, lines, strip):
        some = ys[at : at + strip]
        pixels = np.clip(lattice(some, xs), 0, 1)  # first: an average is of what would be seen
        blocks = pixels.reshape(len(pixels), len(some) // samples, samples, size[1], samples)
        out.append(blocks.mean((2, 4)).transpose(1, 2, 0))
    return np.concatenate(out)


def _between(
    rows: _Rows,
    paint: _Paint,
    native: tuple[int, int],
    ys: Float[np.ndarray, " rows"],
    xs: Float[np.ndarray, " columns"],
) -> Float[np.ndarray, "c n"]:
    """Return colours of features that are interpolated."""
    first = int(np.clip(np.floor(ys[0]), 0, native[0] - 1))
    last = int(np.clip(np.ceil(ys[-1]) + 1, first + 1, native[0]))
    known = rows(first, last)
    columns = [_taps(xs + d, native[1], 0) for d in (-1, 0, 1)]
    near = []
    for d in (-1, 0, 1):
        places, weights = _taps(ys + d, last - first, first)
        across = _mixed(weights, [known[:, where] for where in places], 1)
        for where, shares in columns:
            found = _mixed(shares, [across[:, :, x] for x in where], 2)
            near.append(found.reshape(len(known), -1))
    return paint(near)


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
        ((-0.5 * t + 1) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1,
        ((-1.5 * t + 2) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    ]
    return [node - first + MARGIN + k for k in (-1, 0, 1, 2)], weights
