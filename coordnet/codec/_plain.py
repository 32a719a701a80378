"""A picture to plain weights: a network of sines, as large as its bytes allow.

The idea of COIN (Dupont et al. 2021), with weights that are learnt as they will be rounded, and
whose bits are a part of the cost.
"""

import math
import time
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from .._activations import sin
from .._coords import lattice
from .._nets import CoordNet, Spec
from .._presets import first_omega
from .._progress import Bar
from ._mlp import Form, Plain, fits, step_of
from ._rate import psnr_from
from ._rounded import finest, tensors_of, worth_of

Tensors = list[Float[Array, "..."]]

#: Points of a step.
POINTS = 8192
_STEPS = 50  # in one call
# Of Adam at first, for so many units; it falls with the cube root of their number, and as half a
# cosine. Twice as high, fits break; and those of 68 units at 1.5e-3, after 1000 of many steps.
_RATE, _RATE_UNITS = 1.5e-3, 15
_WARMUP = 200  # steps
_BROKEN = 2.0  # times the least error: a fit that has come to that does not come back
# ... nor one that stays above so many times the least for so many calls (of 97 units, at 8e-4)
_WORSE, _LONG = 1.1, 5
_BITS = 6.0  # that a weight takes, when the network is planned
_ROUNDED = 0.5  # of the steps: from then on weights are rounded as they will be
_AGAIN = 0.75  # of the steps: the rounding is chosen once more
_AIM = 0.985  # of the size, when it is chosen: later the weights still move
# COIN's published curve gains 2 dB where its bytes double, so that near a rate of R bits a bit
# more lowers the error D by 0.66 D / R: what a bit may cost
_SLOPE = 0.66
_DEEP = 2000  # weights: fewer stand in three layers, more in five
# omega of the first layer of so few weights, which cannot tame more waves: Lenna in 500 bytes has
# 22.2 dB with 20 and 19.7 with 60, in 2000 25.9 with 31 and 25.1 with 60
_FIRST, _FEW = 20.0, 700


def planned(size: tuple[int, int], channels: int, most: int) -> Form:
    """Return a network of sines whose weights will take so many bytes."""
    weights = 8 * most / _BITS
    depth = 5 if weights > _DEEP else 3
    # (depth - 1) (w**2 + w) + 3 w + channels (w + 1) weights
    a, b = depth - 1, depth + 2 + channels
    width = int((-b + math.sqrt(b * b + 4 * a * max(weights - channels, 0))) / (2 * a))
    first = min(first_omega(*size), float(round(_FIRST * (weights / _FEW) ** (1 / 3))))
    form = Form("sine", "linear", "centers", (first, 30.0), depth, max(width, 1), channels)
    while form.width > 1 and not fits(form, size[0] * size[1], most):
        form = form._replace(width=form.width - 1)
    return form


def _values(
    form: Form, tensors: Tensors, ys: Float[Array, " n"], xs: Float[Array, " n"]
) -> Float[Array, "c n"]:
    x = jnp.stack([xs, ys])
    for i, (weight, bias) in enumerate(zip(tensors[::2], tensors[1::2], strict=True)):
        x = weight @ x + bias[:, None]
        if i < form.depth:
            x = sin(form.omegas[min(i, 1)] * x)
    return x


