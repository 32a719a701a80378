"""The steps that fit latents, by Adam, and the networks about them, by SOAP: gradients of windows.

Grids, their moments and the pixels stay outside of the compiled program, which is given windows:
so one program, kept from one process to the next, serves pictures of every size. The gradients of
windows, margins and all, add up to that of the picture.
"""

import math
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._cores import cores
from . import _soap
from ._grids import Grids
from ._training import Params, fence, noisy, window_cost

#: Windows in one call, one after another, and those that the networks see between their steps.
#: Calls run side by side: on so small windows that keeps cores busier than XLA alone does.
AT_ONCE, ROUND = 4, 8

_B1, _B2 = 0.9, 0.99  # of Adam on latents: (1 - b1)**2 == 1 - b2, so that moments may start at 0
_CLIP = 0.1  # norm of a step's gradient of the networks (C3, Kim et al. 2023)
_GROWTH = 1.4  # of the latents' rate from level to level
_BLOCK = 2**15  # latents moved at once: they stay in a cache


class Pace(NamedTuple):
    """How a step goes.

    ``price``: squared error, a mean over channels, that a bit may cost (lambda). ``rate``: of
    latents, in their rounding steps, at level 0. ``nets``: of the networks, in parts of what their
    weights are. ``warm``: temperature of the soft rounding. ``peaked``: shape of the noise.
    """

    price: float
    rate: float
    nets: float
    warm: float
    peaked: float


def pace(done: float, price: float, *, nets: float = 0.03, rate: float = 0.08) -> Pace:
    """Return the pace when so much of a fit is done, from 0 to 1: rates fall as half a cosine.

    >>> pace(0.0, 1e-3).peaked, pace(1.0, 1e-3).peaked
    (3.0, 1.5)
    """
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    rate *= 0.02 + 0.98 * cosine
    return Pace(price, rate, nets * cosine, 0.35 - 0.25 * done, 3.0 - 1.5 * done)


class Nets(NamedTuple):
    """The networks of a fit: what it changes, how far, and what stays."""

    tuned: Params
    fixed: Params
    start: list[np.ndarray] | None  # what they were, from which each difference costs bits
    factors: Params  # of the rate, for each of the tensors that are tuned
    moments: _soap.State

    @property
    def params(self) -> Params:
        """All tensors."""
        return {**self.fixed, **self.tuned}


def nets(params: Params, tuned: Collection[str], *, free: bool = False) -> Nets:
    """Return networks before their first step, of which the named tensors will change.

    A tensor moves in proportion to its root mean square: the weights of latents are as small as
    the rounding steps that they stand for. What they learn costs bits, unless it is ``free``.
    """
    ours = {name: params[name] for name in params if name in tuned}
    fixed = {name: params[name] for name in params if name not in tuned}

    def size(v: Array) -> np.float32:
        return np.float32(np.sqrt(np.mean(np.square(v))))

    factors = {name: jax.tree.map(size, value) for name, value in ours.items()}
    for name in factors.keys() - {"own"}:  # what is 0 now must move too
        factors[name] = jax.tree.map(lambda v: np.maximum(v, 1e-2), factors[name])
    leaves = [np.asarray(v) for v in jax.tree.leaves(ours)]
    return Nets(ours, fixed, None if free else leaves, factors, _soap.init(leaves))


class Visit(NamedTuple):
    """Windows of a picture, with their places first; nodes with their margins."""

    values: list[Float[np.ndarray, "_ _ _ _"]]
    place: Int[np.ndarray, "k 2"]
    pixels: Float[np.ndarray, "k 3 s s"]


