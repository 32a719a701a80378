"""A network's weights, rounded to what they are worth: to so many bytes, or so near a picture."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from .._calls import parse_call
from .._nets import CoordNet
from ._laplace import LIMIT
from ._mlp import (
    ACTIVATIONS,
    LEAST_STEP,
    STEP_UNIT,
    Form,
    Painter,
    Plain,
    fits,
    nothing,
    packed,
    painter,
    step_of,
)
from ._rate import UnreachableError, psnr_from


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
        # as a file holds them
        omegas = (
            float(np.float32(options.get("first", 30.0))),
            float(np.float32(options.get("omega", 30.0))),
        )
    form = Form(name, spec.output, spec.coordinates, omegas, spec.depth, spec.width, spec.channels)
    pixels = spec.size[0] * spec.size[1]
    # of six bits a weight, the most that is usual
    if not fits(form, pixels, form.weights * 6 // 8):
        msg = (
            f"`image` has {form.depth} layers of {form.width}, {form.weights:,} weights; of a "
            f"picture of {spec.size[1]}x{spec.size[0]} pixels no file keeps so many"
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
    largest = float(np.max([np.abs(v).max(initial=0) for v in found]))  # not a number, if one is
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
# Roundings of a network that are tried to either side: what they lose is uneven by some dB, for a
# handful of weights say most of the picture.
_AROUND = STEP_UNIT


def finest(form: Form, tensors: list[np.ndarray], worth: list[float], most: float) -> Plain | None:
    """Return the finest of :func:`rounded` that takes so many bytes, at the worst all zeros.

    None: not even these are so few.
    """

    def small(coarse: int) -> bool:
        return len(packed(rounded(form, tensors, worth, coarse))) <= most

    if not small(_COARSEST):
        zeros = nothing(form)
        return zeros if len(packed(zeros)) <= most else None
    return rounded(form, tensors, worth, _coarsest(lambda coarse: not small(coarse)) + 1)


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

    @cache
    def psnr_at(coarse: int) -> float:
        found = painter(rounded(form, tensors, worth, coarse)).painted(size)
        return psnr_from(error(found))

    def size_at(coarse: int) -> int:
        return len(packed(rounded(form, tensors, worth, coarse)))

    if most is not None:
        least = _coarsest(lambda coarse: size_at(coarse) > most) + 1
        fitting = [c for c in range(least, min(least + _AROUND, _COARSEST)) if size_at(c) <= most]
        if not fitting:
            return finest(form, tensors, worth, most)
        return rounded(form, tensors, worth, max(fitting, key=psnr_at))
    low = _coarsest(lambda coarse: psnr_at(coarse) >= psnr)
    around = range(max(low - _AROUND, _FINEST), min(low + _AROUND, _COARSEST))
    near = [c for c in around if psnr_at(c) >= psnr]
    if not near:
        found = psnr_at(_FINEST)
        msg = f"`psnr` asks for {psnr:g} dB; the finest weights have {found:.1f}"
        raise UnreachableError(msg)
    return rounded(form, tensors, worth, min(near, key=size_at))


def _coarsest(holds: Callable[[int], bool]) -> int:
    """Return about the coarsest rounding of which something holds that holds of fine ones."""
    low, high = _FINEST, _COARSEST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
