"""Whole-number probabilities: what is coded comes back, at the price that was foretold."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordnet import FormatError
from coordnet.codec import _chunk, _entropy, _laplace, _models
from coordnet.codec._pyramid import CHANNELS, LEVELS, shapes

SYMBOLS = st.lists(
    st.tuples(
        st.integers(-_laplace.LIMIT, _laplace.LIMIT),
        st.integers(-(2**19), 2**19),
        st.integers(0, _laplace.SCALES - 1),
    ),
    max_size=60,
)


def coded(symbols, means, scales):
    coder = _laplace.RangeEncoder()
    _laplace.encode(coder, symbols, means, scales)
    return coder.get_compressed()


@given(SYMBOLS)
def test_any_symbols_come_back(found):
    symbols, means, scales = np.array(found, np.int64).reshape(-1, 3).T
    words = coded(symbols, means, scales)
    decoder = _laplace.RangeDecoder(words)
    assert (_laplace.decode(decoder, means, scales) == symbols).all()


@pytest.mark.parametrize("scale", [0, 16, 32, 48, 70, 100])
def test_what_a_symbol_costs(scale):
    # of the distribution itself, with the C library's exp
    rng = np.random.default_rng(scale)
    b = 2.0 ** (scale / _laplace.SCALE_UNIT + _laplace.LEAST_OCTAVE)
    means = rng.integers(-80, 80, 20_000)
    x = np.rint(means / 16 + rng.laplace(scale=b, size=means.size)).astype(np.int64)
    off = np.abs(x - means / 16)

    def below(v):
        return 0.5 * np.exp(-v / b)

    mass = np.where(
        off < 0.5, 1 - below(0.5 - off) - below(off + 0.5), below(off - 0.5) - below(off + 0.5)
    )
    ideal = -np.log2(np.maximum(mass, 1e-300)).sum()
    scales = np.full(x.size, scale)
    told = _laplace.bits(x, means, scales).sum()
    real = 32 * len(coded(x, means, scales))
    assert abs(real - told) < 64 + 0.001 * told  # the coder's own precision, and its last words
    # 16 columns and doubled bins stand for a long tail; 200 bits of 20,000 symbols' are tables'
    assert told <= 1.03 * ideal + 200
    assert told >= 0.99 * ideal - 200


def test_tables_are_the_same_everywhere():
    # decimal arithmetic: this sum would change with any entry
    tables = _laplace._tables()
    assert hashlib.sha256(tables.astype("<i4").tobytes()).hexdigest()[:16] == TABLES
    assert tables.min() >= 1


TABLES = "27898c3106b64257"


def test_a_stream_of_no_encoder_is_refused():
    rng = np.random.default_rng(0)
    for _ in range(20):
        words = rng.integers(0, 2**32, 50, dtype=np.uint32)
        decoder = _laplace.RangeDecoder(words)
        try:
            found = _laplace.decode(decoder, np.zeros(500, np.int64), np.full(500, 127))
            assert np.abs(found).max() <= _laplace.LIMIT
        except (ValueError, AssertionError):
            pass


def test_magnitudes_are_rounded_logarithms():
    x = np.arange(_laplace.LIMIT + 1)
    assert (_entropy.magnitudes() == np.floor(16 * np.log2(1 + x) + 0.5)).all()


def random_latents(height, width, finest, spread=2.0, seed=0):
    rng = np.random.default_rng(seed)
    sizes = shapes(height, width, finest)
    return [np.rint(rng.laplace(scale=spread, size=s)).astype(np.int64) for s in sizes]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 70), (65, 2), (64, 64), (129, 31)])
@pytest.mark.parametrize("model", [2, 5])
def test_latents_of_any_size_come_back(height, width, model):
    latents = random_latents(height, width, _models.FINEST[model])
    body = _chunk.packed(_chunk.Pyramid(model, {}, latents))
    found = _chunk.unpacked(body, height, width)
    assert found.model == model
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


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"", "ends early"),
        (b"\x63", "networks 99"),
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