@jax.jit
def _slopes(
    tuned: Params,
    fixed: Params,
    visit: Visit,
    size: Int[Array, " 2"],
    count: Int[Array, ""],
    now: Pace,
    key: PRNGKeyArray,
    first: Int[Array, ""],
) -> tuple[Params, list[Float[Array, "_ _ _ _"]]]:
    """Return the gradients of the cost: of the networks, summed, and of each window's nodes.

    ``count`` windows are looked at. The noise of each is that of its number, from ``first`` on.
    """

    def body(k: Array, carry: tuple[Params, list[Array]]) -> tuple[Params, list[Array]]:
        windows = [v[k] for v in visit.values]
        own_key = jax.random.fold_in(key, first + k)

        def cost(tuned: Params, windows: list[Array]) -> Array:
            # one loop over the nodes of all grids: it compiles, and runs, sooner than seven
            flat = jnp.concatenate([w.ravel() for w in windows])
            flat = fence(noisy(flat, own_key, now.warm, now.peaked))
            parts = jnp.split(flat, np.cumsum([w.size for w in windows])[:-1])
            rounded = [v.reshape(w.shape) for v, w in zip(parts, windows, strict=True)]
            errors, bits = window_cost(
                {**fixed, **tuned}, rounded, visit.place[k], size, visit.pixels[k]
            )[:2]
            return errors + now.price * jnp.sum(bits)

        own, slopes = jax.grad(cost, argnums=(0, 1))(tuned, windows)
        summed = jax.tree.map(jnp.add, carry[0], own)
        return summed, [v.at[k].set(g) for v, g in zip(carry[1], slopes, strict=True)]

    nothing = jax.tree.map(jnp.zeros_like, tuned), [jnp.zeros_like(v) for v in visit.values]
    return jax.lax.fori_loop(0, count, body, nothing)


def _moved(state: Nets, own: Sequence[Params], pixels: int, now: Pace, bit: float) -> Nets:
    """Return networks after a step along the gradients of windows of so many pixels together.

    ``bit`` is what a bit of a difference costs, as a mean over the picture.
    """
    parts = zip(*(jax.tree.leaves(part) for part in own), strict=True)
    means = [np.sum(each, 0, dtype=np.float64) / pixels for each in parts]
    norm = math.sqrt(sum(float(np.vdot(v, v)) for v in means))
    tuned, factors = jax.tree.leaves(state.tuned), jax.tree.leaves(state.factors)
    slopes = [np.asarray(v * (_CLIP / max(norm, _CLIP))) for v in means]
    if state.start is not None:
        for slope, v, start, factor in zip(slopes, tuned, state.start, factors, strict=True):
            slope += bit * _slope_of_bits(np.asarray(v) - start, float(1e-3 * factor))
    moments, moves = _soap.moves(state.moments, slopes)
    moved = [
        np.asarray(v) - np.float32(now.nets) * factor * move
        for v, factor, move in zip(tuned, factors, moves, strict=True)
    ]
    moved = jax.tree.unflatten(jax.tree.structure(state.tuned), moved)
    return state._replace(tuned=moved, moments=moments)


def _slope_of_bits(off: Float[np.ndarray, "..."], least: float) -> Float[np.ndarray, "..."]:
    """Return the slope of the bits that a tensor's differences take, of a Laplace distribution."""
    scale = max(float(np.abs(off).mean()), least)
    return off / (np.abs(off) + 0.1 * scale) / (scale * math.log(2))


def compiled(state: Nets, grids: Grids) -> None:
    """Compile the programs of a fit side by side, before passes ask for them from many threads."""
    place, size = grids.places()[0], np.array(grids.size)
    windows, pixels = grids.cut(grids.values, place), grids.pixels(place)
    visit = Visit(
        [np.stack([w] * AT_ONCE) for w in windows],
        np.stack([place] * AT_ONCE),
        np.stack([pixels] * AT_ONCE),
    )
    now, key = pace(0.0, 1.0), jax.random.key(0)
    with ThreadPoolExecutor(2) as pool:
        done = [
            pool.submit(_slopes, state.tuned, state.fixed, visit, size, 0, now, key, 0),
            pool.submit(_cost, state.params, windows, place, size, pixels),
        ]
        for one in done:
            one.result()


