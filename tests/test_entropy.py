"""Whole-number probabilities: what is coded comes back, at the price that was foretold."""

import hashlib
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordnet import FormatError
from coordnet.codec import _chunk, _entropy, _laplace, _models
from coordnet.codec._pyramid import CHANNELS, LEVELS, shapes

PRECISIONS = {"coarse": _laplace.COARSE, "fine": _laplace.FINE}
SYMBOLS = st.lists(
    st.tuples(
        st.integers(-_laplace.LIMIT, _laplace.LIMIT),
        st.integers(-(2**15), 2**15),  # of a mean, in whole symbols
        st.integers(0, 10**6),  # its fraction
        st.integers(0, 10**6),  # of the scales
    ),
    max_size=60,
)


def coded(precision, symbols, means, scales):
    coder = _laplace.RangeEncoder()
    _laplace.encode(precision, coder, symbols, means, scales)
    return coder.get_compressed()


@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=PRECISIONS)
@given(SYMBOLS)
def test_any_symbols_come_back(precision, found):
    symbols, whole, fractions, scales = np.array(found, np.int64).reshape(-1, 4).T
    means = np.clip(
        precision.mean_unit * whole + fractions % precision.mean_unit,
        *(precision.mean_unit * 2**15 * np.array([-1, 1])),
    )
    scales = scales % _laplace.SCALES
    words = coded(precision, symbols, means, scales)
    decoder = _laplace.RangeDecoder(words)
    assert (_laplace.decode(precision, decoder, means, scales) == symbols).all()


@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=PRECISIONS)
def test_nothing_costs_nothing(precision):
    none = np.zeros(0, np.int64)
    assert not len(coded(precision, none, none, none))
    assert _laplace.bits(precision, none, none, none).sum() == 0


@pytest.mark.parametrize("octave", [-4, -2, -1.5, -1, 0, 1, 1.5, 2, 4.75, 8.5])
@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=PRECISIONS)
def test_what_a_symbol_costs(precision, octave):
    # of the distribution itself, with the C library's exp
    scale = round((octave - _laplace.LEAST_OCTAVE) * _laplace.SCALE_UNIT)
    rng = np.random.default_rng(scale)
    b = 2.0**octave
    means = rng.integers(-5 * precision.mean_unit, 5 * precision.mean_unit, 20_000)
    x = np.rint(means / precision.mean_unit + rng.laplace(scale=b, size=means.size)).astype(
        np.int64
    )
    off = np.abs(x - means / precision.mean_unit)

    def below(v):
        return 0.5 * np.exp(-v / b)

    mass = np.where(
        off < 0.5, 1 - below(0.5 - off) - below(off + 0.5), below(off - 0.5) - below(off + 0.5)
    )
    ideal = -np.log2(np.maximum(mass, 1e-300)).sum()
    scales = np.full(x.size, scale)
    told = _laplace.bits(precision, x, means, scales).sum()
    real = 32 * len(coded(precision, x, means, scales))
    assert abs(real - told) < 64 + 0.001 * told  # the coder's own precision, and its last words
    # few columns and doubled bins stand for a long tail: at 4 steps the doubled ones take 0.2 %.
    # 200 bits of 20,000 symbols are what no weight below 1 costs where all are nearly certain
    most, least = {_laplace.COARSE: (1.03, 0.99), _laplace.FINE: (1.0025, 0.999)}[precision]
    assert told <= most * ideal + 200 * (octave < -2)
    assert told >= least * ideal - 200 * (octave < -2)


@pytest.mark.parametrize(
    ("precision", "expected"), [("coarse", "27898c3106b64257"), ("fine", "3925029d2ff62699")]
)
def test_tables_are_the_same_everywhere(precision, expected):
    # whole numbers: this sum would change with any entry
    tables = _laplace._tables(PRECISIONS[precision])
    flat = np.concatenate([table.ravel() for table in tables])
    assert hashlib.sha256(flat.astype("<i4").tobytes()).hexdigest()[:16] == expected
    assert flat.min() >= 1


def test_tables_are_those_of_the_specification():
    # docs/format.md, by floats: nowhere do they round otherwise
    precision = _laplace.FINE
    for first, columns, table in zip((0, 32), (16, 64), _laplace._tables(precision), strict=True):
        for row, fraction in itertools.product(range(len(table)), range(64)):
            b = 2.0 ** ((first + row) / 8 - 4)
            t = np.arange(1, columns) - columns // 2 - fraction / 64
            tail = np.exp(-np.abs(t) / b) / 2
            below = [0, *np.where(t < 0, tail, 1 - tail), 1]
            assert (table[row, fraction] == np.floor(np.diff(below) * 2**22) + 1).all()


