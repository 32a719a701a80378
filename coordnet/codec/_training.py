"""Fitting latents, and the networks about them, to pixels: one window of a picture at a time.

A step looks at a square of pixels and at the nodes of all grids that have a part in them. So a
step of one compiled program serves pictures of any size, in bounded memory, and nothing ends at
the border of a tile: the grids are those of the whole picture, and windows lie anywhere.

The rounding of latents is learnt through as in C3 (Kim et al. 2023): soft rounding, noise that
goes from peaked to flat, and the mean of what may have been rounded to the same.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ._entropy import PHASES, PLANES
from ._entropy import seen as seen_inputs
from ._laplace import LEAST_OCTAVE
from ._pyramid import CELL, CHANNELS, LEVELS
from ._synthesis import MARGIN, SLOPE

Params = dict[str, Any]

# XLA's CPU backend fuses what it can, recomputing it for every reader: a cascade of levels so
# fused took 85 ms where this takes 5, and a minute to compile where this takes 7 s.
fence = jax.lax.optimization_barrier

_NEIGHBOURS = [(y, x) for y in range(3) for x in range(3)]


@jax.custom_vjp
def patches(v: Float[Array, "c h2 w2"]) -> Float[Array, "c9 h w"]:
    """Return the 3 x 3 neighbours of every node, place by place."""
    h, w = v.shape[1] - 2, v.shape[2] - 2
    return fence(jnp.concatenate([v[:, y : y + h, x : x + w] for y, x in _NEIGHBOURS]))


def patches_back(v: Array, g: Array) -> tuple[Array]:
    c, h, w = v.shape[0], v.shape[1] - 2, v.shape[2] - 2
    out = jnp.zeros_like(v)
    # one sum in place after another: added as padded pictures they become one slow loop
    for (y, x), part in zip(_NEIGHBOURS, g.reshape(9, c, h, w), strict=True):
        out = fence(out.at[:, y : y + h, x : x + w].add(part))
    return (out,)


patches.defvjp(lambda v: (patches(v), v), patches_back)


def _slices(v: Array, starts: Sequence[int], length: int, axis: int) -> list[Array]:
    return [jax.lax.slice_in_dim(v, i, i + length, axis=axis) for i in starts]


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _doubled(v: Float[Array, "k h w"], taps: Float[Array, " 4"], axis: int) -> Array:
    """Return twice as many nodes along an axis, less eight; see ``_synthesis``."""
    n = v.shape[axis] - 4
    near = _slices(v, range(5), n, axis)
    even = sum(taps[k] * near[k] for k in range(4))
    odd = sum(taps[3 - k] * near[k + 1] for k in range(4))
    out = jnp.stack(fence([even, odd]), axis=axis + 1)
    return fence(out.reshape(*v.shape[:axis], 2 * n, *v.shape[axis + 1 :]))


def _doubled_back(axis: int, given: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    v, taps = given
    n = v.shape[axis] - 4
    g = g.reshape(*v.shape[:axis], n, 2, *v.shape[axis + 1 :])
    even, odd = fence([jax.lax.index_in_dim(g, k, axis + 1, keepdims=False) for k in (0, 1)])
    pad = [(4, 4, 0) if i == axis else (0, 0, 0) for i in range(v.ndim)]
    wide = fence([jax.lax.pad(part, jnp.zeros((), v.dtype), pad) for part in (even, odd)])
    of_even = _slices(wide[0], [4, 3, 2, 1], n + 4, axis)
    of_odd = _slices(wide[1], [3, 2, 1, 0], n + 4, axis)
    back = sum(taps[k] * of_even[k] + taps[3 - k] * of_odd[k] for k in range(4))
    near = _slices(v, range(5), n, axis)
    slopes = [jnp.vdot(even, near[k]) + jnp.vdot(odd, near[4 - k]) for k in range(4)]
    return fence(back), jnp.stack(slopes)


_doubled.defvjp(lambda v, taps, axis: (_doubled(v, taps, axis), (v, taps)), _doubled_back)


def enlarged(v: Float[Array, "k h w"], taps: Float[Array, " 4"]) -> Float[Array, "k h2 w2"]:
    """Return the features of the next finer level."""
    return _doubled(_doubled(v, taps, 1), taps, 2)


def activated(v: Array) -> Array:
    """Return what a hidden unit says: below zero a sixteenth."""
    return jnp.maximum(v, v / SLOPE)


def painted(p: Params, grids: Sequence[Float[Array, "_ _ _"]]) -> Float[Array, "3 h w"]:
    """Return pixels of grids with a margin; see ``_synthesis.Synthesis``."""
    finest = LEVELS - len(grids)
    u = None
    for i in reversed(range(len(grids))):
        c, h, w = grids[i].shape
        sums = p["own"][i] @ grids[i].reshape(c, -1)
        if u is not None:
            above = enlarged(u, p["taps"][i + finest])
            sums += fence(p["passed"][i] @ above.reshape(len(above), -1))
        u = fence(sums).reshape(-1, h, w)
    assert u is not None
    for i in reversed(range(finest)):
        u = enlarged(u, p["taps"][i])
    cut = slice(MARGIN - 1, 1 - MARGIN)  # a margin of one is left, for the last convolution
    u = fence(u[:, cut, cut])
    (_, h, w), flat = u.shape, u.reshape(len(u), -1)
    hidden = fence(activated(fence(p["hidden"] @ flat) + p["hidden_bias"][:, None]))
    out = fence(p["output"] @ hidden) + fence(p["past"] @ flat) + p["output_bias"][:, None]
    out = fence(out).reshape(3, h, w)
    around = fence(p["around"] @ patches(out).reshape(27, -1)) + p["around_bias"][:, None]
    return fence(out[:, 1:-1, 1:-1]) + around.reshape(3, h - 2, w - 2)


# --- what the grids cost ------------------------------------------------------------------
def _phases(v: Float[Array, "c h w"]) -> Float[Array, "c 4 h2 w2"]:
    """Return the four places of the cells, in the order of the passes."""
    c, h, w = v.shape
    cells = v.reshape(c, h // 2, 2, w // 2, 2)
    return jnp.stack([cells[:, :, a, :, b] for a, b in PHASES], 1)


def _masks() -> Float[np.ndarray, "4 i"]:
    """Return which inputs each of the four passes may use."""
    ends = [seen_inputs(k) for k in range(len(PHASES))]
    return (np.arange(ends[-1]) < np.array(ends)[:, None]).astype(np.float32)


def _channels(v: Array, count: int) -> Array:
    """Return so many channels of a coarser grid, its last again and again where it has fewer."""
    return v if len(v) == count else v[np.minimum(np.arange(count), len(v) - 1)]


def _known(
    grid: Float[Array, "c h w"], above: Sequence[Float[Array, "_ _ _"]]
) -> tuple[Float[Array, "i n"], Float[Array, "4 n"]]:
    """Return the inputs of the entropy network for all cells of a grid, and their nodes.

    n counts the cells of the first channel, then those of the next. Pass k may use the inputs
    before ``_entropy.seen(k)``.
    """
    c = len(grid)
    places = _phases(grid)[:, :, 1:-1, 1:-1]  # of the margin, one cell is left on each side
    h, w = places.shape[2] - 2, places.shape[3] - 2
    nodes = places[:, :, 1:-1, 1:-1].reshape(c, 4, h * w)
    if len(above) > 1:
        inner = slice(MARGIN, -MARGIN)
        far = _channels(above[1][:, inner, inner], c)
        far = jnp.repeat(jnp.repeat(far, 2, 1), 2, 2)[:, :h, :w].reshape(1, -1)
    else:
        far = jnp.zeros((1, c * h * w))
    parts = [far]
    for d in range(1, max(CHANNELS)):  # the channels before at the same place, the last first
        before = jnp.concatenate([jnp.zeros((min(d, c), 4, h * w)), nodes[: max(c - d, 0)]])
        parts.append(before.transpose(1, 0, 2).reshape(4, -1))
    edge = slice(MARGIN - 1, 1 - MARGIN)
    planes = jnp.concatenate([_channels(above[0][:, edge, edge], c)[:, None], places[:, :3]], 1)
    near = patches(planes.reshape(PLANES * c, h + 2, w + 2))
    parts.append(near.reshape(9, c, PLANES, h * w).transpose(2, 0, 1, 3).reshape(9 * PLANES, -1))
    return jnp.concatenate(parts), nodes.transpose(1, 0, 2).reshape(4, -1)


def laplace_bits(off: Array, octave: Array) -> Array:
    """Return the bits of a node ``off`` its mean, of a Laplace distribution of 2**octave."""
    scale = jnp.exp2(jnp.clip(octave, LEAST_OCTAVE, 11))
    off = jnp.abs(off)
    beyond = jnp.exp(-jnp.maximum(0.5 - off, 0) / scale) + jnp.exp(-(off + 0.5) / scale)
    near = -jnp.log(jnp.maximum(1 - 0.5 * beyond, 1e-7))
    far = -jnp.maximum(off - 0.5, 0) / scale + jnp.log(-0.5 * jnp.expm1(-1 / scale))
    # no node costs more than 20 bits: what lies so far off is moved by what it paints
    nats = jnp.where(off < 0.5, near, jnp.minimum(-far, 20 * np.log(2)))
    return nats / np.log(2)


def bits(
    p: Params, grids: Sequence[Float[Array, "_ _ _"]], there: Sequence[Bool[Array, "_ _"]]
) -> Float[Array, " levels"]:
    """Return the bits of the nodes that are there, by level; grids have a margin, of zeros beyond.

    All grids but the last go through the entropy network at once.
    """
    first = 0
    known, nodes, counted, columns, ends = [], [], [], [], []
    for i, grid in enumerate(grids[:-1]):
        inputs, values = _known(grid, grids[i + 1 : i + 3])
        known.append(inputs)
        nodes.append(values)
        mask = _phases(there[i][None].astype(jnp.float32)).reshape(4, -1)
        counted.append(jnp.tile(mask, (1, len(grid))))
        columns += [mask.shape[1]] * len(grid)
        first += len(grid)
        ends.append(sum(columns))
    x = fence(jnp.concatenate(known, 1))
    # each grid's channel has biases of its own: weights of what is 1 there
    own = jnp.asarray(np.repeat(np.eye(first, dtype=np.float32), columns, axis=1))
    sizes = jnp.log2(1 + jnp.abs(x))
    seen = fence(jnp.concatenate([sizes, jnp.sign(x) * sizes, own]))
    # all passes in one product: four small ones with what each may see take longer
    masks = _masks()
    inner = jnp.concatenate(
        [*jnp.moveaxis(p["inner"] * masks[:, None, None], 1, 0), p["inner_bias"]], -1
    )
    scale = jnp.concatenate([p["scale"] * masks, jnp.zeros_like(masks), p["scale_bias"]], -1)
    sums = fence(jnp.concatenate([inner.reshape(-1, len(seen)), scale]) @ seen)
    hidden = fence(jax.nn.relu(sums[:-4])).reshape(4, -1, sums.shape[1])
    outer = jnp.stack([p["mean_outer"], p["scale_outer"]], 1)
    means, octaves = [], []
    for k in range(len(PHASES)):
        middle = fence(p["middle"][k] @ hidden[k]) + p["middle_bias"][k][:, None]
        found = fence(outer[k] @ fence(jax.nn.relu(middle)))
        means.append(found[0])
        octaves.append(found[1])
    linear = fence(
        jnp.concatenate([p["mean"] * masks, p["mean_bias"]], -1) @ jnp.concatenate([x, own])
    )
    mean = linear + jnp.stack(means)
    octave = sums[-4:] + jnp.stack(octaves)
    cost = laplace_bits(jnp.concatenate(nodes, 1) - mean, octave) * jnp.concatenate(counted, 1)
    by_level = [part.sum() for part in jnp.split(cost, ends[:-1], axis=1)]
    core = grids[-1][:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    top = laplace_bits(core - p["top_mean"][:, None, None], p["top_octave"][:, None, None])
    return jnp.stack([*by_level, jnp.sum(top * there[-1])])


# --- rounding, learnt through -----------------------------------------------------------------
def _soft_round(x: Array, t: Float[Array, ""] | float) -> Array:
    half = jnp.floor(x) + 0.5
    return half + jnp.tanh((x - half) / t) / (2 * jnp.tanh(0.5 / t))


def noisy(
    x: Array, key: PRNGKeyArray, t: Float[Array, ""] | float, a: Float[Array, ""] | float
) -> Array:
    """Return what stands in for the rounded x in training (Kim et al., C3, 2023).

    Args:
        x: Latents.
        key: Of the noise.
        t: Temperature of the soft rounding; towards 0 it is the rounding.
        a: Shape of the noise, of Kumaraswamy's distribution with its mode in the middle: 1 is
            uniform, 2 is peaked.
    """
    u = jax.random.uniform(key, x.shape, minval=1e-4, maxval=1 - 1e-4)
    b = (2.0**a * (a - 1) + 1) / a
    noise = (1 - (1 - u) ** (1 / b)) ** (1 / a) - 0.5
    z = _soft_round(x, t) + noise - 0.5
    half = jnp.floor(z) + 0.5
    inside = jnp.clip((z - half) * 2 * jnp.tanh(0.5 / t), -0.9999, 0.9999)
    return half + jnp.arctanh(inside) * t + 0.5


# --- windows ----------------------------------------------------------------------------------
def settled(
    window: Float[Array, "c n n"], top: Any, left: Any, size: tuple[Any, Any]
) -> tuple[Float[Array, "c n n"], Float[Array, "c n n"], Bool[Array, "m m"]]:
    """Return a grid's window as it is painted, as it is coded, and which nodes are there.

    Beyond the picture its last nodes go on for painting, and there are zeros for coding.

    Args:
        window: Nodes from ``top - MARGIN`` and ``left - MARGIN`` on, of a stored grid.
        top: The first row of nodes inside the margin; ``left`` the first column.
        left: See ``top``.
        size: Rows and columns of the whole grid.
    """
    places, there = [], []
    for length, first, all_of_them in zip(window.shape[1:], (top, left), size, strict=True):
        node = jnp.arange(length) + first - MARGIN
        nearest = jnp.clip(node, 0, all_of_them - 1) - first + MARGIN
        # a window that lies wholly beyond shows nothing; any of its nodes will do
        places.append(jnp.clip(nearest, 0, length - 1))
        there.append((node >= 0) & (node < all_of_them))
    shown = window[:, places[0]][:, :, places[1]]
    inside = there[0][:, None] & there[1]
    core = slice(MARGIN, -MARGIN)
    return shown, jnp.where(inside, window, 0.0), inside[core, core]


def window_cost(
    p: Params,
    windows: Sequence[Float[Array, "_ _ _"]],
    place: Int[Array, " 2"],
    size: Int[Array, " 2"],
    pixels: Float[Array, "3 s s"],
) -> tuple[Float[Array, ""], Float[Array, " levels"], Float[Array, ""]]:
    """Return squared errors (a mean over channels, summed over pixels), bits by level, and pixels.

    Args:
        p: The networks.
        windows: Of all grids, the finest first, with their margins.
        place: Row and column of the first pixel, in units of ``CELL``.
        size: Height and width of the picture.
        pixels: What is to be painted, in [0, 1]; beyond the picture anything.
    """
    side, finest = pixels.shape[1], LEVELS - len(windows)
    shown, coded, there = [], [], []
    for i, window in enumerate(windows, finest):
        top, left = (n * (CELL >> i) for n in place)
        nodes = (-(-size[0] // 2**i), -(-size[1] // 2**i))
        parts = settled(window, top, left, nodes)
        for found, part in zip((shown, coded, there), parts, strict=True):
            found.append(part)
    shown, coded = fence((shown, coded))
    first = [n * CELL for n in place]
    rows, columns = (jnp.arange(side) + n < length for n, length in zip(first, size, strict=True))
    inside = (rows[:, None] & columns).astype(jnp.float32)
    errors = jnp.sum(jnp.square(painted(p, shown) - pixels) * inside) / len(pixels)
    return errors, bits(p, coded, there), jnp.sum(inside)
