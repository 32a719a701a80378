"""Encodings: what a network is told about a point.

``ENCODINGS`` maps a name to a function of the picture's frame and the encoding's numbers
that returns an :class:`Encoding`. Every encoding answers for a list of points and for a
lattice given by its rows and columns; the lattice is the fast path, because sines,
cosines and splines of x and y come apart there.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._activations import cos, sin
from ._calls import Table, from_table
from ._coords import Window


class Encoding(NamedTuple):
    """Features of points: ``features`` of them, features first, points last.

    ``init(key)`` returns the learned arrays by name (none for a fixed encoding);
    ``points(params, ys, xs)`` with ``(n,)`` coordinates returns ``(features, n)``;
    ``lattice(params, ys, xs)`` with ``(h,)`` and ``(w,)`` returns ``(features, h, w)``.
    Leave ``lattice`` out and the points of the lattice are asked one by one.
    """

    features: int
    init: Callable[[PRNGKeyArray], dict[str, Array]]
    points: Callable[[dict[str, Array], Array, Array], Array]
    lattice: Callable[[dict[str, Array], Array, Array], Array] | None = None


def _fixed(key: PRNGKeyArray) -> dict[str, Array]:
    return {}


def _none(frame: Window) -> Encoding:
    """Return x and y themselves."""

    def points(params, ys, xs):
        return jnp.stack([xs, ys])

    def lattice(params, ys, xs):
        return jnp.stack(jnp.broadcast_arrays(xs[None, :], ys[:, None]))

    return Encoding(2, _fixed, points, lattice)


def _fourier(frame: Window, features: int = 256, sigma: float = 10.0, seed: int = 0) -> Encoding:
    """Return cosines and sines of random waves (Tancik et al., Fourier Features, 2020).

    ``sigma`` is the deviation of their frequencies, in cycles along the longer side. The
    waves are drawn again from ``seed`` wherever they are needed: they are no weights.
    """
    if not 2 <= features <= 2**16 or features % 2:
        msg = f"features must be an even number from 2 to 65536, got {features}"
        raise ValueError(msg)
    if not 0 < sigma <= 1e5 or seed < 0:  # beyond, float32 coordinates hold no more phase
        msg = f"sigma must be above 0 and at most 100,000, seed at least 0, got {sigma} and {seed}"
        raise ValueError(msg)
    waves = np.random.default_rng(seed).normal(size=(2, features // 2)) * sigma
    # the longer side spans 2 units of the coordinates
    bx, by = (np.pi * waves).astype(np.float32)

    def points(params, ys, xs):
        px, py = bx[:, None] * xs, by[:, None] * ys
        return waves_of(cos(px), sin(px), cos(py), sin(py))

    def lattice(params, ys, xs):
        px, py = bx[:, None] * xs, by[:, None] * ys
        cx, sx = cos(px)[:, None, :], sin(px)[:, None, :]
        cy, sy = cos(py)[:, :, None], sin(py)[:, :, None]
        return waves_of(cx, sx, cy, sy)

    def waves_of(cx, sx, cy, sy):
        # for points too: rounding the sum of two large phases would set the two ways apart
        return jnp.concatenate([cx * cy - sx * sy, sx * cy + cx * sy])

    return Encoding(features, _fixed, points, lattice)


def _octaves(frame: Window, octaves: int = 8) -> Encoding:
    """Return sines and cosines of x and y at pi, 2 pi, 4 pi ... (the positional encoding)."""
    if not 1 <= octaves <= 12:  # to 10,000 radians, as far as the sine is exact
        msg = f"octaves must be from 1 to 12, got {octaves}"
        raise ValueError(msg)
    turns = (np.pi * 2.0 ** np.arange(octaves)).astype(np.float32)

    def axis(v):
        phase = turns[:, None] * v
        return jnp.concatenate([v[None], sin(phase), cos(phase)])

    def points(params, ys, xs):
        return jnp.concatenate([axis(xs), axis(ys)])

    def lattice(params, ys, xs):
        fx, fy = axis(xs)[:, None, :], axis(ys)[:, :, None]
        shape = (fx.shape[0], ys.shape[0], xs.shape[0])
        return jnp.concatenate([jnp.broadcast_to(fx, shape), jnp.broadcast_to(fy, shape)])

    return Encoding(2 * (1 + 2 * octaves), _fixed, points, lattice)


# --- multi-resolution grids -----------------------------------------------------------
def _spline(order: int, d: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Return the B-spline of ``order`` 1 (linear) or 2 (quadratic) at distance ``d``."""
    d = jnp.abs(d)
    if order == 1:
        return jnp.maximum(0.0, 1.0 - d)
    return jnp.where(d < 0.5, 0.75 - d * d, 0.5 * jnp.square(jnp.maximum(0.0, 1.5 - d)))