@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=PRECISIONS)
def test_a_stream_of_no_encoder_is_refused(precision):
    rng = np.random.default_rng(0)
    for _ in range(20):
        words = rng.integers(0, 2**32, 50, dtype=np.uint32)
        decoder = _laplace.RangeDecoder(words)
        try:
            largest = np.full(500, _laplace.SCALES - 1)
            found = _laplace.decode(precision, decoder, np.zeros(500, np.int64), largest)
            assert np.abs(found).max() <= _laplace.LIMIT
        except (ValueError, AssertionError):
            pass


@pytest.mark.parametrize("unit", [16, 64])
def test_magnitudes_are_rounded_logarithms(unit):
    x = np.arange(_laplace.LIMIT + 1)
    assert (_entropy.magnitudes(unit) == np.floor(unit * np.log2(1 + x) + 0.5)).all()


def random_latents(height, width, finest, spread=2.0, seed=0):
    rng = np.random.default_rng(seed)
    sizes = shapes(height, width, finest)
    return [np.rint(rng.laplace(scale=spread, size=s)).astype(np.int64) for s in sizes]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 70), (65, 2), (64, 64), (129, 31)])
@pytest.mark.parametrize("model", [2, 5])
@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=PRECISIONS)
def test_latents_of_any_size_come_back(height, width, model, precision):
    latents = random_latents(height, width, _models.FINEST[model])
    body = _chunk.packed(_chunk.Pyramid(model, {}, latents, precision))
    found = _chunk.unpacked(body, height, width)
    assert (found.model, found.precision) == (model, precision)
    assert not found.deltas
    assert all((a == b).all() for a, b in zip(found.latents, latents, strict=True))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_networks_of_its_own_come_back(seed):
    rng = np.random.default_rng(seed)
    numbers = _models.kept(1)
    tensors = _chunk.tensors(numbers)
    deltas = {}
    for place in rng.choice(len(tensors), rng.integers(1, len(tensors)), replace=False):
        size = tensors[place][2].size
        steps = rng.integers(-40, 41, size)
        deltas[int(place)] = int(rng.integers(0, 12)), steps
    latents = random_latents(20, 30, 0, spread=0.5, seed=seed)
    found = _chunk.unpacked(_chunk.packed(_chunk.Pyramid(1, deltas, latents)), 20, 30)
    assert found.deltas.keys() == deltas.keys()
    for place, (log_step, steps) in deltas.items():
        assert found.deltas[place][0] == log_step
        assert (found.deltas[place][1] == steps).all()
    assert all((a == b).all() for a, b in zip(found.latents, latents, strict=True))


def test_what_differences_add_to_a_file():
    rng = np.random.default_rng(0)
    tensors = _chunk.tensors(_models.kept(2))
    deltas = {k: (9, rng.integers(-3, 4, tensors[k][2].size)) for k in (0, 14, 20)}
    nothing = [np.zeros(s, np.int64) for s in shapes(9, 9)]
    sizes = [len(_chunk.packed(_chunk.Pyramid(2, d, nothing))) for d in ({}, deltas)]
    # the latents cost otherwise with other networks, and words are of four bytes
    assert abs(_chunk.bytes_of_deltas(2, deltas) - (sizes[1] - sizes[0])) < 60


@pytest.mark.parametrize("name", ["inner", "middle", "middle_bias", "mean_outer", "scale_outer"])
def test_sums_beyond_whole_numbers_are_refused(name):
    net = _models.entropy_of(_models.kept(2), _laplace.FINE)
    _entropy.check_sums(net)
    wild = net._replace(**{name: getattr(net, name) + 2.0**53})
    with pytest.raises(FormatError, match="beyond"):
        _entropy.check_sums(wild)


