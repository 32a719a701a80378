"""Whole numbers as a Laplace distribution expects them, coded from tables of integers.

Encoder and decoder must agree on every probability to the last bit, on any machine. So means
and deviations are whole numbers (sixteenths, and eighths of an octave), the tables come from
decimal arithmetic, which is the same everywhere, and nothing here depends on a libm.
"""

from decimal import Context, Decimal, localcontext
from functools import cache
from typing import Any

import constriction
import numpy as np
from jaxtyping import Float, Int

_stream = constriction.stream  # type: ignore[attr-defined]  # which declares no types
RangeEncoder, RangeDecoder = _stream.queue.RangeEncoder, _stream.queue.RangeDecoder

#: Units of a mean: so many to one step of the symbols.
MEAN_UNIT = 16
#: Units of a scale: so many to an octave; index 0 is a deviation parameter of 2**-4.
SCALE_UNIT = 8
#: Scale indices: 0 to 127, up to 2**12 steps.
SCALES = 128
#: Symbols lie between -LIMIT and LIMIT.
LIMIT = 2**15
#: Scale index 0 is 2**LEAST_OCTAVE.
LEAST_OCTAVE = -4

_COLUMNS = 16  # of a table: -8 to 7 about the mean, the outer two with all beyond
_HALF = _COLUMNS // 2
# Beyond this index bins are doubled, and doubled again an octave later: the table's sixteen
# columns then always reach four deviations or more, and low bits, nearly uniform, go apart.
_UNSHIFTED = SCALE_UNIT * -LEAST_OCTAVE + SCALE_UNIT // 2
_TOTAL = 2**22


@cache
def _tables() -> Float[np.ndarray, "scales means columns"]:
    """Return weights of the columns, whole numbers, by scale index and sixteenths of the mean."""
    half = Decimal(1) / 2
    tables = np.empty((_UNSHIFTED, MEAN_UNIT, _COLUMNS))
    with localcontext(Context(prec=30)):  # a caller's own may be anything
        for i in range(_UNSHIFTED):
            scale = Decimal(2) ** (Decimal(i) / SCALE_UNIT + LEAST_OCTAVE)
            unit = (-1 / (MEAN_UNIT * scale)).exp()
            # the mass beyond a distance of n sixteenths on one side
            beyond = [half]
            for _ in range((_HALF + 1) * MEAN_UNIT):
                beyond.append(beyond[-1] * unit)
            for j in range(MEAN_UNIT):
                # the edges between the bins, in sixteenths from the mean
                edges = [(q - _HALF) * MEAN_UNIT - j for q in range(1, _COLUMNS)]
                below = [beyond[-e] if e < 0 else 1 - beyond[e] for e in edges]
                masses = zip([0, *below], [*below, 1], strict=True)
                tables[i, j] = [int((high - low) * _TOTAL) + 1 for low, high in masses]
    tables.flags.writeable = False
    return tables


@cache
def _costs() -> Float[np.ndarray, "scales means columns"]:
    """Return the bits of the columns."""
    tables = _tables()
    return np.log2(tables.sum(-1, keepdims=True) / tables)