def make_pass(
    state: Nets,
    grids: Grids,
    now: Pace,
    key: PRNGKeyArray,
    rng: np.random.Generator,
) -> Nets:
    """Look at all windows of a picture: a step of its latents, and one of the networks by round.

    Args:
        state: The networks.
        grids: The latents; they are changed in place.
        now: The pace of these steps.
        key: Of their noise.
        rng: Of the order of the windows.

    Returns:
        The networks. Latents see the gradient of the whole picture, networks that of a round.
    """
    places = rng.permutation(grids.places())
    for slopes in grids.slopes:
        slopes.fill(0)

    def seen(first: int, some: Int[np.ndarray, "n 2"]) -> tuple[Params, list[np.ndarray]]:
        wanted = np.concatenate([some, np.repeat(some[:1], AT_ONCE - len(some), axis=0)])
        windows = [grids.cut(grids.values, place) for place in wanted]
        visit = Visit(
            [np.stack(parts) for parts in zip(*windows, strict=True)],
            wanted,
            np.stack([grids.pixels(place) for place in wanted]),
        )
        size = np.array(grids.size)
        found = _slopes(state.tuned, state.fixed, visit, size, len(some), now, key, first)
        return found[0], [np.asarray(g)[: len(some)] for g in found[1]]

    with ThreadPoolExecutor(cores()) as pool:
        for begin in range(0, len(places), ROUND):
            rounds = places[begin : begin + ROUND]
            each = min(AT_ONCE, -(-len(rounds) // 2))  # two calls, at least, side by side
            firsts = range(begin, begin + len(rounds), each)
            found = list(pool.map(seen, firsts, (places[n : n + each] for n in firsts)))
            slopes = (s for _, parts in found for s in zip(*parts, strict=True))
            for place, parts in zip(rounds, slopes, strict=True):
                for held, more in zip(grids.cut(grids.slopes, place), parts, strict=True):
                    held += more
            if state.tuned and now.nets:
                pixels = sum(grids.shown(place) for place in rounds)
                bit = now.price / (grids.size[0] * grids.size[1])
                state = _moved(state, [own for own, _ in found], pixels, now, bit)
    _move(grids, now)
    return state


def _move(grids: Grids, now: Pace) -> None:
    """Make a step of Adam on all latents."""
    parts = zip(grids.values, grids.slopes, grids.first, grids.second, strict=True)
    for level, whole in enumerate(parts, grids.finest):
        rate = np.float32(now.rate * _GROWTH**level)
        height = whole[0].shape[1]
        rows = max(1, _BLOCK // whole[0][:, 0].size)
        for top in range(0, height, rows):
            x, g, m, v = (part[:, top : top + rows] for part in whole)
            m += np.float32(1 - _B1) * (g - m)
            v += np.float32(1 - _B2) * (g * g - v)
            x -= rate * m / (np.sqrt(v) + np.float32(1e-12))


@jax.jit
def _cost(
    params: Params,
    windows: list[Float[Array, "_ _ _"]],
    place: Int[Array, " 2"],
    size: Int[Array, " 2"],
    pixels: Float[Array, "3 s s"],
) -> tuple[Array, Array, Array]:
    rounded = [jnp.round(w) for w in windows]
    return window_cost(params, rounded, place, size, pixels)


def cost(
    params: Params, grids: Grids, places: Int[np.ndarray, "n 2"] | None = None
) -> tuple[float, Float[np.ndarray, " levels"]]:
    """Return the mean squared error and, by level, the bits a pixel of the rounded latents.

    Args:
        params: The networks.
        grids: The latents.
        places: Windows to look at; when missing, windows that cover the picture.
    """

    def of(place: Int[np.ndarray, " 2"]) -> list[np.ndarray]:
        windows = grids.cut(grids.values, place)
        found = _cost(params, windows, place, np.array(grids.size), grids.pixels(place))
        return [np.asarray(v, np.float64) for v in found]

    with ThreadPoolExecutor(cores()) as pool:
        found = list(pool.map(of, grids.places() if places is None else places))
    errors, bits, shown = (np.sum(part, 0) for part in zip(*found, strict=True))
    return float(errors / shown), bits / shown
