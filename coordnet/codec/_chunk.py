"""The chunk of a pyramid: which networks, how they differ from those that ship, and the latents."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from .._files import FormatError
from . import _laplace
from ._container import Reader
from ._entropy import walk
from ._models import FINEST, PRICES, entropy_of, kept
from ._pyramid import LEVELS, is_too_thin, shapes

#: Tensors that a picture may have of its own, in the order of the file. Hidden layers of the
#: entropy network, six sevenths of all weights, would gain more, and cost more than that; taps gain
#: nothing.
TUNED = (
    "own", "passed", "hidden", "hidden_bias", "output", "output_bias", "past", "around",
    "around_bias", "middle_bias", "mean", "mean_bias", "mean_outer", "scale", "scale_bias",
    "scale_outer", "top_mean", "top_octave",
)  # fmt: skip

_CHANGED, _FINE_FLAG = 128, 64  # added to the number of the networks
_UNCHANGED = 255  # in place of a tensor's step
_MOST_LOG_STEP = 30

#: By place among the tensors: the logarithm of a step in whole units, and whole steps of it.
Deltas = dict[int, tuple[int, Int[np.ndarray, " n"]]]


class Pyramid(NamedTuple):
    """What a chunk holds: the number of networks that ship, differences from them, latents.

    ``precision`` is that of what is expected of latents.
    """

    model: int
    deltas: Deltas
    latents: list[Int[np.ndarray, "_ _ _"]]
    precision: _laplace.Precision = _laplace.FINE


def nothing(height: int, width: int) -> Pyramid:
    """Return the pyramid that takes the fewest bytes: zeros, of the coarsest networks."""
    model = int(np.argmax(PRICES))
    sizes = shapes(height, width, FINEST[model])
    return Pyramid(model, {}, [np.zeros(size, np.int64) for size in sizes])


def tensors(numbers: dict[str, Any]) -> list[tuple[str, int, np.ndarray]]:
    """Return the tensors in the order of the file: names, and which of a list, or -1."""
    found = []
    for name in TUNED:
        value = numbers[name]
        found += (
            [(name, i, v) for i, v in enumerate(value)]
            if isinstance(value, list)
            else [(name, -1, value)]
        )
    return found


def changed(numbers: dict[str, Any], deltas: Deltas) -> dict[str, Any]:
    """Return networks in whole numbers with the differences of a picture added."""
    out = {k: list(v) if isinstance(v, list) else v for k, v in numbers.items()}
    for place, (name, i, value) in enumerate(tensors(numbers)):
        if place in deltas:
            log_step, steps = deltas[place]
            new = value + (steps << log_step).reshape(value.shape)
            if i < 0:
                out[name] = new
            else:
                out[name][i] = new
    return out


def chosen(
    numbers: dict[str, Any],
    learnt: dict[str, Any],
    cost: Callable[[dict[str, Any]], float],
    price: float,
) -> Deltas:
    """Return the differences of learnt networks, each tensor's rounded to what is worth its bits.

    A rounding by steps s costs about c s**2 for a tensor and saves log2(s) bits a weight. c is
    measured, with rounding errors of both signs, about the learnt networks.

    Args:
        numbers: The networks that ship.
        learnt: What became of them.
        cost: Of networks in whole numbers.
        price: Of a bit, in the units of the cost.
    """
    rng, exact = np.random.default_rng(0), cost(learnt)
    before, after = tensors(numbers), tensors(learnt)
    whole = {
        k: (0, (b[2] - a[2]).ravel().astype(np.int64))
        for k, (a, b) in enumerate(zip(before, after, strict=True))
    }
    deltas: Deltas = {}
    for place, (_, _, value) in enumerate(after):
        difference = whole[place][1]
        trial = max(float(np.sqrt(np.mean(np.square(difference.astype(float))))), 4.0)
        error = np.rint(rng.uniform(-trial / 2, trial / 2, value.size)).astype(np.int64)
        tried = [changed(learnt, {place: (0, sign * error)}) for sign in (1, -1)]
        dearer = sum(cost(one) for one in tried) / 2 - exact
        worth = price * value.size / (2 * math.log(2))
        step = trial * math.sqrt(worth / max(dearer, worth / 64))
        log_step = min(max(round(math.log2(step)), 0), _MOST_LOG_STEP)
        steps = np.rint(difference / 2**log_step).astype(np.int64)
        if steps.any():
            deltas[place] = log_step, steps
    return deltas


def refined(
    numbers: dict[str, Any],
    deltas: Deltas,
    cost: Callable[[dict[str, Any]], float],
    price: float,
    trials: int,
) -> Deltas:
    """Return differences of which single ones are a step smaller or larger, where that pays.

    Coordinate descent in random order, after Cool-Chic 5.0.1: what one rounding spoilt another
    mends. It ends when the trials are spent, or nothing pays any more.

    Args:
        numbers: The networks that ship.
        deltas: How others differ from them; see :func:`chosen`.
        cost: Of networks in whole numbers.
        price: Of a bit, in the units of the cost.
        trials: Changes that may be tried, each for one cost.
    """
    if trials <= 0:
        return deltas

    def bits(steps: np.ndarray) -> float:
        # a tensor that differs has a head of a byte more
        return 8 + _laplace.bits_about_zero(steps) if steps.any() else 0.0

    rng, now, pays = np.random.default_rng(0), cost(changed(numbers, deltas)), True
    while pays and trials > 0:
        pays = False
        moves = [
            (place, k, towards)
            for place, (_, steps) in deltas.items()
            for k in np.flatnonzero(steps)
            for towards in (-1, 1)  # zero, and away from it
        ]
        for n in rng.permutation(len(moves))[:trials]:
            place, k, towards = moves[n]
            log_step, steps = deltas[place]
            moved = steps.copy()
            moved[k] += towards * np.sign(steps[k])
            tried = {**deltas, place: (log_step, moved)}
            then = cost(changed(numbers, tried))
            if then + price * bits(moved) < now + price * bits(steps):
                deltas, now, pays = tried, then, True
        trials -= len(moves)
    return {place: found for place, found in deltas.items() if found[1].any()}


def packed(found: Pyramid) -> bytes:
    """Return the bytes of a chunk."""
    return coded(found.model, found.deltas, found.latents, precision=found.precision)[0]


def coded(
    model: int,
    deltas: Deltas,
    latents: Sequence[Shaped[np.ndarray, "_ _ _"]],
    worth: Sequence[Sequence[float]] | None = None,
    *,
    precision: _laplace.Precision = _laplace.FINE,
) -> tuple[bytes, list[Int[np.ndarray, "_ _ _"]]]:
    """Return the bytes of a chunk of latents, and whole numbers that they became.

    Each in its turn is rounded to the nearest, or nearer to what is expected of it where that is
    worth its bits (rate-distortion optimised quantisation), with all before it as they were
    decided.

    Args:
        model: The number of the networks.
        deltas: What is different of them.
        latents: Whole or as they were learnt, the finest first.
        worth: Bits that a squared error of 1 is worth, by grid and channel; without them each
            becomes the nearest.
        precision: How finely they are expected.
    """
    head, coder = _begun(model, deltas, precision)
    entropy = entropy_of(changed(kept(model), deltas), precision)

    def code(values: Any, means: Any, scales: Any, place: tuple[int, int]) -> Any:
        whole = np.rint(values).astype(np.int64)
        if worth is not None:
            whole = _worth_bits(precision, values, whole, means, scales, worth[place[0]][place[1]])
        _laplace.encode(precision, coder, whole, means, scales)
        return whole

    found = walk(entropy, [grid.shape for grid in latents], latents, code)
    return head + _laplace.words_of(coder), found


def _worth_bits(
    precision: _laplace.Precision,
    values: Float[np.ndarray, " n"],
    nearest: Int[np.ndarray, " n"],
    means: Int[np.ndarray, " n"],
    scales: Int[np.ndarray, " n"],
    worth: float,
) -> Int[np.ndarray, " n"]:
    """Return of three whole numbers the one that is cheapest, its error counted."""
    expected = precision.nearest(means)
    best, least = nearest, np.full(len(nearest), np.inf)
    for one in (nearest, nearest + np.sign(expected - nearest), expected):
        cost = worth * np.square(values - one) + _laplace.bits(precision, one, means, scales)
        best, least = np.where(cost < least, one, best), np.minimum(cost, least)
    return best


def bytes_of_deltas(model: int, deltas: Deltas) -> int:
    """Return what the differences of networks add to a chunk.

    >>> bytes_of_deltas(2, {}), bytes_of_deltas(2, {0: (3, np.array([5, 0, -7, 1, 0, 0, 0, 0]))})
    (0, 34)
    """
    head, coder = _begun(model, deltas, _laplace.FINE)
    return len(head) - 1 + len(_laplace.words_of(coder))


def _begun(model: int, deltas: Deltas, precision: _laplace.Precision) -> tuple[bytes, Any]:
    """Return the head of a chunk, and a stream that holds the differences."""
    head, coder = bytearray([model]), _laplace.RangeEncoder()
    if precision == _laplace.FINE:
        head[0] += _FINE_FLAG
    if deltas:
        head[0] += _CHANGED
        for place in range(len(tensors(kept(model)))):
            if place not in deltas:
                head.append(_UNCHANGED)
                continue
            log_step, steps = deltas[place]
            scale = _laplace.scale_of(steps)
            head += bytes([log_step, scale])
            _laplace.encode_about_zero(coder, steps, scale)
    return bytes(head), coder


def unpacked(body: bytes, height: int, width: int) -> Pyramid:
    """Return what :func:`packed` was given.

    Raises:
        FormatError: The bytes are no such chunk of a picture of that size.
    """
    if is_too_thin(height, width):
        msg = (
            f"the .cnet file declares a pyramid of {height} x {width} pixels: too long for so thin"
        )
        raise FormatError(msg)
    reader = Reader(body, "pyramid of the .cnet file")
    first = reader.byte()
    model = first % _FINE_FLAG
    precision = _laplace.FINE if first & _FINE_FLAG else _laplace.COARSE
    numbers = kept(model)
    heads = []
    if first >= _CHANGED:
        for place, (_, _, value) in enumerate(tensors(numbers)):
            log_step = reader.byte()
            if log_step == _UNCHANGED:
                continue
            scale = reader.byte()
            if log_step > _MOST_LOG_STEP or scale >= _laplace.SCALES:
                msg = f"the .cnet file changes weights by steps of 2**{log_step}, scale {scale}"
                raise FormatError(msg)
            heads.append((place, log_step, scale, value.size))
    coder = _laplace.decoder_of(reader.take(reader.left))
    try:
        deltas = {
            place: (log_step, _laplace.decode_about_zero(coder, n, scale))
            for place, log_step, scale, n in heads
        }
        entropy = entropy_of(changed(numbers, deltas), precision)
        finest = LEVELS - len(numbers["own"])
        latents = walk(
            entropy,
            shapes(height, width, finest),
            None,
            lambda _, means, scales, __: _laplace.decode(precision, coder, means, scales),
        )
    except (ValueError, AssertionError) as error:  # constriction's, of data that none wrote
        msg = f"the .cnet file is damaged: its latents cannot be decoded ({error})"
        raise FormatError(msg) from error
    return Pyramid(model, deltas, latents, precision)