def _split(
    means: Int[np.ndarray, " n"], scales: Int[np.ndarray, " n"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return nearest whole means, low bits to send apart, and the rows of the tables."""
    nearest = (means + MEAN_UNIT // 2) // MEAN_UNIT
    shift = np.maximum((scales - _UNSHIFTED) // SCALE_UNIT + 1, 0)
    fraction = means - nearest * MEAN_UNIT  # -8 to 7
    # of bins of 2**shift steps from the nearest whole mean up, the centre of bin 0 is half a bin
    # less half a step above it
    fraction = np.where(
        shift == 0,
        fraction,
        ((2 * fraction + MEAN_UNIT) >> (shift + 1)) - MEAN_UNIT // 2,
    )
    return nearest, shift, scales - shift * SCALE_UNIT, fraction + MEAN_UNIT // 2


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
    coder: Any,
    symbols: Int[np.ndarray, " n"],
    means: Int[np.ndarray, " n"],
    scales: Int[np.ndarray, " n"],
) -> None:
    """Append symbols to a stream; those beyond ``LIMIT`` are a ValueError.

    >>> coder = RangeEncoder()
    >>> means, scales = np.array([40, 0, -8]), np.array([30, 5, 127])
    >>> encode(coder, np.array([3, -700, 0]), means, scales)
    >>> words = coder.get_compressed()
    >>> decode(RangeDecoder(words), means, scales)
    array([   3, -700,    0])
    """
    if not len(symbols):
        return
    if np.abs(symbols).max() > LIMIT:
        msg = f"a symbol lies beyond {LIMIT:,}, the largest that is written"
        raise ValueError(msg)
    nearest, shift, row, column = _split(means, scales)
    off = symbols - nearest
    bins = off >> shift
    inner = np.clip(bins, -_HALF, _HALF - 1)
    coder.encode((inner + _HALF).astype(np.int32), _CATEGORICAL, _tables()[row, column])
    _uniform(coder, off & ((1 << shift) - 1), 1 << shift)
    far = (inner == -_HALF) | (inner == _HALF - 1)
    if far.any():
        beyond = np.abs(bins - inner)[far] + 1
        digits = np.frexp(beyond.astype(np.float64))[1] - 1
        _uniform(coder, digits, np.full(len(digits), 32))
        _uniform(coder, beyond - (1 << digits), 1 << digits)


def decode(
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
    nearest, shift, row, column = _split(means, scales)
    bins = coder.decode(_CATEGORICAL, _tables()[row, column]).astype(np.int64) - _HALF
    low = _uniform(coder, None, 1 << shift)
    far = (bins == -_HALF) | (bins == _HALF - 1)
    if far.any():
        digits = _uniform(coder, None, np.full(int(far.sum()), 32))
        if digits.max() > 17:
            msg = "a symbol is larger than any that is written"
            raise ValueError(msg)
        beyond = _uniform(coder, None, 1 << digits) + (1 << digits) - 1
        bins[far] += np.where(bins[far] < 0, -beyond, beyond)
    symbols = nearest + (bins << shift) + low
    if np.abs(symbols).max() > LIMIT:
        msg = "a symbol is larger than any that is written"
        raise ValueError(msg)
    return symbols


def bits(
    symbols: Int[np.ndarray, " n"], means: Int[np.ndarray, " n"], scales: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Return what each symbol costs, in bits, to a few thousandths.

    >>> float(bits(np.array([0]), np.array([0]), np.array([0]))[0].round(4))
    0.0005
    """
    nearest, shift, row, column = _split(means, scales)
    off = symbols - nearest
    bins = off >> shift
    inner = np.clip(bins, -_HALF, _HALF - 1)
    cost = _costs()[row, column, inner + _HALF]
    far = (inner == -_HALF) | (inner == _HALF - 1)
    digits = np.frexp((np.abs(bins - inner) + 1).astype(np.float64))[1] - 1
    return cost + shift + np.where(far, 5 + digits, 0)


def scale_of(steps: Int[np.ndarray, " n"]) -> int:
    """Return the scale index, of the even ones, that codes numbers about 0 in the fewest bits."""
    values, counts = np.unique(steps, return_counts=True)
    means = np.zeros(values.size, np.int64)
    costs = [
        float(counts @ bits(values, means, np.full(values.size, scale)))
        for scale in range(0, SCALES, 2)
    ]
    return 2 * int(np.argmin(costs))


def bits_about_zero(steps: Int[np.ndarray, " n"]) -> float:
    """Return what numbers about 0 cost together, in bits, at the scale of :func:`scale_of`.

    >>> round(bits_about_zero(np.array([0, 1, -1, 0])))
    7
    """
    return float(bits(steps, np.zeros_like(steps), np.full(steps.size, scale_of(steps))).sum())


def words_of(coder: Any) -> bytes:
    """Return what a stream came to; zeros at its end go without saying."""
    return np.asarray(coder.get_compressed(), "<u4").tobytes().rstrip(b"\0")


def decoder_of(data: bytes) -> Any:
    """Return what decodes the bytes of :func:`words_of`."""
    words = np.frombuffer(data + b"\0" * (-len(data) % 4), "<u4")
    return RangeDecoder(words.astype(np.uint32))