@partial(jax.jit, static_argnames=("form", "size"))
def _error(
    form: Form, tensors: Tensors, size: tuple[int, int], samples: UInt8[Array, "n c"],
    which: Int[Array, " k"],
) -> Float[Array, ""]:  # fmt: skip
    """Return the mean squared error at some pixels, in [0, 1]."""
    ys, xs = lattice(size)
    y, x = jnp.asarray(ys)[which // size[1]], jnp.asarray(xs)[which % size[1]]
    wanted = samples[which].T / 255
    return jnp.mean(jnp.square(_values(form, tensors, y, x) - wanted))


class _Rounding(NamedTuple):
    """How weights are rounded while they learn: steps (0: not at all), and a bit's price."""

    steps: list[float]
    price: float


@partial(jax.jit, static_argnames=("form", "size"), donate_argnums=(2, 3))
def _learn(
    form: Form, size: tuple[int, int], tensors: Tensors, moments: Any,
    samples: UInt8[Array, "n c"], rounding: _Rounding, at: Int[Array, ""],
    steps: Int[Array, ""], pace: Float[Array, ""], key: PRNGKeyArray,
) -> tuple[Tensors, Any, Float[Array, ""]]:  # fmt: skip
    """Make some steps of Adam; return their mean squared error too."""

    def cost(tensors: Tensors, which: Array) -> tuple[Array, Array]:
        used, bits = [], 0.0
        for w, s in zip(tensors, rounding.steps, strict=True):
            safe = jnp.maximum(s, 1e-12)
            whole = jnp.where(s > 0, jnp.round(w / safe) * safe, w)
            used.append(w + jax.lax.stop_gradient(whole - w))
            # of a Laplace distribution about 0: 2 e times its mean distance, in steps
            bits += w.size * jnp.log2(2 * math.e * jnp.mean(jnp.abs(w)) / safe + 1)
        error = _error(form, used, size, samples, which)
        return error + rounding.price * bits, error

    def body(k: Array, carry: Any) -> Any:
        tensors, moments, total = carry
        which = jax.random.randint(jax.random.fold_in(key, at + k), (POINTS,), 0, len(samples))
        slopes, error = jax.grad(cost, has_aux=True)(tensors, which)
        moves, moments = _rule().update(slopes, moments)
        done = (at + k) / steps
        rate = pace * _RATE * min(1.0, (_RATE_UNITS / form.width) ** (1 / 3))
        rate *= jnp.minimum((at + k) / _WARMUP, 1) * 0.5 * (1 + jnp.cos(jnp.pi * done))
        moved = jax.tree.map(lambda w, m: w - rate * m, tensors, moves)
        return moved, moments, total + error

    tensors, moments, total = jax.lax.fori_loop(0, _STEPS, body, (tensors, moments, jnp.zeros(())))
    return tensors, moments, total / _STEPS


def _rule() -> optax.GradientTransformation:
    return optax.scale_by_adam(b2=0.99)


def fitted(
    samples: UInt8[np.ndarray, "h w c"], form: Form, most: int, steps: int, seed: int, bar: Bar
) -> Plain | None:
    """Fit a network of sines to a picture, in so many bytes; None: too few for any.

    Args:
        samples: The picture.
        form: What :func:`planned` planned.
        most: Bytes of the chunk.
        steps: Of ``POINTS`` random pixels each.
        seed: Of the first weights and of the pixels.
        bar: Told of the steps.
    """
    height, width, channels = samples.shape
    size = height, width
    first, other = form.omegas
    spec = Spec(
        width=form.width, depth=form.depth, channels=channels, size=size,
        activation=f"sine(omega={other},first={first})",
    )  # fmt: skip
    tensors = [jnp.asarray(v, jnp.float32) for v in tensors_of(CoordNet(spec, seed=seed))]
    flat = jnp.asarray(samples.reshape(-1, channels))
    moments, key = _rule().init(tensors), jax.random.key(seed)
    few = np.random.default_rng(seed).integers(len(flat), size=4 * POINTS)
    rounding = _Rounding([0.0] * len(tensors), 0.0)
    found, at, rounds, begun = None, 0, [_ROUNDED, _AGAIN], time.perf_counter()
    pace, least, kept, worse = 1.0, math.inf, [jnp.array(v) for v in tensors], 0
    while at < steps:
        if rounds and at >= rounds[0] * steps:
            rounds.pop(0)
            now = [np.asarray(v, np.float64) for v in tensors]
            worth = worth_of(now, lambda some: float(_error(form, some, size, flat, few)))
            found = finest(form, now, worth, _AIM * most)
            if found is None:  # so few bytes that what is learnt tells nothing
                return finest(form, now, worth, most)
            price = _SLOPE * float(_error(form, tensors, size, flat, few)) / (8 * most)
            rounding = _Rounding([step_of(index) for index, _ in found.tensors], price)
            least, worse = math.inf, 0
        tensors, moments, error = _learn(
            form, size, tensors, moments, flat, rounding, at, steps, pace, key
        )
        at += _STEPS
        bar.tick(min(at, steps), time.perf_counter() - begun)
        bar.look(psnr_from(float(error)))
        worse = worse + 1 if float(error) > _WORSE * least else 0
        if worse == _LONG or not float(error) < _BROKEN * least:
            # back to where it was whole, and slower
            tensors, pace, worse = [jnp.array(v) for v in kept], pace / 2, 0
            moments = _rule().init(tensors)
        elif float(error) < least:
            least, kept = float(error), [jnp.array(v) for v in tensors]
    now = [np.asarray(v, np.float64) for v in tensors]
    # the steps that they learnt with, if they fit; else a little more or less
    trained = [step**-2.0 for step in rounding.steps]
    return finest(form, now, trained, most)
