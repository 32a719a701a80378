"""A picture to the chunks of a pyramid: the fit, and how it meets what was asked for."""

import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import UInt8

from .._progress import Bar
from . import _chunk, _models
from ._latents import cost, make_pass, pace
from ._plane import MANY, NETS_BYTES, Part
from ._pyramid import shapes
from ._rate import (
    LEAST_PRICE,
    Price,
    Target,
    answered,
    between,
    controlled,
    expected_bytes,
    first_price,
    psnr_from,
    psnr_of,
    still_to_go,
)
from ._synthesis import painted

_CHECKS = 25  # looks at size and PSNR during a fit, at most
_ANSWER = 10  # passes that latents need to answer to a price
_LOOKS = 24  # windows that a look takes in at most
_MOST_TO_GO = 0.45  # of the bits of latents, however few passes there are
_PUSH = 3.0  # times what is missing a change of price may be, for what the last passes answer
_KNOWN = 0.5  # of the steps: from then on, what the networks' differences take is measured
_LONG = 1000  # passes: a fit that has so many is paced otherwise (docs/architecture.md)
_LONG_RATE = 0.12  # of latents at first, in its passes
_LONG_AGAIN = 0.7  # where the pace of further passes begins: from 0.5 they lose more than they gain
_TRIED = 0.3  # changes of its networks that are tried for each pass: about a tenth of its time
_FAR = 3.0  # times the price of the networks: others are nearer by more than a half
_ROUNDS = 12  # of further steps, until the target is near
_END = 0.06  # of the steps, in each of these rounds
_LEAST_PASSES = 10  # in each of them
_AGAIN = 0.5  # where the pace of them begins: later, latents hardly move
_FINE = 1.5  # times the least price: passes at it bring nothing more
_AIM = 0.985  # of a size: the middle of what is near enough
_FULL = 0.99  # of a size: what rounding comes to, which is dear
_ALL = 1e9  # a price of rounding at which all latents are what is expected
_CHEAP = 0.1  # times the price: what rounding towards what is expected may cost


class Fit(NamedTuple):
    """A plane's chunk, and the pixels that a decoder will make of it."""

    body: bytes
    pixels: UInt8[np.ndarray, "h w 3"]


def fit(
    planes: Sequence[UInt8[np.ndarray, "_ _ _"]],
    channels: Sequence[int],
    target: Target,
    *,
    steps: int,
    seed: int = 0,
    bar: Bar | None = None,
) -> list[Fit]:
    """Fit a pyramid to each plane, all at one price, together of the size or PSNR asked for.

    Args:
        planes: RGB, or one channel thrice.
        channels: Of each plane, 3 or 1: which of them count, and share in a PSNR.
        target: What to come to.
        steps: On windows; more where the picture has many windows.
        seed: Of the noise and of the order of the windows.
        bar: Told of the steps.
    """
    bar = bar or Bar()
    price = Price(first_price(planes, target))
    near = partial(_models.nearest, pixels=planes[0][..., 0].size)
    model = near(price.now)
    # differences of networks pay where they are a small part of the file
    expected = target.size or expected_bytes(planes, target)
    rounding = None
    for last in (False, False, True):
        tuned = expected > 8 * NETS_BYTES
        parts: list[Part] = []  # those of the last time are large
        parts = [
            Part(plane, model, tuned=tuned, channels=wide)
            for plane, wide in zip(planes, channels, strict=True)
        ]
        if _fitted(parts, target, price, steps, seed, bar, last):
            bar.stage("rounding")  # of a long fit some minutes
            rounding = _come_to(parts, target, price, steps, seed)
            price = Price(price.felt)
            if rounding is not None or model == near(price.now):
                break
        model = near(price.now)  # the picture is another than was thought: begin anew
        bar.stage("fitting")
        price = Price(price.now)
    if rounding is None and target.size is not None:
        sizes = [plane.shape[:2] for plane in planes]
        return [Fit(_chunk.packed(_chunk.nothing(*size)), _even(*size)) for size in sizes]
    made = [(*part.coded(rounding or 0.0), part.painter()) for part in parts]
    del parts  # their memory is needed to paint
    return [Fit(body, painter(latents)) for body, latents, painter in made]


