"""A picture to the chunks of a pyramid: the fit, and how it meets what was asked for."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8

from .._progress import Bar
from . import _analysis, _chunk, _models
from ._grids import CORE, Grids
from ._latents import Nets, cost, make_pass, nets, pace
from ._pyramid import LEVELS, shapes
from ._rate import (
    Target,
    between,
    controlled,
    expected_bytes,
    first_price,
    psnr_from,
    psnr_of,
    still_to_shrink,
)
from ._synthesis import painted

_WARMUP = 100  # windows in which the rate of the networks rises: Adam's first moves know nothing
_CHECKS = 25  # looks at size and PSNR during a fit, at most
_ANSWER = 10  # passes that latents need to answer to a price
_LOOKS = 24  # windows that a look takes in at most
_TRIALS = 12  # windows on which many changes of networks or latents are tried
_CODED = 1.007  # bytes of a file for every byte of an estimate: means and scales are rounded
_NETS_BYTES = 700  # what the networks' differences come to, before it is known
_FAR = 3.0  # times the price of the networks: others are nearer by more than a half
_ROUNDS = 12  # of further steps, until the target is near
_END = 0.06  # of the steps, in each of these rounds
_LEAST_PASSES = 16  # in each of them
_AGAIN = 0.5  # where the pace of them begins: later, latents hardly move
_ALL = 1e9  # a price of rounding at which all latents are what is expected
_CHEAP = 0.1  # times the price: what rounding towards what is expected may cost
_COARSE, _SPARED = 3, 16.0  # from that level on, rounding counts so many times as much


class Fit(NamedTuple):
    """A plane's chunk, and the pixels that a decoder will make of it."""

    body: bytes
    pixels: UInt8[np.ndarray, "h w 3"]


class Part:
    """One plane in its fit: of 3 channels, or of 1 that stands in all three."""

    def __init__(
        self, samples: UInt8[np.ndarray, "h w 3"], model: int, *, tuned: bool, channels: int = 3
    ):
        self.samples = samples
        self.channels = channels
        self.model = model
        self.numbers = _models.kept(model)
        self.deltas: _chunk.Deltas = {}
        finest = LEVELS - len(self.numbers["own"])
        image = np.moveaxis(samples, 2, 0).astype(np.float32) / 255
        self.grids = Grids(image, finest)
        step = _models.rounding_step(_models.PRICES[model])
        self.grids.fill(_analysis.guess(_models.analysis(), self.grids.image, finest, step))
        params = jax.tree.map(jnp.asarray, _models.floats(self.numbers))
        self.weights: list[list[float]] = []
        self.state: Nets = nets(params, _chunk.TUNED if tuned else ())

    def latents(self, price: float) -> list[Int[np.ndarray, "_ _ _"]]:
        """Return whole latents that are worth a price; 0 is plain rounding."""
        inner = (v[:, CORE, CORE] for v in self.grids.values)
        sizes = shapes(*self.grids.size, self.grids.finest)
        cut = [v[:, :h, :w] for v, (_, h, w) in zip(inner, sizes, strict=True)]
        # one coarse node is much of a picture, and all of them few bits: they are spared
        spared = [_SPARED if i >= _COARSE else 1.0 for i in range(self.grids.finest, LEVELS)]
        worth = [
            [w * s / price if price else np.inf for w in part]
            for part, s in zip(self.weights, spared, strict=True)
        ]
        return _chunk.rounded(self.model, self.deltas, cut, worth)

    def coded(self, price: float) -> bytes:
        return _chunk.packed(_chunk.Pyramid(self.model, self.deltas, self.latents(price)))

    def pixels(self, price: float) -> UInt8[np.ndarray, "h w 3"]:
        numbers = _chunk.changed(self.numbers, self.deltas)
        synthesis, _ = _models.decoders(numbers)
        return painted(synthesis, self.latents(price), self.grids.size)

    def weigh(self) -> None:
        """Find out what an error of a latent costs, by grid and channel: squared, in pixels."""
        places = _few(self.grids)
        before, _ = cost(self.state.params, self.grids, places)
        rng = np.random.default_rng(0)
        self.weights = []
        for level, values in enumerate(self.grids.values, self.grids.finest):
            found = []
            for channel in values:
                kept = channel.copy()
                np.rint(channel, out=channel)
                channel += rng.choice([-1.0, 0.0, 0.0, 1.0], channel.shape)
                after, _ = cost(self.state.params, self.grids, places)
                channel[:] = kept
                # half of all nodes were moved, and a node of a level stands for 4**level pixels
                found.append(2 * 4**level * max(after - before, 1e-9))
            self.weights.append(found)


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
    price = first_price(planes, target)
    model = _models.nearest(price)
    # differences of networks pay where they are a small part of the file
    expected = target.size or expected_bytes(planes, target)
    rounding = None
    for last in (False, False, True):
        tuned = expected > 8 * _NETS_BYTES
        parts = [
            Part(plane, model, tuned=tuned, channels=wide)
            for plane, wide in zip(planes, channels, strict=True)
        ]
        price, near = _fitted(parts, target, price, steps, seed, bar or Bar(), last)
        if near:
            for part in parts:
                if part.state.tuned:
                    _settle_nets(part, price)
            price, rounding = _come_to(parts, target, price, steps, seed)
            if rounding is not None or model == _models.nearest(price):
                break
        model = _models.nearest(price)  # the picture is another than was thought: begin anew
    if rounding is None and target.size is not None:
        sizes = [plane.shape[:2] for plane in planes]
        return [Fit(_chunk.packed(_chunk.nothing(*size)), _even(*size)) for size in sizes]
    return [Fit(part.coded(rounding or 0.0), part.pixels(rounding or 0.0)) for part in parts]


