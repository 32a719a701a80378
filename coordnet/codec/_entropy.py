"""What is expected of a latent, from all that is known before it: whole numbers throughout.

The nodes of a grid stand in cells of 2 x 2, and a cell is a node of the grid above. A grid is
coded in four passes of whole arrays, one for each place in the cells. A pass knows the grid above,
the passes before it, 3 x 3 cells of each, and the channels before its own. From these one small
network says the mean and the scale of a Laplace distribution: linear parts, and what two hidden
layers add that see the logarithms of what is known. Its weights, inputs and outputs are
whole numbers that float64 holds exactly, and so are its sums: products by BLAS are the same in
any order, on any machine.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from .._files import FormatError
from ._laplace import LIMIT, SCALE_UNIT, SCALES, Precision
from ._pyramid import CHANNELS, EXACT

#: The places in a cell, (row, column), in the order of the passes.
PHASES = ((0, 0), (1, 1), (0, 1), (1, 0))
#: Planes of cells that a pass sees 3 x 3 of: the grid above, and the first three phases.
PLANES = 4
#: Inputs that every pass sees: one of the grid two levels above, four of each channel before.
ALWAYS = 1 + len(PHASES) * (max(CHANNELS) - 1)
#: Units of the weights. Magnitudes and hidden units are in those of means: so many to
#: log2(1 + |x|) = 1.
WEIGHT_UNIT = 2**8

_CELLS = 2**15  # at once: some 10 MB of inputs


def seen(phase: int) -> int:
    """Return how many inputs a pass sees: the first so many.

    >>> [seen(phase) for phase in range(4)]
    [18, 27, 36, 45]
    """
    return ALWAYS + 9 * (phase + 1)


class EntropyNet(NamedTuple):
    """The weights, of every pass; u units, i inputs, k columns: one for each grid's channel.

    Two hidden layers, ``inner`` (4, 2, u, i), for magnitudes and for magnitudes with their signs,
    ``inner_bias`` (4, u, k), ``middle`` (4, u, u) and ``middle_bias`` (4, u). The mean is ``mean``
    (4, i) of the inputs, ``mean_bias`` (4, k), and ``mean_outer`` (4, u) of the hidden units; the
    scale is ``scale`` (4, i) of the magnitudes, ``scale_bias`` and ``scale_outer``.
    """

    inner: Float[np.ndarray, "4 2 u i"]
    inner_bias: Float[np.ndarray, "4 u k"]
    middle: Float[np.ndarray, "4 u u"]
    middle_bias: Float[np.ndarray, "4 u"]
    mean: Float[np.ndarray, "4 i"]
    mean_bias: Float[np.ndarray, "4 k"]
    mean_outer: Float[np.ndarray, "4 u"]
    scale: Float[np.ndarray, "4 i"]
    scale_bias: Float[np.ndarray, "4 k"]
    scale_outer: Float[np.ndarray, "4 u"]
    top_mean: Int[np.ndarray, " c"]
    top_scale: Int[np.ndarray, " c"]
    precision: Precision


#: Called with nodes (None where they are not known), their means and their scales, and with the
#: grid's place among the grids and the channel; returns the nodes.
Coder = Callable[
    [np.ndarray | None, Int[np.ndarray, " n"], Int[np.ndarray, " n"], tuple[int, int]],
    Int[np.ndarray, " n"],
]


def check_sums(net: EntropyNet) -> None:
    """Raise FormatError where a sum might not be exact in float64: no encoder writes such."""
    most = magnitudes(net.precision.mean_unit)[-1]
    inner = most * np.abs(net.inner).sum((1, 3))[..., None] + np.abs(net.inner_bias)
    hidden = inner.max(-1) / WEIGHT_UNIT + 1
    middle = np.einsum("puv,pv->pu", np.abs(net.middle), hidden) + np.abs(net.middle_bias)
    hidden = middle / WEIGHT_UNIT + 1
    linear = [LIMIT * np.abs(net.mean).sum(-1), most * np.abs(net.scale).sum(-1)]
    outer = [(np.abs(w) * hidden).sum(-1) for w in (net.mean_outer, net.scale_outer)]
    bias = [np.abs(v).max(-1) for v in (net.mean_bias, net.scale_bias)]
    sums = (inner, middle, np.add(np.add(linear, outer), bias))
    if (largest := max(float(v.max()) for v in sums)) >= EXACT:
        msg = f"the .cnet file has weights of which a sum may be {largest:.2g}, beyond 2**53"
        raise FormatError(msg)


@cache
def magnitudes(unit: int) -> Float[np.ndarray, " n"]:
    """Return log2(1 + x) in so many units, rounded, for every whole x that is written.

    >>> magnitudes(16)[[0, 1, 3, 1023]].tolist()
    [0.0, 16.0, 32.0, 160.0]
    """
    # n = 1 + x is k, rounded, from the least on whose power has 2 k bits
    powers = (n ** (2 * unit) for n in range(1, LIMIT + 2))
    return np.array([power.bit_length() // 2 for power in powers], np.float64)


def walk(
    net: EntropyNet,
    shapes: Sequence[tuple[int, ...]],
    latents: Sequence[Shaped[np.ndarray, "_ _ _"]] | None,
    code: Coder,
) -> list[Int[np.ndarray, "_ _ _"]]:
    """Visit every latent in the order of the file, the coarsest grid first.

    Args:
        net: The entropy network.
        shapes: Channels, height and width of the grids, the finest first.
        latents: The grids to code, or None where ``code`` finds them out.
        code: Called for runs of nodes; what it returns is what later nodes know of them.

    Returns:
        The grids, the finest first.
    """
    check_sums(net)
    grids: list[np.ndarray] = [np.zeros(0)] * len(shapes)
    columns = np.cumsum([0, *(shape[0] for shape in shapes)])
    channels, height, width = shapes[-1]
    top = np.empty((channels, height, width), np.int64)
    for c in range(channels):
        count = height * width
        values = None if latents is None else latents[-1][c].ravel()
        means, scales = np.full(count, net.top_mean[c]), np.full(count, net.top_scale[c])
        top[c] = code(values, means, scales, (len(shapes) - 1, c)).reshape(height, width)
    grids[-1] = top
    for i in reversed(range(len(shapes) - 1)):
        above = grids[i + 1 : i + 3]
        given = None if latents is None else latents[i]
        grids[i] = _grid(net, shapes[i], above, (i, int(columns[i])), given, code)
    return grids


def _grid(
    net: EntropyNet,
    shape: tuple[int, ...],
    above: Sequence[Int[np.ndarray, "_ _ _"]],
    place: tuple[int, int],
    given: Shaped[np.ndarray, "_ _ _"] | None,
    code: Coder,
) -> Int[np.ndarray, "c h w"]:
    """Visit a grid, given its place and first column, channel by channel and phase by phase."""
    level, column = place
    channels, height, width = shape
    rows, columns = above[0].shape[1:]  # of cells
    strip = max(1, _CELLS // columns)
    before = (ALWAYS - 1) // len(PHASES)  # channels known at their own place
    grid = np.zeros((channels, 2 * rows, 2 * columns), np.int64)
    known: list[np.ndarray] = []  # of the channels before, the last first: (4, rows, columns)
    for c in range(channels):
        planes = np.zeros((PLANES + 1, rows + 2, columns + 2))
        planes[0, 1:-1, 1:-1] = above[0][min(c, len(above[0]) - 1)]
        far = above[1][min(c, len(above[1]) - 1)] if len(above) > 1 else None
        for k, (a, b) in enumerate(PHASES):
            # of an odd height or width the last cells lack some nodes
            part = grid[c, a:height:2, b:width:2]
            for first in range(0, len(part), strip):
                last = min(first + strip, len(part))
                inputs = _inputs(planes[: k + 1], far, known[:before], first, last, part.shape[1])
                means, scales = _expected(net, inputs, k, column + c)
                values = None if given is None else given[c, a::2, b::2][first:last].ravel()
                part[first:last] = code(values, means, scales, (level, c)).reshape(last - first, -1)
            planes[k + 1, 1 : 1 + part.shape[0], 1 : 1 + part.shape[1]] = part
        known.insert(0, planes[1:, 1:-1, 1:-1])
    return grid[:, :height, :width]


def _inputs(
    planes: Float[np.ndarray, "k h w"],
    far: Int[np.ndarray, "h2 w2"] | None,
    known: Sequence[Float[np.ndarray, "_ _ _"]],
    first: int,
    last: int,
    width: int,
) -> dict[int, Float[np.ndarray, " n"]]:
    """Return what is known of some rows of cells, by its place among the inputs."""
    rows, found = slice(first, last), {}
    if far is not None:
        quarter = far[np.arange(first, last) // 2][:, np.arange(width) // 2]
        found[0] = quarter.ravel().astype(np.float64)
    for d, channel in enumerate(known):
        for phase, values in enumerate(channel):
            found[1 + 4 * d + phase] = values[rows, :width].ravel()
    for plane, values in enumerate(planes):
        for place in range(9):
            dy, dx = divmod(place, 3)
            near = values[first + dy : last + dy, dx : dx + width]
            found[ALWAYS + 9 * plane + place] = near.ravel()
    return found


def _expected(
    net: EntropyNet, inputs: dict[int, Float[np.ndarray, " n"]], phase: int, column: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Return means and scales, in units of the network's precision."""
    which = list(inputs)
    values = np.stack(list(inputs.values()))
    sizes = magnitudes(net.precision.mean_unit)[np.abs(values).astype(np.int64)]
    inner = net.inner[phase][..., which]
    hidden = inner[0] @ sizes + inner[1] @ (np.sign(values) * sizes)
    hidden = _activated(hidden + net.inner_bias[phase, :, column, None])
    hidden = _activated(net.middle[phase] @ hidden + net.middle_bias[phase][:, None])
    mean = net.mean[phase, which] @ values + net.mean_outer[phase] @ hidden
    mean = np.floor((mean + net.mean_bias[phase, column]) / WEIGHT_UNIT + 0.5)
    scale = net.scale[phase, which] @ sizes + net.scale_outer[phase] @ hidden
    # weights times magnitudes: to parts of an octave
    unit = WEIGHT_UNIT * net.precision.mean_unit / SCALE_UNIT
    scale = np.floor((scale + net.scale_bias[phase, column]) / unit + 0.5)
    most = LIMIT * net.precision.mean_unit
    return (
        np.clip(mean, -most, most).astype(np.int64),
        np.clip(scale, 0, SCALES - 1).astype(np.int64),
    )


def _activated(sums: Float[np.ndarray, "u n"]) -> Float[np.ndarray, "u n"]:
    """Return hidden units, in the unit of magnitudes, from products of weights with such."""
    return np.maximum(np.floor(sums / WEIGHT_UNIT + 0.5), 0)
