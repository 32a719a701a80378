"""The steps that fit latents, and the networks about them: Adam on gradients of windows.

Grids, their moments and the pixels stay outside of the compiled program, which is given windows:
so one program, kept from one process to the next, serves pictures of every size. The gradients of
windows, margins and all, add up to that of the picture.
"""

import math
import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._grids import Grids
from ._pyramid import LEVELS
from ._training import Params, noisy, window_cost

#: Windows in one call, one after another, and those that the networks see between their steps.
#: Calls run side by side: on so small windows that keeps cores busier than XLA alone does.
AT_ONCE, ROUND = 2, 8

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


def pace(done: float, price: float, *, nets: float = 0.01) -> Pace:
    """Return the pace when so much of a fit is done, from 0 to 1: rates fall as half a cosine.

    >>> pace(0.0, 1e-3).peaked, pace(1.0, 1e-3).peaked
    (3.0, 1.5)
    """
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    rate = 0.08 * (0.02 + 0.98 * cosine)
    return Pace(price, rate, nets * cosine, 0.35 - 0.25 * done, 3.0 - 1.5 * done)


class Nets(NamedTuple):
    """The networks of a fit: what it changes, how far, and what stays."""

    tuned: Params
    fixed: Params
    factors: Params  # of the rate, for each of the tensors that are tuned
    moments: Any  # of the optimizer

    @property
    def params(self) -> Params:
        """All tensors."""
        return {**self.fixed, **self.tuned}


def _optimizer() -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(_CLIP), optax.scale_by_adam())


def nets(params: Params, tuned: Collection[str]) -> Nets:
    """Return networks before their first step, of which the named tensors will change.

    A tensor moves in proportion to its root mean square: the weights of latents are as small as
    the rounding steps that they stand for.
    """
    ours = {name: params[name] for name in params if name in tuned}
    fixed = {name: params[name] for name in params if name not in tuned}

    def size(v: Array) -> np.float32:
        return np.float32(np.sqrt(np.mean(np.square(v))))

    factors = {name: jax.tree.map(size, value) for name, value in ours.items()}
    for name in factors.keys() - {"own"}:  # what is 0 now must move too
        factors[name] = jax.tree.map(lambda v: np.maximum(v, 1e-2), factors[name])
    return Nets(ours, fixed, factors, _optimizer().init(ours))


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
) -> tuple[Params, list[Float[Array, "_ _ _ _"]]]:
    """Return the gradients of the cost: of the networks, summed, and of each window's nodes."""

    def body(k: Array, carry: tuple[Params, list[Array]]) -> tuple[Params, list[Array]]:
        windows = [v[k] for v in visit.values]
        keys = jax.random.split(jax.random.fold_in(key, k), len(windows))

        def cost(tuned: Params, windows: list[Array]) -> Array:
            noise = zip(windows, keys, strict=True)
            rounded = [noisy(w, one, now.warm, now.peaked) for w, one in noise]
            errors, bits = window_cost(
                {**fixed, **tuned}, rounded, visit.place[k], size, visit.pixels[k]
            )[:2]
            return errors + now.price * jnp.sum(bits)

        own, slopes = jax.grad(cost, argnums=(0, 1))(tuned, windows)
        summed = jax.tree.map(jnp.add, carry[0], own)
        return summed, [v.at[k].set(g) for v, g in zip(carry[1], slopes, strict=True)]

    nothing = jax.tree.map(jnp.zeros_like, tuned), [jnp.zeros_like(v) for v in visit.values]
    return jax.lax.fori_loop(0, count, body, nothing)


@jax.jit
def _moved(state: Nets, own: Sequence[Params], pixels: Array, rate: Array) -> Nets:
    """Return networks after a step along the gradients of windows of so many pixels together."""
    mean = jax.tree.map(lambda *parts: sum(parts) / pixels, *own)
    moves, moments = _optimizer().update(mean, state.moments)
    moved = jax.tree.map(lambda p, m, f: p - rate * f * m, state.tuned, moves, state.factors)
    return state._replace(tuned=moved, moments=moments)


def make_pass(
    state: Nets,
    grids: Grids,
    now: Pace,
    key: PRNGKeyArray,
    rng: np.random.Generator,
    *,
    new: bool = False,
) -> Nets:
    """Look at all windows of a picture: a step of its latents, and one of the networks by round.

    Args:
        state: The networks.
        grids: The latents; they are changed in place.
        now: The pace of these steps.
        key: Of their noise.
        rng: Of the order of the windows.
        new: Look at one window after another: side by side, the first pass of a fit would
            compile the same program several times.

    Returns:
        The networks. Latents see the gradient of the whole picture, networks that of a round.
    """
    places = rng.permutation(grids.places())
    for slopes in grids.slopes:
        slopes.fill(0)

    def seen(first: int) -> tuple[Params, list[np.ndarray]]:
        some = places[first : first + AT_ONCE]
        wanted = np.concatenate([some, np.repeat(some[:1], AT_ONCE - len(some), axis=0)])
        windows = [grids.cut(grids.values, place) for place in wanted]
        visit = Visit(
            [np.stack(parts) for parts in zip(*windows, strict=True)],
            wanted,
            np.stack([grids.pixels(place) for place in wanted]),
        )
        noise = jax.random.fold_in(key, first)
        found = _slopes(
            state.tuned, state.fixed, visit, np.array(grids.size), len(some), now, noise
        )
        return found[0], [np.asarray(g) for g in found[1]]

    with ThreadPoolExecutor(_cores()) as pool:
        for begin in range(0, len(places), ROUND):
            rounds = places[begin : begin + ROUND]
            firsts = range(begin, begin + len(rounds), AT_ONCE)
            found = list((map if new else pool.map)(seen, firsts))
            slopes = (s for _, parts in found for s in zip(*parts, strict=True))
            for place, parts in zip(rounds, slopes, strict=False):  # the last call may have unused
                for held, more in zip(grids.cut(grids.slopes, place), parts, strict=True):
                    held += more
            if state.tuned:
                pixels = sum(grids.shown(place) for place in rounds)
                state = _moved(state, [own for own, _ in found], pixels, now.nets)
    _move(grids, now)
    return state


def _cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    errors, bits, shown = 0.0, np.zeros(LEVELS - grids.finest), 0.0
    for place in grids.places() if places is None else places:
        windows = grids.cut(grids.values, place)
        found = _cost(params, windows, place, np.array(grids.size), grids.pixels(place))
        errors += float(found[0])
        bits += np.asarray(found[1])
        shown += float(found[2])
    return errors / shown, bits / shown