def _even(height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """Return what a pyramid of nothing paints."""
    found = _chunk.nothing(height, width)
    synthesis, _ = _models.decoders(_models.kept(found.model))
    return painted(synthesis, found.latents, (height, width))


def _fitted(
    parts: list[Part], target: Target, price: float, steps: int, seed: int, bar: Bar, last: bool
) -> tuple[float, bool]:
    """Make the steps, in whose course the price comes near to what the target needs.

    Returns:
        The price at the end, and True; or, after a quarter of the steps, a price that other
        networks serve better, and False (unless it is the ``last`` time).
    """
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    at, looked, moved, begun = 0, 0, False, time.perf_counter()
    windows = sum(len(part.grids.places()) for part in parts)
    between_looks = max(steps / _CHECKS, _ANSWER * windows)
    while at < steps:
        now = pace(at / steps, price)
        now = now._replace(nets=now.nets * min(1.0, (at + 1) / _WARMUP))
        at += _pass(parts, now, jax.random.fold_in(key, at), rng, new=at == 0)
        bar.tick(min(at, steps), time.perf_counter() - begun)
        done = at / steps
        # before, level 0 fills; afterwards little moves
        if at - looked >= between_looks and 0.25 <= done < 0.98:
            looked = at
            size, psnr = _look(parts, rng)
            bar.look(psnr)
            # latents follow the price only after some looks: gently after the first time
            gain = 0.4 if moved else 1.0
            price = controlled(price, target, size * still_to_shrink(done), psnr, gain)
            ratio = price / _models.PRICES[parts[0].model]
            if not moved and not last and not 1 / _FAR < ratio < _FAR:
                return price, False
            moved = True
    return price, True


def _pass(
    parts: list[Part], now: Any, key: jax.Array, rng: np.random.Generator, new: bool = False
) -> int:
    """Look at each plane once; return the number of windows."""
    for k, part in enumerate(parts):
        own = jax.random.fold_in(key, k)
        part.state = make_pass(part.state, part.grids, now, own, rng, new=new)
    return sum(len(part.grids.places()) for part in parts)


def _look(parts: list[Part], rng: np.random.Generator) -> tuple[float, float]:
    """Return bytes and PSNR as they will be, nearly."""
    size = errors = 0.0
    for part in parts:
        places = part.grids.places()
        some = rng.permutation(places)[:_LOOKS]
        error, bits = cost(part.state.params, part.grids, some)
        pixels = part.samples[..., 0].size
        size += _CODED * bits.sum() * pixels / 8 + _NETS_BYTES * bool(part.state.tuned)
        errors += error * part.channels * pixels
    return size, psnr_from(errors / sum(p.channels * p.samples[..., 0].size for p in parts))


def _few(grids: Grids) -> np.ndarray:
    """Return some windows from all over a picture."""
    places = grids.places()
    return places[:: -(-len(places) // _TRIALS)]


def _settle_nets(part: Part, price: float) -> None:
    """Round what the networks learnt to steps that are worth their bits."""
    places = _few(part.grids)
    pixels = part.samples[..., 0].size

    def j(params: Any) -> float:
        error, bits = cost(params, part.grids, places)
        return error + price * float(bits.sum())

    learnt = _models.whole({**part.state.fixed, **part.state.tuned})
    part.deltas = _chunk.chosen(
        part.numbers, learnt, lambda numbers: j(_models.floats(numbers)), price / pixels
    )
    params = _models.floats(_chunk.changed(part.numbers, part.deltas))
    tuned = {name: jax.tree.map(jnp.asarray, params[name]) for name in part.state.tuned}
    part.state = part.state._replace(tuned=tuned)


def _come_to(
    parts: list[Part], target: Target, price: float, steps: int, seed: int
) -> tuple[float, float | None]:
    """Make further steps until the target is in reach.

    Returns:
        The price at the end, and the price of rounding that meets the target, 0 where plain
        rounding does. None where nothing meets it.
    """
    rng, key = np.random.default_rng(seed + 1), jax.random.key(seed + 1)
    for part in parts:
        part.weigh()
    if target.price is not None:
        return price, 0.0
    if target.size is not None:
        least, most = 0.97 * target.size, float(target.size)
    else:
        assert target.psnr is not None
        least, most = target.psnr, target.psnr + 0.05

    def value(rounding: float) -> float:
        if target.size is not None:
            return float(sum(len(part.coded(rounding)) for part in parts))
        pixels = [p.pixels(rounding) for p in parts]
        return psnr_of([p.samples for p in parts], pixels, [p.channels for p in parts])

    found = value(0.0)
    for k in range(_ROUNDS):
        if least <= found <= most:
            return price, 0.0
        # a little rounding towards what is expected costs nothing, much of it costs much: but
        # latents that answer late to a price would pass the target to and fro
        end = _CHEAP * 2**k * price
        if found > most and (other := value(end)) <= most:
            return price, between(
                value, (0.0, found), (end, other), least, most, target.size is None
            )
        size, psnr = (found, 0.0) if target.size else (0.0, found)
        price = controlled(price, target, size, psnr)
        _more(parts, price, steps, jax.random.fold_in(key, k), rng)
        found = value(0.0)
    if target.size is not None and found > most:  # all goes to what is expected in the end
        end = _CHEAP * price
        while (other := value(end)) > most and end < _ALL:
            end *= 4
        if other > most:
            return price, None
        return price, between(value, (0.0, found), (end, other), least, most, False)
    return price, 0.0 if target.size is not None or found >= least else None


def _more(
    parts: list[Part], price: float, steps: int, key: jax.Array, rng: np.random.Generator
) -> None:
    """Go through the end of a fit again, on latents alone."""
    windows = sum(len(part.grids.places()) for part in parts)
    passes = max(_LEAST_PASSES, round(_END * steps / windows))
    for k in range(passes):
        now = pace(_AGAIN + (1 - _AGAIN) * k / passes, price, nets=0.0)
        _pass(parts, now, jax.random.fold_in(key, 2**30 + k), rng)
