"""What a fit is to come to, and what leads it there: prices, sizes and PSNRs."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from . import _models
from ._synthesis import grey

#: Prices that a fit may come to.
LEAST_PRICE, MOST_PRICE = 1e-6, 1.0

_SEEN = 2**20  # pixels from which a size is guessed


class UnreachableError(ValueError):
    """What no file of the picture can have or hold."""


class Target(NamedTuple):
    """What a fit is to come to; one is given, the others are None."""

    size: int | None = None  # bytes of the chunks' bodies together, at most
    psnr: float | None = None  # dB, at least
    price: float | None = None  # squared error that a bit may cost


class Price:
    """What a bit may cost (lambda), and to which price latents have answered so far."""

    def __init__(self, now: float):
        self.now = self.felt = float(now)  # a NumPy number would compile the passes again

    def passed(self, rate: float) -> None:
        """Note a pass over the picture, at a rate of the latents (see ``_latents.Pace``)."""
        self.felt *= (self.now / self.felt) ** answered(rate)


def answered(rates: float) -> float:
    """Return what part of a change of price latents answer to, in passes of rates of that sum.

    Measured on kodim15: half of it in ten passes, at rates of 0.065.

    >>> round(answered(0.65), 2)
    0.51
    """
    return 1 - math.exp(-1.1 * rates)


def still_to_go(done: float, passes: float) -> float:
    """Return how many bits a latent will be smaller at the end of a fit, at the same price.

    Measured on kodim15 and kodim05, alike in bits, in fits of 91 passes after a quarter, a half
    and three quarters of them: 0.12, 0.04 and 0.010; in one of 250, half-way: 0.025.
    """
    return 0.3 * (91 / passes) ** 0.75 * (1 - done) ** 3.1


def psnr_from(mse: float) -> float:
    return -10 * math.log10(max(mse, 1e-10))


def controlled(felt: float, target: Target, size: float, psnr: float, push: float = 1.0) -> float:
    """Return the price that should bring size or PSNR to the target.

    Args:
        felt: The price that they come from.
        target: What to come to.
        size: Bytes, where a size is asked for.
        psnr: dB, where a PSNR is.
        push: Go so many times as far, for latents will answer to a part of it.
    """
    if target.price is not None:
        return felt
    if target.size is not None:
        # the size goes with about the -0.6th power of the price
        move = math.log(max(size, 1.0) / target.size) / 0.6
    else:
        assert target.psnr is not None
        # a factor of e in the price is about 2.6 dB
        move = (psnr - target.psnr - 0.025) / 2.6
    move = min(max(push * move, -2.0), 2.0)
    return min(max(felt * math.exp(move), LEAST_PRICE), MOST_PRICE)


def between(
    value: Callable[[float], float],
    low: tuple[float, float],
    high: tuple[float, float],
    least: float,
    most: float,
    sharp: bool,
) -> float:
    """Return where a value that falls lies between the bounds, from a place on either side.

    Where the values jump over the bounds: what is next above if that is ``sharp``, or below.
    """
    (a, above), (b, below) = low, high
    for k in range(30):
        if least <= above <= most:
            return a
        if least <= below <= most:
            return b
        if b - a < 1e-7 * b:
            break
        # towards the middle of the bounds as if values lay on a line; every other time halfway
        line = (above - (least + most) / 2) / (above - below)
        middle = a + (b - a) * (min(max(line, 0.02), 0.98) if k % 2 == 0 else 0.5)
        found = value(middle)
        if found > most:
            a, above = middle, found
        else:
            b, below = middle, found
    # never more than a size, never less than a PSNR
    return a if sharp else b


def psnr_of(
    planes: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    decoded: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    channels: Sequence[int],
) -> float:
    """Return the PSNR over all samples, of planes of 3 channels or of 1 that stands thrice."""
    errors = count = 0.0
    for plane, found, wide in zip(planes, decoded, channels, strict=True):
        if wide == 1:
            plane, found = plane[..., :1], grey(found)
        square = np.square(plane.astype(np.float32) - found)
        errors += float(square.sum(dtype=np.float64)) / 255**2
        count += square.size
    return psnr_from(errors / count)


def first_price(planes: Sequence[UInt8[np.ndarray, "_ _ _"]], target: Target) -> float:
    """Return a price that is likely near to what the target needs."""
    if target.price is not None:
        return target.price
    prices = np.geomspace(1e-5, 0.1, 41)
    if target.size is not None:
        details = [_details(plane) for plane in planes]
        sizes = [sum(_bytes(some, p) for some in details) for p in prices]
        return float(prices[np.argmin(np.abs(np.log(sizes) - math.log(target.size)))])
    assert target.psnr is not None
    # at a price p the squared error comes to about 0.1 p**0.75
    return min(max((10 ** (-target.psnr / 10) / 0.1) ** (1 / 0.75), 1e-5), 0.1)


def expected_bytes(planes: Sequence[UInt8[np.ndarray, "_ _ _"]], target: Target) -> float:
    """Return about what pyramids of the planes take together."""
    price = first_price(planes, target)
    return sum(_bytes(_details(plane), price) for plane in planes)


class _Details(NamedTuple):
    """Differences of neighbours, of pixels and of ever larger means, with their nodes' share."""

    pixels: int
    levels: list[tuple[float, list[Float[np.ndarray, "_ _"]]]]


def _details(plane: UInt8[np.ndarray, "h w 3"]) -> _Details:
    grey = np.dot(plane, np.full(3, 1 / 765, np.float32))
    levels, share = [], 1.0
    while min(grey.shape) > 1 and share > 1e-3:
        every = -(-grey.size // _SEEN)  # row
        levels.append((share, [np.diff(grey[::every], axis=1), np.diff(grey, axis=0)[::every]]))
        h, w = (n // 2 * 2 for n in grey.shape)
        grey = grey[:h, :w].reshape(h // 2, 2, w // 2, 2).mean((1, 3))
        share /= 4
    return _Details(plane[..., 0].size, levels)


def _bytes(details: _Details, price: float) -> float:
    """Return about what a plane takes at a price."""
    step, bpp = _models.rounding_step(price), 0.0
    for share, both in details.levels:
        unit = step * share**0.5
        bpp += share * sum(float(np.log2(1 + np.square(d / unit)).mean()) for d in both) / 2
    # within a fifth on kodim15 and kodim05, after 91 and 250 passes
    return details.pixels / 8 * max(1.2 * bpp, 1e-4)
