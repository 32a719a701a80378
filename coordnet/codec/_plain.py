"""A picture, or a network that was fitted before, to plain weights: rounded to what they are worth.

The idea of COIN (Dupont et al. 2021), with weights that are learnt as they will be rounded, and
whose bits are a part of the cost.
"""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from .._activations import sin
from .._calls import parse_call
from .._coords import lattice
from .._nets import CoordNet, Spec
from .._presets import first_omega
from .._progress import Bar
from ._laplace import LIMIT
from ._mlp import (
    ACTIVATIONS,
    LEAST_STEP,
    STEP_UNIT,
    Form,
    Painter,
    Plain,
    fits,
    most_weights,
    nothing,
    packed,
    painter,
    step_of,
)
from ._rate import UnreachableError, psnr_from

Tensors = list[Float[Array, "..."]]

#: Points of a step.
POINTS = 8192
_STEPS = 50  # in one call
_RATE = 1.5e-3  # of Adam at first; it falls as half a cosine. With 3e-3 fits break
_WARMUP = 200  # steps
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


def form_of(net: CoordNet) -> Form:
    """Return what a network is, as a file says it.

    Raises:
        ValueError: A file has no words for its encoding or activation, or it is too large.
    """
    spec = net.spec
    name, options = parse_call(spec.activation)
    if spec.encoding != "none" or name not in ACTIVATIONS:
        msg = (
            f"`image` is a network of encoding {spec.encoding!r} and activation "
            f"{spec.activation!r}; a file keeps encoding 'none' with {', '.join(ACTIVATIONS)}"
        )
        raise ValueError(msg)
    if spec.size is None:
        msg = "`image` is a network that has no size: fit it to a picture first"
        raise ValueError(msg)
    omegas = (0.0, 0.0)
    if name == "sine":
        omegas = options.get("first", 30.0), options.get("omega", 30.0)
    form = Form(name, spec.output, spec.coordinates, omegas, spec.depth, spec.width, spec.channels)
    pixels = spec.size[0] * spec.size[1]
    # of six bits a weight, the most that is usual
    if not fits(form, pixels, form.weights * 6 // 8):
        most = most_weights(pixels, form.weights * 6 // 8)
        msg = (
            f"`image` has {form.depth} layers of {form.width}, {form.weights:,} weights; of a "
            f"picture of its size a file keeps at most {most:,}"
        )
        raise ValueError(msg)
    return form


def tensors_of(net: CoordNet) -> list[np.ndarray]:
    """Return the weight and the bias of each layer.

    Raises:
        ValueError: One is no number, or larger than a file can say.
    """
    found = [
        np.asarray(v[...], np.float64) for layer in net.layers for v in (layer.weight, layer.bias)
    ]
    largest = max(float(np.abs(v).max(initial=0)) for v in found)
    if not largest <= LIMIT * step_of(255):
        msg = f"`image` is a network with a weight of {largest:.3g}, which no file can hold"
        raise ValueError(msg)
    return found


def rounded(form: Form, tensors: list[np.ndarray], worth: list[float], coarse: int) -> Plain:
    """Return weights in steps that go with the inverse root of what their errors cost.

    Args:
        form: What the network is.
        tensors: Its weights.
        worth: What a squared error of 1 of each tensor's weights costs.
        coarse: Of all steps, in sixteenths of an octave.
    """
    found = []
    for tensor, cost in zip(tensors, worth, strict=True):
        log_step = coarse / STEP_UNIT - 0.5 * math.log2(max(cost, 1e-30))
        least = math.log2(max(float(np.abs(tensor).max(initial=0)), 1e-30) / LIMIT)
        index = round((log_step - LEAST_STEP) * STEP_UNIT)
        index = max(index, math.ceil((least - LEAST_STEP) * STEP_UNIT))
        index = min(max(index, 0), 255)
        found.append((index, np.rint(tensor / step_of(index)).astype(np.int64)))
    return Plain(form, found)


_FINEST, _COARSEST = -40 * STEP_UNIT, 40 * STEP_UNIT


def finest(form: Form, tensors: list[np.ndarray], worth: list[float], most: float) -> Plain | None:
    """Return the finest of :func:`rounded` that takes so many bytes, at the worst all zeros.

    None: not even these are so few.
    """

    def small(coarse: int) -> bool:
        return len(packed(rounded(form, tensors, worth, coarse))) <= most

    if not small(_COARSEST):
        zeros = nothing(form)
        return zeros if len(packed(zeros)) <= most else None
    low, high = _FINEST, _COARSEST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if small(middle) else (middle, high)
    return rounded(form, tensors, worth, high)


def worth_of(
    tensors: list[np.ndarray], error: Callable[[list[np.ndarray]], float], seed: int = 0
) -> list[float]:
    """Return what a squared error of 1 of each tensor's weights costs, each weight's share.

    Measured: every tensor in its turn is moved at random by a hundredth of what its weights are.
    """
    rng, exact = np.random.default_rng(seed), error(tensors)
    found = []
    for k, tensor in enumerate(tensors):
        size = 0.01 * max(float(np.sqrt(np.mean(np.square(tensor)))), 1e-3)
        noise = rng.choice([-size, size], tensor.shape)
        tried = [[*tensors[:k], tensor + sign * noise, *tensors[k + 1 :]] for sign in (1, -1)]
        dearer = sum(error(one) for one in tried) / 2 - exact
        found.append(max(dearer, 1e-12) / (size**2 * tensor.size))
    return found


# --- of a network that was fitted before --------------------------------------------------------
def kept_network(net: CoordNet, most: int | None, psnr: float) -> Plain | None:
    """Return a network's weights in so many bytes, or so near to its own picture.

    None: not even zeros take so few bytes.

    Raises:
        UnreachableError: The finest rounding is not so near.
    """
    form, tensors, size = form_of(net), tensors_of(net), net.spec.size
    assert size is not None
    whole = Painter(form, tensors).painted(size).astype(np.float64)

    def error(found: np.ndarray) -> float:
        return float(np.mean(np.square(found - whole))) / 255**2

    worth = worth_of(tensors, lambda some: error(Painter(form, some).painted(size)))
    if most is not None:
        return finest(form, tensors, worth, most)

    def near(coarse: int) -> bool:
        found = painter(rounded(form, tensors, worth, coarse)).painted(size)
        return psnr_from(error(found)) >= psnr

    low, high = _FINEST, _COARSEST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if near(middle) else (low, middle)
    while not near(low):  # a finer rounding is not always nearer
        if low == _FINEST:
            best = painter(rounded(form, tensors, worth, low)).painted(size)
            msg = (
                f"`psnr` asks for {psnr:g} dB; the finest weights have {psnr_from(error(best)):.1f}"
            )
            raise UnreachableError(msg)
        low -= 1
    return rounded(form, tensors, worth, low)


# --- of a picture ---------------------------------------------------------------------------------
def planned(size: tuple[int, int], channels: int, most: int) -> Form:
    """Return a network of sines whose weights will take so many bytes."""
    weights = min(8 * most / _BITS, most_weights(size[0] * size[1], most))
    depth = 5 if weights > _DEEP else 3
    # (depth - 1) (w**2 + w) + 3 w + channels (w + 1) weights
    a, b = depth - 1, depth + 2 + channels
    width = int((-b + math.sqrt(b * b + 4 * a * max(weights - channels, 0))) / (2 * a))
    first = min(first_omega(*size), float(round(_FIRST * (weights / _FEW) ** (1 / 3))))
    return Form("sine", "linear", "centers", (first, 30.0), depth, max(width, 1), channels)


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
    steps: Int[Array, ""], key: PRNGKeyArray,
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
        rate = _RATE * jnp.minimum((at + k) / _WARMUP, 1) * 0.5 * (1 + jnp.cos(jnp.pi * done))
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
        tensors, moments, error = _learn(
            form, size, tensors, moments, flat, rounding, at, steps, key
        )
        at += _STEPS
        bar.tick(min(at, steps), time.perf_counter() - begun)
        bar.look(psnr_from(float(error)))
    now = [np.asarray(v, np.float64) for v in tensors]
    # the steps that they learnt with, if they fit; else a little more or less
    trained = [step**-2.0 for step in rounding.steps]
    return finest(form, now, trained, most)
