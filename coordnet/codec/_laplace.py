"""Whole numbers as a Laplace distribution expects them, coded from tables of integers.

Encoder and decoder must agree on every probability to the last bit, on any machine. So means
and deviations are whole numbers, the tables come from decimal arithmetic, which is the same
everywhere, and nothing here depends on a libm.
"""

from collections.abc import Iterator
from decimal import Context, Decimal, localcontext
from functools import cache
from typing import Any, NamedTuple

import constriction
import numpy as np
from jaxtyping import Bool, Float, Int

_stream = constriction.stream  # type: ignore[attr-defined]  # which declares no types
RangeEncoder, RangeDecoder = _stream.queue.RangeEncoder, _stream.queue.RangeDecoder

#: Units of a scale: so many to an octave; index 0 is a deviation parameter of 2**LEAST_OCTAVE.
SCALE_UNIT, LEAST_OCTAVE = 8, -4
#: Scale indices: 0 to 127, up to 2**12 steps.
SCALES = 128
#: Symbols lie between -LIMIT and LIMIT.
LIMIT = 2**15

_TOTAL = 2**22  # of the weights of a row, nearly
_ONE = 2**62  # a probability of 1, of the masses that weights are made of


class Precision(NamedTuple):
    """How finely means are told, and how many columns tables have.

    ``mean_unit``: so many to one step of the symbols. ``widths``: scales from which on a table has
    so many columns, half of them below the mean; the outer two hold all beyond too. ``unshifted``:
    below this scale bins are of one step; from it on they are doubled, and doubled again an octave
    later: low bits, then nearly uniform, go apart.
    """

    mean_unit: int
    widths: tuple[tuple[int, int], ...]
    unshifted: int

    def nearest(self, means: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """Return the nearest symbols."""
        return (means + self.mean_unit // 2) // self.mean_unit


#: Of the first files, and of weights still. Its doubled bins take 1.4 % more bits than they need.
COARSE = Precision(16, ((0, 16),), unshifted=36)
#: Of latents. 64 columns, for deviations of 1 to 4 steps, hold eight of them on each side.
FINE = Precision(64, ((0, 16), (32, 64)), unshifted=48)


@cache
def _tables(precision: Precision) -> list[Float[np.ndarray, "scales means columns"]]:
    """Return weights of the columns, whole numbers, by scale and fraction of the mean, by table."""
    ends = [first for first, _ in precision.widths[1:]] + [precision.unshifted]
    tables = []
    for (first, columns), end in zip(precision.widths, ends, strict=True):
        half, found = columns // 2, []
        # edges between the bins: how far from the mean, in its units
        mean = np.arange(precision.mean_unit)[:, None] + half * precision.mean_unit
        edges = np.arange(1, columns) * precision.mean_unit - mean
        for scale in range(first, end):
            beyond = _beyond(precision, scale, (half + 1) * precision.mean_unit)[np.abs(edges)]
            below = np.where(edges < 0, beyond, _ONE - beyond)
            found.append(np.diff(below, prepend=0, append=_ONE, axis=1))
        tables.append((np.array(found) // (_ONE // _TOTAL) + 1).astype(np.float64))
        tables[-1].flags.writeable = False
    return tables


def _beyond(precision: Precision, scale: int, count: int) -> Int[np.ndarray, " n"]:
    """Return the mass that lies beyond 0, 1, 2... units of a mean, on one side."""
    one = 2**96  # whole numbers of this many parts: the last digits of a sum do not matter
    with localcontext(Context(prec=30)):  # a caller's own may be anything
        parameter = Decimal(2) ** (Decimal(scale) / SCALE_UNIT + LEAST_OCTAVE)
        falls = int((-1 / (precision.mean_unit * parameter)).exp() * one)
    masses = [one // 2]
    for _ in range(count):
        masses.append(masses[-1] * falls // one)
    return np.array([mass // (one // _ONE) for mass in masses])


@cache
def _costs(precision: Precision) -> list[Float[np.ndarray, "scales means columns"]]:
    """Return the bits of the columns, by table."""
    return [np.log2(table.sum(-1, keepdims=True) / table) for table in _tables(precision)]


class _Split(NamedTuple):
    """Numbers of a run: nearest whole means, low bits to send apart, and their rows of tables."""

    nearest: Int[np.ndarray, " n"]
    shift: Int[np.ndarray, " n"]
    table: Int[np.ndarray, " n"]  # which one
    half: Int[np.ndarray, " n"]  # of its columns
    row: Int[np.ndarray, " n"]
    fraction: Int[np.ndarray, " n"]

    def by_table(self) -> Iterator[tuple[int, Bool[np.ndarray, " n"], Any]]:
        """Yield tables that are needed, which of the numbers are theirs, and in which rows."""
        for k in range(self.table.max(initial=-1) + 1):
            mask = self.table == k
            if mask.any():
                yield k, mask, (self.row[mask], self.fraction[mask])


def _split(
    precision: Precision, means: Int[np.ndarray, " n"], scales: Int[np.ndarray, " n"]
) -> _Split:
    """Return how numbers with these means and scales are coded."""
    nearest, unit = precision.nearest(means), precision.mean_unit
    shift = np.maximum((scales - precision.unshifted) // SCALE_UNIT + 1, 0)
    row = scales - shift * SCALE_UNIT
    firsts, columns = np.array(precision.widths).T
    table = np.searchsorted(firsts, row, side="right") - 1
    # of bins of 2**shift steps from the nearest whole mean up, the centre of bin 0 is half a bin
    # less half a step above it
    fraction = (2 * (means - nearest * unit) + unit) >> (shift + 1)
    return _Split(nearest, shift, table, columns[table] // 2, row - firsts[table], fraction)


_CATEGORICAL = _stream.model.Categorical(perfect=False)
_UNIFORM = _stream.model.Uniform()


def _uniform(coder, values, sizes):
    """Code values below ``sizes``; where the size is 1 there is nothing to code."""
    some = sizes > 1
    if not some.any():
        return np.zeros(len(sizes), np.int64)
    which = sizes[some].astype(np.int32)
    if values is not None:
        coder.encode(values[some].astype(np.int32), _UNIFORM, which)
        return values
    out = np.zeros(len(sizes), np.int64)
    out[some] = coder.decode(_UNIFORM, which)
    return out


def encode(
    precision: Precision,
    coder: Any,
    symbols: Int[np.ndarray, " n"],
    means: Int[np.ndarray, " n"],
    scales: Int[np.ndarray, " n"],
) -> None:
    """Append symbols to a stream; those beyond ``LIMIT`` are a ValueError.

    >>> coder = RangeEncoder()
    >>> means, scales = np.array([160, 0, -32]), np.array([30, 5, 127])
    >>> encode(FINE, coder, np.array([3, -700, 0]), means, scales)
    >>> words = coder.get_compressed()
    >>> decode(FINE, RangeDecoder(words), means, scales)
    array([   3, -700,    0])
    """
    if not len(symbols):
        return
    if np.abs(symbols).max() > LIMIT:
        msg = f"a symbol lies beyond {LIMIT:,}, the largest that is written"
        raise ValueError(msg)
    split = _split(precision, means, scales)
    off = symbols - split.nearest
    bins = off >> split.shift
    inner = np.clip(bins, -split.half, split.half - 1)
    columns = (inner + split.half).astype(np.int32)
    for k, mask, rows in split.by_table():
        coder.encode(columns[mask], _CATEGORICAL, _tables(precision)[k][rows])
    _uniform(coder, off & ((1 << split.shift) - 1), 1 << split.shift)
    far = (inner == -split.half) | (inner == split.half - 1)
    if far.any():
        beyond = np.abs(bins - inner)[far] + 1
        digits = np.frexp(beyond.astype(np.float64))[1] - 1
        _uniform(coder, digits, np.full(len(digits), 32))
        _uniform(coder, beyond - (1 << digits), 1 << digits)


def decode(
    precision: Precision,
    coder: Any,
    means: Int[np.ndarray, " n"],
    scales: Int[np.ndarray, " n"],
) -> Int[np.ndarray, " n"]:
    """Take as many symbols from a stream as there are means; see :func:`encode`.

    Raises:
        ValueError: The stream cannot come from the encoder: a symbol beyond ``LIMIT``.
    """
    if not len(means):
        return np.zeros(0, np.int64)
    split = _split(precision, means, scales)
    bins = -split.half
    for k, mask, rows in split.by_table():
        bins[mask] += coder.decode(_CATEGORICAL, _tables(precision)[k][rows])
    low = _uniform(coder, None, 1 << split.shift)
    far = (bins == -split.half) | (bins == split.half - 1)
    if far.any():
        digits = _uniform(coder, None, np.full(int(far.sum()), 32))
        if digits.max() > 17:
            msg = "a symbol is larger than any that is written"
            raise ValueError(msg)
        beyond = _uniform(coder, None, 1 << digits) + (1 << digits) - 1
        bins[far] += np.where(bins[far] < 0, -beyond, beyond)
    symbols = split.nearest + (bins << split.shift) + low
    if np.abs(symbols).max() > LIMIT:
        msg = "a symbol is larger than any that is written"
        raise ValueError(msg)
    return symbols


def bits(
    precision: Precision,
    symbols: Int[np.ndarray, " n"],
    means: Int[np.ndarray, " n"],
    scales: Int[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    """Return what each symbol costs, in bits, to a few thousandths.

    >>> float(bits(FINE, np.array([0]), np.array([0]), np.array([0]))[0].round(4))
    0.0005
    """
    split = _split(precision, means, scales)
    off = symbols - split.nearest
    bins = off >> split.shift
    inner = np.clip(bins, -split.half, split.half - 1)
    far = (inner == -split.half) | (inner == split.half - 1)
    digits = np.frexp((np.abs(bins - inner) + 1).astype(np.float64))[1] - 1
    cost = split.shift + np.where(far, 5.0 + digits, 0.0)
    columns = inner + split.half
    for k, mask, rows in split.by_table():
        cost[mask] += _costs(precision)[k][(*rows, columns[mask])]
    return cost


# --- numbers about 0, of which one scale is known: weights, and how they differ ----------------
def scale_of(steps: Int[np.ndarray, " n"]) -> int:
    """Return the scale index, of the even ones, that codes numbers about 0 in the fewest bits."""
    values, counts = np.unique(steps, return_counts=True)
    scales = np.arange(0, SCALES, 2)
    each = np.repeat(scales, values.size), np.tile(values, scales.size)
    costs = bits(COARSE, each[1], np.zeros(each[0].size, np.int64), each[0])
    return int(scales[np.argmin(costs.reshape(scales.size, values.size) @ counts)])


def bits_about_zero(steps: Int[np.ndarray, " n"]) -> float:
    """Return what numbers about 0 cost together, in bits, at the scale of :func:`scale_of`.

    >>> round(bits_about_zero(np.array([0, 1, -1, 0])))
    7
    """
    zeros, scales = np.zeros_like(steps), np.full(steps.size, scale_of(steps))
    return float(bits(COARSE, steps, zeros, scales).sum())


def encode_about_zero(coder: Any, steps: Int[np.ndarray, " n"], scale: int) -> None:
    """Append numbers about 0 to a stream."""
    encode(COARSE, coder, steps, np.zeros(steps.size, np.int64), np.full(steps.size, scale))


def decode_about_zero(coder: Any, count: int, scale: int) -> Int[np.ndarray, " n"]:
    """Take numbers about 0 from a stream; see :func:`decode`."""
    return decode(COARSE, coder, np.zeros(count, np.int64), np.full(count, scale))


def words_of(coder: Any) -> bytes:
    """Return what a stream came to; zeros at its end go without saying."""
    return np.asarray(coder.get_compressed(), "<u4").tobytes().rstrip(b"\0")


def decoder_of(data: bytes) -> Any:
    """Return what decodes the bytes of :func:`words_of`."""
    words = np.frombuffer(data + b"\0" * (-len(data) % 4), "<u4")
    return RangeDecoder(words.astype(np.uint32))