class _Axis(NamedTuple):
    """One axis of one level: ``cells`` intervals between ``low`` and ``high``."""

    cells: int
    low: float
    high: float
    order: int

    @property
    def nodes(self) -> int:
        """Nodes that a point inside can touch: the linear spline's ends, one more for 2."""
        return self.cells + self.order

    def position(self, v: Float[Array, " n"]) -> Float[Array, " n"]:
        """Map coordinates to units of nodes, held inside so that no node is missing."""
        t = (v - self.low) * (self.cells / (self.high - self.low))
        return jnp.clip(t, 0.0, self.cells) + (0.5 if self.order == 2 else 0.0)

    def matrix(self, v: Float[Array, " n"]) -> Float[Array, "n nodes"]:
        """Return the weights of all nodes for each coordinate, mostly zeros."""
        return _spline(self.order, self.position(v)[:, None] - jnp.arange(self.nodes))

    def taps(self, v: Float[Array, " n"]) -> tuple[Int[Array, "t n"], Float[Array, "t n"]]:
        """Return the order + 1 nodes that each coordinate touches, and their weights."""
        t = self.position(v)
        first = jnp.floor(t) if self.order == 1 else jnp.round(t) - 1
        first = jnp.clip(first, 0, self.nodes - self.order - 1)
        nodes = first + jnp.arange(self.order + 1)[:, None]
        return nodes.astype(jnp.int32), _spline(self.order, t - nodes)


def _hash(iy: Int[Array, "..."], ix: Int[Array, "..."], size: int) -> Int[Array, "..."]:
    """Return the slot of a node in a table of ``size``, a power of two (Müller et al. 2022)."""
    wrapped = ix.astype(jnp.uint32) ^ (iy.astype(jnp.uint32) * jnp.uint32(2654435761))
    return (wrapped & jnp.uint32(size - 1)).astype(jnp.int32)


def _dense_lattice(table: Array, rows: _Axis, columns: _Axis, ys: Array, xs: Array) -> Array:
    """Interpolate ``(features, rows.nodes, columns.nodes)`` on a lattice by two products.

    Neither gathers nor scatters, and neither does the transpose that is the gradient.
    """
    by_row = jnp.einsum("hi,fij->fhj", rows.matrix(ys), table)
    return jnp.einsum("fhj,wj->fhw", by_row, columns.matrix(xs))


def _gathered(table: Array, rows: _Axis, columns: _Axis, hashed: bool, ys: Array, xs: Array):
    """Interpolate at points, or on a lattice when ``ys`` and ``xs`` are shaped to broadcast."""
    (iy, wy), (ix, wx) = (
        tuple(part.reshape(-1, *v.shape) for part in axis.taps(v.reshape(-1)))
        for axis, v in ((rows, ys), (columns, xs))
    )
    flat = table.reshape(table.shape[0], -1)
    total = jnp.zeros(())
    for a in range(len(iy)):
        for b in range(len(ix)):
            node = _hash(iy[a], ix[b], flat.shape[1]) if hashed else iy[a] * columns.nodes + ix[b]
            total = total + wy[a] * wx[b] * flat[:, node]
    return total