def by_the_book(numbers, precision, latents, level, channel, row, column):
    """Mean and scale of a node as docs/format.md has it, one whole number after another."""
    cell = row // 2, column // 2
    p = [(0, 0), (1, 1), (0, 1), (1, 0)].index((row % 2, column % 2))

    def node(grid, c, y, x):
        c = min(c, len(grid) - 1)
        return int(grid[c, y, x]) if 0 <= y < grid.shape[1] and 0 <= x < grid.shape[2] else 0

    places = [(0, 0), (1, 1), (0, 1), (1, 0)]
    x = {}
    if level + 2 < len(latents):
        x[0] = node(latents[level + 2], channel, cell[0] // 2, cell[1] // 2)
    for d in range(2):
        for k, (a, b) in enumerate(places):
            if channel - 1 - d >= 0:
                own = latents[level]
                x[1 + 4 * d + k] = node(own, channel - 1 - d, 2 * cell[0] + a, 2 * cell[1] + b)
    for place in range(9):
        y, z = cell[0] + place // 3 - 1, cell[1] + place % 3 - 1
        x[9 + place] = node(latents[level + 1], channel, y, z)
        for q in range(1, p + 1):
            a, b = places[q - 1]
            x[9 + 9 * q + place] = node(latents[level], channel, 2 * y + a, 2 * z + b)
    j = sum(len(g) for g in latents[:level]) + channel
    n = {name: numbers[name] for name in numbers if name not in ("own", "passed")}
    m, shift = {"coarse": (1, 9), "fine": (4, 11)}[precision]
    size = {i: max(k for k in range(999) if not k or (1 + abs(v)) ** (32 * m) >= 2 ** (2 * k - 1))
            for i, v in x.items()}  # fmt: skip
    side = {i: s if x[i] > 0 else -s for i, s in size.items()}

    def rounded(v, shift):
        return (v + 2 ** (shift - 1)) >> shift

    u = [
        max(0, rounded(sum(int(n["inner"][p, 0, k, i]) * size[i] + int(n["inner"][p, 1, k, i])
            * side[i] for i in x) + m * int(n["inner_bias"][p, k, j]), 8))
        for k in range(24)
    ]  # fmt: skip
    v = [
        max(0, rounded(sum(int(n["middle"][p, k, i]) * u[i] for i in range(24))
            + m * int(n["middle_bias"][p, k]), 8))
        for k in range(24)
    ]  # fmt: skip
    mean = m * (sum(int(n["mean"][p, i]) * x[i] for i in x) + int(n["mean_bias"][p, j]))
    mean += sum(int(w) * one for w, one in zip(n["mean_outer"][p], v, strict=True))
    scale = sum(int(n["scale"][p, i]) * size[i] for i in x)
    scale += sum(int(w) * one for w, one in zip(n["scale_outer"][p], v, strict=True))
    scale += m * (int(n["scale_bias"][p, j]) + 4 * 2**12)
    return rounded(mean, 8), min(max(rounded(scale, shift), 0), 127)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_expectations_are_those_of_the_specification(precision):
    height, width = 21, 30
    latents = random_latents(height, width, 0, spread=3.0)
    numbers = _models.kept(2)
    net = _models.entropy_of(numbers, PRECISIONS[precision])
    found = {}

    def note(values, means, scales, place):
        found.setdefault(place, []).append((means, scales))
        return values

    _entropy.walk(net, [g.shape for g in latents], latents, note)
    last, m = len(latents) - 1, {"coarse": 1, "fine": 4}[precision]
    for c, ((means, scales),) in enumerate(found[last, c] for c in range(len(latents[-1]))):
        assert (means == m * numbers["top_mean"][c]).all()
        assert (scales == np.clip(numbers["top_octave"][c] + 32, 0, 127)).all()
    rng = np.random.default_rng(1)
    for level, grid in enumerate(latents[:-1]):
        channel = len(grid) - 1
        for k, (a, b) in enumerate([(0, 0), (1, 1), (0, 1), (1, 0)]):
            rows, columns = (
                len(range(s, n, 2)) for s, n in zip((a, b), grid.shape[1:], strict=True)
            )
            if not rows * columns:
                continue
            y, x = rng.integers(rows), rng.integers(columns)
            means, scales = found[level, channel][k]
            expected = by_the_book(
                numbers, precision, latents, level, channel, 2 * y + a, 2 * x + b
            )
            assert (means[y * columns + x], scales[y * columns + x]) == expected


def test_large_latents_are_coded_too():
    latents = random_latents(40, 40, 0, spread=3000.0)
    latents = [np.clip(v, -_laplace.LIMIT, _laplace.LIMIT) for v in latents]
    found = _chunk.unpacked(_chunk.packed(_chunk.Pyramid(0, {}, latents)), 40, 40)
    assert all((a == b).all() for a, b in zip(found.latents, latents, strict=True))


def test_differences_are_rounded_to_what_they_are_worth():
    # a cost of which two tensors' curvature is known: steps go with its root
    numbers = _models.kept(2)
    rng = np.random.default_rng(0)
    learnt = {
        name: [v + rng.normal(scale=300, size=v.shape).round() for v in value]
        if isinstance(value, list)
        else value + rng.normal(scale=300, size=value.shape).round()
        for name, value in numbers.items()
    }
    places = {name: k for k, (name, i, _) in enumerate(_chunk.tensors(numbers)) if i < 1}

    def cost(found):
        sharp = np.square(found["hidden"] - learnt["hidden"]).sum()
        flat = np.square(found["output"] - learnt["output"]).sum() / 64
        return float(sharp + flat)

    price = 2 * math.log(2) * 16**2 / 12  # for which 16 is the best step of the first
    deltas = _chunk.chosen(numbers, learnt, cost, price)
    assert deltas[places["hidden"]][0] == 4
    assert deltas[places["output"]][0] == 7
    assert places["past"] not in deltas or deltas[places["past"]][0] >= 8  # costs nothing


def test_single_differences_are_mended_where_that_pays():
    # errors of neighbours add up, so that rounding each by itself is not the best
    numbers = _models.kept(2)
    places = {name: k for k, (name, i, _) in enumerate(_chunk.tensors(numbers)) if i < 1}
    rng = np.random.default_rng(0)
    wanted = rng.normal(scale=3, size=numbers["hidden"].shape)
    wanted[0, 0], wanted[1, 1] = 5, 6
    first = np.rint(wanted)
    first[0, 0], first[1, 1] = 7, 4  # one to be smaller, one larger
    deltas = {
        places["hidden"]: (4, first.astype(np.int64).ravel()),
        places["output_bias"]: (6, np.array([1, 0, 0])),  # costs bits, and is of no use
    }
    asked = []

    def cost(found):
        asked.append(1)
        off = (found["hidden"] - numbers["hidden"]) / 2**4 - wanted
        return float(np.square(off).sum() + 0.1 * np.square(off.sum(1)).sum())

    def total(found):
        return cost(_chunk.changed(numbers, found)) + 1e-2 * 8 * _chunk.bytes_of_deltas(2, found)

    before = total(deltas)
    found = _chunk.refined(numbers, deltas, cost, 1e-2, 10_000)
    mended = found[places["hidden"]][1].reshape(first.shape)
    assert mended[0, 0] < 7
    assert mended[1, 1] > 4
    assert total(found) < before
    assert places["output_bias"] not in found
    assert deltas[places["output_bias"]][1].tolist() == [1, 0, 0]  # what was given stays
    # nothing pays any more, and that was found out before the trials were spent
    asked.clear()
    again = _chunk.refined(numbers, found, cost, 1e-2, 10_000)
    assert len(asked) == 1 + 2 * np.count_nonzero(mended)
    assert total(again) == total(found)
    asked.clear()
    few = _chunk.refined(numbers, deltas, cost, 1e-2, 40)
    assert len(asked) == 41
    assert total(found) < total(few) < before
    asked.clear()
    none = _chunk.refined(numbers, deltas, cost, 1e-2, 0)
    assert not asked
    assert none.keys() == deltas.keys()


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"", "ends early"),
        (b"\x3f", "networks 63"),
        (b"\x82" + b"\x40\x00", "steps of 2\\*\\*64"),
        (b"\x82" + b"\x01\xff", "scale 255"),
    ],
)
def test_what_is_no_chunk(body, match):
    with pytest.raises(FormatError, match=match):
        _chunk.unpacked(body, 8, 8)


def test_shipped_networks_fit_their_levels():
    for model, finest in enumerate(_models.FINEST):
        numbers = _models.kept(model)
        assert len(numbers["own"]) == LEVELS - finest
        assert numbers["mean_bias"].shape[1] == sum(CHANNELS[finest:-1])
        again = _models.whole(_models.floats(numbers))
        # float32 holds 24 bits of a weight: enough for all but the units of products
        for name, _, value in _chunk.tensors(numbers):
            part = next(v for n, _, v in _chunk.tensors(again) if n == name)
            if not isinstance(numbers[name], list):
                assert np.abs(part - value).max() <= np.abs(value).max() * 2.0**-23