def _even(height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """Return what a pyramid of nothing paints."""
    found = _chunk.nothing(height, width)
    synthesis = _models.synthesis_of(_models.kept(found.model))
    return painted(synthesis, found.latents, (height, width))


def _fitted(
    parts: list[Part], target: Target, price: Price, steps: int, seed: int, bar: Bar, last: bool
) -> bool:
    """Make the steps, in whose course the price comes near to what the target needs.

    Returns:
        True; or, after a quarter of the steps, False where other networks serve better at the
        price that was found (unless it is the ``last`` time).
    """
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    at, looked, begun = 0, 0, time.perf_counter()
    windows = _windows(parts)
    between_looks = max(steps / _CHECKS, min(_ANSWER * windows, steps / 4))
    paced = partial(pace, rate=_LONG_RATE) if _is_long(parts, steps) else pace
    first = True
    while at < steps:
        now = paced(at / steps, price.now)
        at += _pass(parts, now, jax.random.fold_in(key, at), rng)
        price.passed(now.rate)
        bar.tick(min(at, steps), time.perf_counter() - begun)
        done = at / steps
        # before, sizes tell little of those at the end; afterwards little moves
        if at - looked >= between_looks and 0.25 <= done < 0.98:
            looked = at
            size, psnr = _look(parts, rng, still_to_go(done, steps / windows))
            bar.look(psnr)
            wanted = controlled(price.felt, target, size / _AIM, psnr)
            if first and not last:
                own, pixels = parts[0].model, parts[0].samples[..., 0].size
                near = 1 / _FAR < wanted / _models.PRICES[own] < _FAR
                if not near and _models.nearest(wanted, pixels) != own:
                    price.now = wanted
                    return False
            rates = sum(paced(d, 1.0).rate for d in np.arange(at, steps, windows) / steps)
            push = min(1 / answered(rates), _PUSH)
            price.now = controlled(price.felt, target, size / _AIM, psnr, push)
            first = False
            if target.size is not None and done >= _KNOWN:
                for part in parts:
                    part.foresee(price.felt)
    return True


def _pass(parts: list[Part], now: Any, key: jax.Array, rng: np.random.Generator) -> int:
    """Look at each plane once; return the number of windows."""
    for k, part in enumerate(parts):
        own = jax.random.fold_in(key, k)
        part.state = make_pass(part.state, part.grids, now, own, rng)
    return _windows(parts)


def _windows(parts: list[Part]) -> int:
    return sum(len(part.grids.places()) for part in parts)


def _is_long(parts: list[Part], steps: int) -> bool:
    return steps >= _LONG * _windows(parts)


def _look(parts: list[Part], rng: np.random.Generator, to_go: float) -> tuple[float, float]:
    """Return bytes as they will be and PSNR, nearly, if latents have so many bits to go."""
    size = errors = 0.0
    for part in parts:
        places = part.grids.places()
        some = rng.permutation(places)[:_LOOKS]
        error, bits = cost(part.state.params, part.grids, some)
        pixels = part.samples[..., 0].size
        nodes = sum(math.prod(s) for s in shapes(*part.grids.size, part.grids.finest)) / pixels
        bpp = bits.sum()
        size += (bpp - min(to_go * nodes, _MOST_TO_GO * bpp)) * pixels / 8 + part.nets_bytes
        errors += error * part.channels * pixels
    return size, psnr_from(errors / sum(p.channels * p.samples[..., 0].size for p in parts))


def _come_to(
    parts: list[Part], target: Target, price: Price, steps: int, seed: int
) -> float | None:
    """Settle the networks, and make further steps until the target is in reach.

    Returns:
        The price of rounding that meets the target, 0 where plain rounding does. None where
        nothing meets it.
    """
    rng, key = np.random.default_rng(seed + 1), jax.random.key(seed + 1)
    for part in parts:
        part.settle(price.felt, _trials(parts, steps))
        part.weigh()
    if target.price is not None:
        return 0.0
    if target.size is not None:
        least, most = 0.97 * target.size, float(target.size)
    else:
        assert target.psnr is not None
        least, most = target.psnr, target.psnr + 0.05

    def value(rounding: float) -> float:
        coded = [part.coded(rounding) for part in parts]
        if target.size is not None:
            return float(sum(len(body) for body, _ in coded))
        pixels = [p.painter()(latents) for p, (_, latents) in zip(parts, coded, strict=True)]
        return psnr_of([p.samples for p in parts], pixels, [p.channels for p in parts])

    again = _again(parts, steps)
    once = min(1 / answered(sum(pace(done, 1.0).rate for done in again)), _PUSH)
    found, push, before = value(0.0), once, None
    for k in range(_ROUNDS):
        if least <= found <= most:
            return 0.0
        if found < least and price.felt < _FINE * LEAST_PRICE:
            break  # a pyramid has no use for more: of noise in colour its finest grids hold a part
        # a little rounding towards what is expected costs nothing, much of it costs much: but
        # latents that answer late to a price would pass the target to and fro
        end = _CHEAP * 2**k * price.felt
        near = 1.04 * most if target.size is not None else most + 0.3  # beyond, passes are cheaper
        if most < found <= near and (other := value(end)) <= most:
            least = _FULL * most if target.size is not None else least
            return between(value, (0.0, found), (end, other), least, most, target.size is None)
        size, psnr = (found / _AIM, 0.0) if target.size else (0.0, found)
        above = found > most
        push = 2 * push if above == before else once  # further, until it is enough
        before = above
        price.now = controlled(price.felt, target, size, psnr, push)
        _more(parts, price, again, jax.random.fold_in(key, k), rng)
        found = value(0.0)
    if found > most:  # all goes to what is expected in the end
        end = _CHEAP * price.felt
        while (other := value(end)) > most and end < _ALL:
            end *= 4
        if other <= most:
            return between(value, (0.0, found), (end, other), least, most, target.size is None)
        return None if target.size is not None else 0.0
    return 0.0 if target.size is not None or found >= least else None


def _trials(parts: list[Part], steps: int) -> int:
    """Return how many changes of its networks each part may try."""
    if not _is_long(parts, steps):
        return 0
    return int(_TRIED * steps / sum(min(MANY, len(part.grids.places())) for part in parts))


def _again(parts: list[Part], steps: int) -> list[float]:
    """Return how much of a fit is done at each of the passes that follow it."""
    passes = max(_LEAST_PASSES, round(_END * steps / _windows(parts)))
    begin = _LONG_AGAIN if _is_long(parts, steps) else _AGAIN
    return [begin + (1 - begin) * k / passes for k in range(passes)]


def _more(
    parts: list[Part], price: Price, again: list[float], key: jax.Array, rng: np.random.Generator
) -> None:
    """Go through the end of a fit again, on latents alone."""
    for k, done in enumerate(again):
        now = pace(done, price.now, nets=0.0)
        _pass(parts, now, jax.random.fold_in(key, 2**30 + k), rng)
        price.passed(now.rate)
