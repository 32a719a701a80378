"""The steps of a fit: what they cost, what they move, what they leave."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_fits import compilations, picture

from coordnet.codec import _chunk, _fitting, _latents, _models, _plane, _rate


def part(height=70, width=90, *, tuned=True):
    samples = np.rint(picture(height, width) * 255).astype(np.uint8)
    return _plane.Part(samples, 2, tuned=tuned)


def test_a_pass_compiles_nothing_that_was_not_compiled_before():
    one = part()
    with compilations() as count:
        state = one.state
        for k in range(2):
            now = _latents.pace(0.1 * k, 1e-3)
            key = jax.random.key(k)
            state = _latents.make_pass(state, one.grids, now, key, np.random.default_rng(0))
        _latents.cost(state.params, one.grids)
    # keys are folded by small programs of their own; a pass or a cost would be one of many seconds
    assert count[0] <= 4


def test_only_what_is_tuned_moves():
    one = part()
    before = one.state
    after = before
    for k in range(24):  # the first steps only gather moments
        now = _latents.pace(0.1, 1e-3)
        after = _latents.make_pass(
            after, one.grids, now, jax.random.key(k), np.random.default_rng(k)
        )
    assert after.fixed is before.fixed
    assert set(after.tuned) == set(_chunk.TUNED)
    for old, new in zip(jax.tree.leaves(before.tuned), jax.tree.leaves(after.tuned), strict=True):
        assert np.isfinite(new).all()
        assert (np.asarray(old) != new).any()


def test_a_pass_sums_the_gradients_of_all_windows(monkeypatch):
    # however many windows a call takes: five are no whole calls of four
    found = {}
    for at_once in (1, 4):
        monkeypatch.setattr(_latents, "AT_ONCE", at_once)
        one = part(128, 640)
        now, rng = _latents.pace(0.1, 1e-3), np.random.default_rng(0)
        _latents.make_pass(one.state, one.grids, now, jax.random.key(0), rng)
        found[at_once] = one.grids.slopes
    for a, b in zip(found[1], found[4], strict=True):
        assert np.abs(a).max() > 0
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(a).max())


def test_differences_that_cost_bits_stay_smaller():
    off = {}
    for bit in (0.0, 1e-6, 1e-5):
        params = jax.tree.map(jnp.asarray, _models.floats(_models.kept(2)))
        state = _latents.nets(params, ["past"])
        rng = np.random.default_rng(0)
        for k in range(400):  # gradients that say nothing
            own = {"past": rng.normal(scale=1e-3, size=params["past"].shape)}
            state = _latents._moved(state, [own], 1, _latents.pace(k / 400, 1e-3), bit)
        off[bit] = np.abs(state.tuned["past"] - np.asarray(params["past"])).mean()
    # 0.108, 0.082 and 0.000003 when this was written
    assert off[1e-5] < 0.1 * off[1e-6] < 0.09 * off[0.0]


def test_a_gradient_of_nothing_moves_nothing():
    params = jax.tree.map(jnp.asarray, _models.floats(_models.kept(2)))
    state = _latents.nets(params, ["past"])
    for _ in range(30):
        own = {"past": np.zeros(params["past"].shape)}
        state = _latents._moved(state, [own], 100, _latents.pace(0.0, 1e-3), 1e-8)
    np.testing.assert_array_equal(state.tuned["past"], params["past"])


def test_latents_answer_to_a_price_bit_by_bit():
    price = _rate.Price(1e-3)
    price.now = 4e-3
    price.passed(0.0)
    assert price.felt == 1e-3
    for _ in range(10):
        price.passed(0.065)
    # about half of the way, in octaves
    assert price.felt == pytest.approx(2e-3, rel=0.03)
    together = 1e-3 * 4 ** _rate.answered(0.65)
    assert price.felt == pytest.approx(together, rel=1e-9)


def test_a_price_is_a_number_of_pythons():
    # NumPy's are typed strongly: the passes of a fit would be compiled again
    price = _rate.Price(np.float64(1e-3))
    assert type(price.now) is float
    target = _rate.Target(psnr=float(np.float64(30.0)))
    assert type(_rate.controlled(price.felt, target, 1.0, 31.0, 1.0)) is float


@pytest.mark.parametrize("windows", [4, 60, 400])
def test_every_fit_looks_at_its_size(windows, monkeypatch):
    looked = []
    monkeypatch.setattr(_fitting, "_pass", lambda *_: windows)
    monkeypatch.setattr(_fitting, "_look", lambda *_: looked.append(1) or (1000.0, 30.0))
    one = part()
    monkeypatch.setattr(one, "foresee", lambda _: None)
    places = np.zeros((windows, 2), int)
    monkeypatch.setattr(one.grids, "places", lambda: places)
    target, price = _rate.Target(size=1000), _rate.Price(1e-3)
    steps = max(1500, 6 * windows)
    assert _fitting._fitted([one], target, price, steps, 0, _fitting.Bar(), True)
    assert looked


def test_what_differences_take_is_foreseen_once():
    one = part()
    before = one.nets_bytes
    one.state.tuned["past"] = np.asarray(one.state.tuned["past"]) + np.float32(0.05)
    one.foresee(1e-3)
    assert one.foreseen
    assert 0 < one.nets_bytes != before
    kept = one.nets_bytes
    one.state.tuned["past"] = one.state.tuned["past"] * 2
    one.foresee(1e-3)
    assert one.nets_bytes == kept
    still = part(tuned=False)
    still.foresee(1e-3)
    assert still.nets_bytes == 0


def test_single_weights_are_mended_when_a_fit_is_long():
    whole = {}
    for trials in (0, 60):
        one = part()
        rng = np.random.default_rng(0)
        for name in ("hidden", "past"):
            learnt = np.asarray(one.state.tuned[name])
            noise = rng.normal(scale=0.1 * learnt.std(), size=learnt.shape)
            one.state.tuned[name] = (learnt + noise).astype(np.float32)
        one.settle(1e-3, trials)
        error, bits = _latents.cost(one.state.params, one.grids)
        spent = 8 * _chunk.bytes_of_deltas(2, one.deltas) / (70 * 90)
        whole[trials] = error + 1e-3 * (bits.sum() + spent)
        # what is painted is what a file will hold
        kept = _models.floats(_chunk.changed(one.numbers, one.deltas))
        assert (np.asarray(one.state.params["hidden"]) == kept["hidden"]).all()
    assert whole[60] < 0.96 * whole[0]  # 0.92 as measured: compilers differ


@pytest.mark.parametrize(("steps", "long"), [(4000, True), (3999, False)])
def test_the_pace_of_a_long_fit(steps, long, monkeypatch):
    # two parts of two windows: a thousand passes are 4000 steps
    paces = []
    monkeypatch.setattr(_fitting, "_pass", lambda _, now, *__: paces.append(now) or 4)
    monkeypatch.setattr(_fitting, "_look", lambda *_: (1000.0, 30.0))
    parts, price = [part(tuned=False), part(tuned=False)], _rate.Price(1e-3)
    for one in parts:
        monkeypatch.setattr(one.grids, "places", lambda: np.zeros((2, 2), int))
    target = _rate.Target(price=1e-3)
    assert _fitting._fitted(parts, target, price, steps, 0, _fitting.Bar(), True)
    assert paces[0].rate == pytest.approx(0.12 if long else 0.08)
    assert paces[0].nets == pytest.approx(0.03)
    again = _fitting._again(parts, steps)
    assert len(again) == 60
    assert again[0] == (0.7 if long else 0.5)
    assert again[-1] == pytest.approx(1, abs=0.01)
    assert _fitting._trials(parts, steps) == (300 if long else 0)  # 0.3 of 4000, of 4 windows
    tried = []
    for one in parts:
        monkeypatch.setattr(one, "settle", lambda _, trials: tried.append(trials))
        monkeypatch.setattr(one, "weigh", lambda: None)
    assert _fitting._come_to(parts, target, price, steps, 0) == 0.0
    assert tried == ([300, 300] if long else [0, 0])


@pytest.mark.parametrize("passes", [10, 75, 600])
def test_sizes_come_to_a_target_however_many_passes_there_are(passes, monkeypatch):
    # latents that answer to prices as the model has it, in parts of passes at a part of the pace
    one, price = part(tuned=False), _rate.Price(1e-3)
    felt, rounds = [1.4e-3], []

    def more(_, price, again, *__):
        rounds.append(price.now)
        for done in again:
            rate = _latents.pace(done, 1.0).rate
            felt[0] *= (price.now / felt[0]) ** _rate.answered(rate)
            price.passed(rate)

    def coded(_):
        return bytes(round(5000 * (felt[0] / 1e-3) ** -0.6)), []

    monkeypatch.setattr(_fitting, "_more", more)
    monkeypatch.setattr(_fitting, "_again", lambda *_: list(np.linspace(0.7, 1, passes)))
    monkeypatch.setattr(one, "coded", coded)
    monkeypatch.setattr(one, "weigh", lambda: None)
    price.felt = price.now = felt[0]
    target = _rate.Target(size=5000)
    assert _fitting._come_to([one], target, price, 24_000, 0) == 0.0
    assert 0.97 * 5000 <= len(coded(0)[0]) <= 5000
    assert len(rounds) <= 4


def test_less_and_less_is_still_to_go():
    found = [_rate.still_to_go(done, 91) for done in np.linspace(0, 1, 9)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == 0
    assert _rate.still_to_go(0.25, 1000) < _rate.still_to_go(0.25, 91)


def test_a_price_goes_where_the_target_is():
    size, psnr = _rate.Target(size=1000), _rate.Target(psnr=30.0)
    assert _rate.controlled(1e-3, size, 1200, 0) > 1e-3 > _rate.controlled(1e-3, size, 800, 0)
    assert _rate.controlled(1e-3, psnr, 0, 31) > 1e-3 > _rate.controlled(1e-3, psnr, 0, 29)
    assert _rate.controlled(1e-3, size, 1000, 0) == pytest.approx(1e-3)
    once, thrice = (_rate.controlled(1e-3, size, 1100, 0, push) for push in (1.0, 3.0))
    assert (thrice / 1e-3) == pytest.approx((once / 1e-3) ** 3)
    assert _rate.controlled(1e-3, _rate.Target(price=5e-4), 9, 9) == 1e-3