def _grid(
    frame: Window,
    levels: tuple[int, ...] = (16, 32, 64, 128, 256),
    features: int | tuple[int, ...] = 2,
    order: int = 2,
    table: int = 2**26,
) -> Encoding:
    """Return learned features on grids of several resolutions, interpolated by B-splines.

    ``levels`` are the cells along the longer side, ``features`` how many each level holds,
    ``order`` 1 (linear) or 2 (quadratic: smoother between the pixels). A level of more
    nodes than ``table`` shares its entries through a hash into ``table`` slots, a power of
    two (Müller et al., Instant Neural Graphics Primitives, 2022).
    """
    counts = (features,) * len(levels) if isinstance(features, int) else tuple(features)
    if not (
        1 <= len(levels) == len(counts) <= 32
        and all(isinstance(n, int) and 1 <= n <= 2**20 for n in levels)
        and all(isinstance(n, int) and 1 <= n <= 2**16 for n in counts)
    ):
        msg = (
            "grid needs 1 to 32 levels of 1 to 2**20 cells, each with 1 to 65536 features, got "
            f"levels={levels} and features={features}"
        )
        raise ValueError(msg)
    if order not in (1, 2) or not 1 <= table <= 2**30 or table & (table - 1):
        msg = (
            "grid needs order 1 or 2 and a table of a power of two, at most 2**30, got "
            f"order={order} and table={table}"
        )
        raise ValueError(msg)
    sides = [high - low for low, high in (frame.y, frame.x)]
    rows_of, columns_of = (
        [_Axis(max(1, round(level * side / max(sides))), low, high, order) for level in levels]
        for side, (low, high) in zip(sides, (frame.y, frame.x), strict=True)
    )
    axes = list(zip(rows_of, columns_of, strict=True))
    hashed = [rows.nodes * columns.nodes > table for rows, columns in axes]

    def init(key):
        shapes = [
            (f, table) if h else (f, rows.nodes, columns.nodes)
            for f, h, (rows, columns) in zip(counts, hashed, axes, strict=True)
        ]
        # small enough to be no texture, large enough for the layers behind to start moving;
        # drawn in one piece, which compiles in a fraction of the time
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        drawn = jax.random.uniform(key, (int(ends[-1]),), minval=-1e-2, maxval=1e-2)
        pieces = jnp.split(drawn, ends[:-1])
        return {
            f"level{i}": p.reshape(s) for i, (p, s) in enumerate(zip(pieces, shapes, strict=True))
        }

    def points(params, ys, xs):
        return jnp.concatenate(
            [
                _gathered(params[f"level{i}"], *axes[i], hashed[i], ys, xs)
                for i in range(len(levels))
            ]
        )

    def lattice(params, ys, xs):
        return jnp.concatenate(
            [
                _gathered(params[f"level{i}"], *axes[i], True, ys[:, None], xs[None, :])
                if hashed[i]
                else _dense_lattice(params[f"level{i}"], *axes[i], ys, xs)
                for i in range(len(levels))
            ]
        )

    return Encoding(sum(counts), init, points, lattice)


#: Every encoding by name; a user's own is one function more.
ENCODINGS: Table[Encoding] = Table(
    {
        "none": _none,
        "fourier": _fourier,
        "octaves": _octaves,
        "grid": _grid,
    }
)


def encoding(text: str, frame: Window) -> Encoding:
    """Return the encoding that ``text`` calls, such as ``"fourier(sigma=10)"``, on a frame.

    Raises:
        ValueError: The name or one of its numbers is unknown or out of range.

    >>> encoding("octaves(octaves=3)", Window((-1, 1), (-1, 1))).features
    14
    """
    return from_table(ENCODINGS, text, "encoding", frame)
