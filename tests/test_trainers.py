"""Trainers: iRprop- against PyTorch's and by hand, averages against formulas."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from small_fits import Mine, as_users_run_it, picture

import coordnet as cn
from coordnet import CoordNet, Spec
from coordnet._problem import Full, make_problem
from coordnet.trainers import (
    Gradient,
    adam,
    as_trainer,
    muon,
    per_fan_in,
    rprop,
    scale_by_quickprop,
    scale_by_rprop,
    scale_by_sarprop,
)

# --- iRprop- ---------------------------------------------------------------------------------
# Recorded with torch 2.13.0 (CPU), which the suite does not need:
#
#   p = torch.tensor([1.0, -1.0, 0.5, 0.0, 2.0], requires_grad=True)
#   rule = torch.optim.Rprop([p], lr=lr, etas=(shrink, grow), step_sizes=(smallest, largest))
#   for g in GRADIENTS: p.grad = torch.tensor(g); rule.step(); print(p.detach().tolist())
GRADIENTS = [
    [1.0, -2.0, 0.5, 0.0, 3.0],
    [0.5, -1.0, -0.5, 1.0, 2.0],
    [0.25, 1.0, -0.25, 1.0, 1.0],
    [-0.5, 2.0, 0.25, -1.0, 0.0],
    [-1.0, -1.0, 0.5, -2.0, -1.0],
    [-1.0, -3.0, 0.5, -2.0, -1.0],
    [-1.0, -3.0, -0.5, 2.0, 1.0],
    [2.0, -1.0, -0.5, 2.0, 1.0],
]
START = [1.0, -1.0, 0.5, 0.0, 2.0]
TORCH = {
    # lr, shrink, grow, smallest, largest
    (0.1, 0.5, 1.2, 1e-6, 50.0): [
        [0.8999999761581421, -0.8999999761581421, 0.4000000059604645, 0.0, 1.899999976158142],
        [0.7799999713897705, -0.7799999713897705, 0.4000000059604645, -0.10000000149011612,
         1.7799999713897705],
        [0.6359999775886536, -0.7799999713897705, 0.45000001788139343, -0.2199999988079071,
         1.6359999179840088],
        [0.6359999775886536, -0.8399999737739563, 0.45000001788139343, -0.2199999988079071,
         1.6359999179840088],
        [0.7080000042915344, -0.8399999737739563, 0.42500001192092896, -0.1599999964237213,
         1.7799999713897705],
        [0.7944000363349915, -0.809999942779541, 0.39500001072883606, -0.08799999207258224,
         1.9528000354766846],
        [0.898080050945282, -0.7739999294281006, 0.39500001072883606, -0.08799999207258224,
         1.9528000354766846],
        [0.898080050945282, -0.7307999134063721, 0.4100000262260437, -0.12399999797344208,
         1.8664000034332275],
    ],
    (0.01, 0.5, 1.2, 1e-6, 50.0): [
        [0.9900000095367432, -0.9900000095367432, 0.49000000953674316, 0.0, 1.9900000095367432],
        [0.9779999852180481, -0.9779999852180481, 0.49000000953674316, -0.009999999776482582,
         1.9780000448226929],
        [0.9635999798774719, -0.9779999852180481, 0.4950000047683716, -0.02199999988079071,
         1.9636000394821167],
        [0.9635999798774719, -0.9839999675750732, 0.4950000047683716, -0.02199999988079071,
         1.9636000394821167],
        [0.97079998254776, -0.9839999675750732, 0.4925000071525574, -0.01599999889731407,
         1.9780000448226929],
        [0.9794399738311768, -0.9809999465942383, 0.4895000159740448, -0.008799998089671135,
         1.9952800273895264],
        [0.9898079633712769, -0.9773999452590942, 0.4895000159740448, -0.008799998089671135,
         1.9952800273895264],
        [0.9898079633712769, -0.9730799198150635, 0.4910000264644623, -0.012399998493492603,
         1.9866399765014648],
    ],
    # steps that meet both of their bounds
    (0.1, 0.3, 2.0, 0.05, 0.3): [
        [0.8999999761581421, -0.8999999761581421, 0.4000000059604645, 0.0, 1.899999976158142],
        [0.699999988079071, -0.699999988079071, 0.4000000059604645, -0.10000000149011612,
         1.6999999284744263],
        [0.3999999761581421, -0.699999988079071, 0.45000001788139343, -0.30000001192092896,
         1.3999998569488525],
        [0.3999999761581421, -0.7599999904632568, 0.45000001788139343, -0.30000001192092896,
         1.3999998569488525],
        [0.4899999797344208, -0.7599999904632568, 0.4000000059604645, -0.24000000953674316,
         1.6999998092651367],
        [0.6699999570846558, -0.7099999785423279, 0.30000001192092896, -0.12000000476837158,
         1.999999761581421],
        [0.9699999690055847, -0.60999995470047, 0.30000001192092896, -0.12000000476837158,
         1.999999761581421],
        [0.9699999690055847, -0.4099999666213989, 0.3500000238418579, -0.17000000178813934,
         1.9099997282028198],
    ],
}  # fmt: skip


def walk(rule, start, gradients):
    """The weights after each update."""
    params = jnp.asarray(start, jnp.float32)
    state = rule.init(params)
    for g in gradients:
        updates, state = rule.update(jnp.asarray(g, jnp.float32), state, params)
        params = optax.apply_updates(params, updates)
        yield np.asarray(params)


@pytest.mark.parametrize("options", TORCH, ids=str)
def test_irprop_is_that_of_torch_step_for_step(options):
    size, shrink, grow, smallest, largest = options
    rule = scale_by_rprop(
        "irprop-", size, shrink=shrink, grow=grow, smallest=smallest, largest=largest
    )
    # both in float32: the last digit may fall otherwise where a product is fused with a sum
    np.testing.assert_allclose(
        list(walk(rule, START, GRADIENTS)), TORCH[options], atol=3e-7, rtol=0
    )


def test_the_defaults_are_those_of_torch():
    shown = list(walk(scale_by_rprop(), START, GRADIENTS))
    np.testing.assert_allclose(shown, TORCH[0.01, 0.5, 1.2, 1e-6, 50.0], atol=3e-7, rtol=0)


SIGNS = [1.0, 1.0, 1.0, -1.0, -1.0, -1.0]
# grows by 1.2 while the sign stays; rests where it changed; goes on with half, unchanged
BY_HAND = [-0.1, -0.12, -0.144, 0.0, 0.072, 0.0864]


def moves(rule):
    shown = np.array([0.0, *walk(rule, 0.0, SIGNS)], np.float64)
    return np.diff(shown)


def test_irprop_by_hand():
    np.testing.assert_allclose(
        moves(scale_by_rprop("irprop-", 0.1)), BY_HAND, atol=1e-7
    )  # float32 sums


# the same signs for the other variants, a step of 0.1 halved to 0.072 where the sign changes
VARIANTS = {
    # takes the shrunk step at once, and grows again at the next
    "rprop-": [-0.1, -0.12, -0.144, 0.072, 0.0864, 0.10368],
    # takes the last move back, then goes on with half, unchanged
    "rprop+": [-0.1, -0.12, -0.144, 0.144, 0.072, 0.0864],
    "irprop-": BY_HAND,
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_by_hand(variant):
    expected = VARIANTS[variant]
    np.testing.assert_allclose(moves(scale_by_rprop(variant, 0.1)), expected, atol=1e-7)


def updated(rule: Any, *arguments: Any, **more: Any) -> tuple[Any, Any]:
    return rule.update(*arguments, **more)


@pytest.mark.parametrize(("loss", "fourth"), [(2.0, 0.144), (0.5, 0.0)])
def test_irprop_plus_goes_back_only_where_the_loss_rose(loss, fourth):
    rule = scale_by_rprop("irprop+", 0.1)
    state = rule.init(jnp.zeros(()))
    made = []
    for sign, value in zip(SIGNS, [1.0, 1.0, 1.0, loss, loss, loss], strict=True):
        move, state = updated(rule, jnp.float32(sign), state, value=jnp.float32(value))
        made.append(float(move))
    np.testing.assert_allclose(made, [*BY_HAND[:3], fourth, *BY_HAND[4:]], atol=1e-7)


def test_irprop_plus_asks_for_the_loss():
    rule = scale_by_rprop("irprop+")
    with pytest.raises(ValueError, match="value=loss"):
        updated(rule, jnp.zeros(()), rule.init(jnp.zeros(())))


def test_an_unknown_variant():
    with as_users_run_it(), pytest.raises(ValueError, match="one of irprop-, irprop"):
        scale_by_rprop("irprop")  # type: ignore[arg-type]


def fann(gradients, size=0.1, grow=1.2, shrink=0.5, smallest=1e-4, largest=50.0):
    """The moves of FANN 2.2's iRprop- (fann_train.c), whose slopes are minus the gradient."""
    step, slope_before, made = size, 0.0, []
    for g in gradients:
        slope = -g
        step = max(step, smallest)
        if slope_before * slope >= 0:
            step = min(step * grow, largest)
        else:
            step, slope = max(step * shrink, 0.0), 0.0
        # a slope of 0 takes the second branch: upward, wherever down is
        made.append(-step if slope < 0 else step)
        slope_before = slope
    return made


def test_fann_moves_upward_where_a_sign_changes():
    # and grows on a product of 0, so that its steps are one growth ahead from the first on
    theirs = fann(SIGNS)
    np.testing.assert_allclose(theirs[:3], [-0.12, -0.144, -0.1728])
    assert theirs[3] == pytest.approx(0.0864)  # ours rests here: 0
    downward = fann([-s for s in SIGNS])
    assert downward[3] == pytest.approx(0.0864)  # upward again, from the other side
    assert moves(scale_by_rprop("irprop-", 0.1))[3] == 0


def test_sarprop_decays_weights_and_its_noise_fades():
    # without a gradient the decay alone has a sign: towards 0
    rule = scale_by_sarprop(0.1)
    state = rule.init(jnp.zeros(2))
    move, state = updated(rule, jnp.zeros(2), state, jnp.array([3.0, -3.0]), value=1.0)
    np.testing.assert_allclose(move, [-0.1, 0.1], atol=1e-7)
    # where the sign changes a small step is halved, and noise of at most 3 x 1 x cold^2 added
    rule = scale_by_sarprop(0.01, decay=0.0, temperature=0.015)
    state = rule.init(jnp.zeros(1000))
    _, state = updated(rule, jnp.ones(1000), state, jnp.zeros(1000), value=1.0)
    _, late = updated(rule, -jnp.ones(1000), state, jnp.zeros(1000), value=1.0)
    added = np.asarray(late.sizes) - 0.005
    cold = 2.0 ** (-0.015 * 1)
    assert added.min() >= 0
    assert 0.9 * 3 * cold**2 < added.max() < 3 * cold**2
    cooled = state._replace(steps=jnp.int32(1000))
    _, late = updated(rule, -jnp.ones(1000), cooled, jnp.zeros(1000), value=1.0)
    np.testing.assert_allclose(late.sizes, 0.005, atol=1e-7)


def test_quickprop_jumps_to_the_bottom_of_a_parabola():
    # slope 2 (w - 3): from 0 a gradient step of 0.1 * 6 to 0.6, where the slope is -4.8; the
    # parabola's bottom is 0.6 * 4.8 / (6 - 4.8) = 2.4 away, more than 1.75 times the last move
    rule = scale_by_quickprop(0.1)
    state = rule.init(jnp.zeros(()))
    w, slopes = jnp.zeros(()), []
    for _ in range(12):
        slope = 2 * (w - 3)
        slopes.append(float(slope))
        move, state = updated(rule, slope, state)
        w = w + move
    first = 0.6
    second = 1.75 * 0.6 + 0.1 * 4.8
    assert slopes[:3] == pytest.approx([-6, 2 * (first - 3), 2 * (first + second - 3)], rel=1e-5)
    assert float(w) == pytest.approx(3.0, abs=1e-4)


def test_optax_rprop_is_a_step_late():
    # why ours is written here. Should this fail, optax has mended it (its issue 1725)
    if optax.__version__ != "0.2.8":
        pytest.skip(f"a statement about optax 0.2.8, this is {optax.__version__}")
    theirs = moves(optax.rprop(0.1))
    assert theirs[0] == 0
    np.testing.assert_allclose(theirs[1:3], BY_HAND[:2], atol=1e-7)
    assert np.abs(theirs - BY_HAND).max() > 0.05


def test_irprop_sees_signs_alone_and_moves_each_weight_by_itself():
    tree = {"a": jnp.zeros((2, 2)), "b": [jnp.zeros(3), jnp.zeros(())]}
    rule = scale_by_rprop("irprop-", 0.1)
    large, _ = rule.update(jax.tree.map(lambda v: v + 1e20, tree), rule.init(tree))
    small, _ = rule.update(jax.tree.map(lambda v: v + 1e-10, tree), rule.init(tree))
    assert jax.tree.structure(large) == jax.tree.structure(tree)
    for a, b in zip(jax.tree.leaves(large), jax.tree.leaves(small), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, np.float32(-0.1))


def test_rprop_asks_for_the_whole_picture():
    assert rprop().sampling == "full"
    assert rprop() is rprop()
    assert rprop(0.1) is not rprop()
    assert rprop(0.1, grow=1.3) == rprop(0.1, grow=1.3)


# --- Gradient ---------------------------------------------------------------------------------
@dataclasses.dataclass(frozen=True)
class Bowl:
    """A problem whose loss is half the squared distance to a point; it notes the keys it saw."""

    middle: float = 3.0
    keys: list = dataclasses.field(default_factory=list)

    def loss_of(self, params, key):
        return 0.5 * jnp.sum(jnp.square(params - self.middle))

    def value_and_grad(self, params, key):
        self.keys.append(key)
        return jax.value_and_grad(self.loss_of)(params, key)


def run(trainer, params, steps, problem=None):
    """The weights that move and those that are shown, after each step."""
    problem = problem or Bowl()
    params = jnp.asarray(params, jnp.float32)
    state = trainer.init(params, jax.random.key(0))
    for _ in range(steps):
        state, params, info = trainer.step(state, params, problem)
        yield np.asarray(params), np.asarray(trainer.shown(state, params)), float(info["loss"])


def test_gradient_descent_by_hand():
    # each step goes a tenth of the way to 3: 3 - 3 * 0.9^t; the loss is that before the step
    rows = list(run(Gradient(optax.sgd(0.1)), [0.0], 5))
    for t, (moved, shown, loss) in enumerate(rows, start=1):
        np.testing.assert_allclose(moved, 3 - 3 * 0.9**t, rtol=1e-6)  # float32
        np.testing.assert_array_equal(moved, shown)
        assert loss == pytest.approx(0.5 * (3 * 0.9 ** (t - 1)) ** 2, rel=1e-6)


@pytest.mark.parametrize("average", [1.0, 8.0, 16.0])
def test_averages_by_formula(average):
    # Shamir and Zhang 2013, eq. 4: shown_t = (1 - w) shown_(t-1) + w x_t, w = (a + 1)/(a + t)
    rows = list(run(Gradient(optax.sgd(0.1), average=average), [0.0, 5.0], 12))
    expected = np.zeros(2)
    for t, (moved, shown, _) in enumerate(rows, start=1):
        np.testing.assert_allclose(moved, 3 + (np.array([0, 5.0]) - 3) * 0.9**t, rtol=1e-5)
        weight = (average + 1) / (average + t)
        expected = (1 - weight) * expected + weight * moved
        np.testing.assert_allclose(shown, expected, rtol=1e-5)  # float32
    # the first step forgets the start
    np.testing.assert_allclose(rows[0][1], rows[0][0], rtol=1e-6)
    assert np.abs(rows[-1][1] - rows[-1][0]).max() > 0.05


def test_the_average_does_not_touch_what_moves():
    plain = [moved for moved, *_ in run(Gradient(optax.adam(0.1)), [0.0], 6)]
    averaged = [moved for moved, *_ in run(Gradient(optax.adam(0.1), average=4.0), [0.0], 6)]
    np.testing.assert_array_equal(plain, averaged)


def test_every_step_draws_with_another_key():
    problem = Bowl()
    list(run(Gradient(optax.sgd(0.1)), [0.0], 5, problem))
    assert len({tuple(np.asarray(jax.random.key_data(k)).tolist()) for k in problem.keys}) == 5


@pytest.mark.parametrize("wrap", [lambda rule: rule, lambda r: optax.chain(optax.clip(10.0), r)])
def test_schedule_free_weights_are_read_through_their_own_formula(wrap):
    # Defazio et al. 2024: gradients are taken at y = (1 - b1) z + b1 x, and x is to be looked at
    rule = optax.contrib.schedule_free_sgd(0.2, b1=0.9)
    trainer = Gradient(wrap(rule))
    params = jnp.zeros(1)
    state = trainer.init(params, jax.random.key(0))
    z = x = y = 0.0
    for t in range(1, 15):
        state, params, _ = trainer.step(state, params, Bowl())
        z -= 0.2 * (y - 3)
        x += (z - x) / t
        y = 0.1 * z + 0.9 * x
        np.testing.assert_allclose(params, y, rtol=1e-4)  # float32, x divided by b1 in between
        np.testing.assert_allclose(trainer.shown(state, params), x, rtol=1e-4)
    assert abs(x - y) > 0.01


def test_line_searches_get_what_they_ask_for():
    # L-BFGS takes value, gradient and value_fn; of a quadratic it finds the bottom at once
    trainer = Gradient(optax.lbfgs())
    params = jnp.array([0.0, 7.0])
    state = trainer.init(params, jax.random.key(0))
    step = jax.jit(lambda state, params: trainer.step(state, params, Bowl()))
    for _ in range(4):
        state, params, _ = step(state, params)
    np.testing.assert_allclose(params, 3.0, atol=1e-4)


# --- adam -------------------------------------------------------------------------------------
def test_adam_is_made_once_and_hashable():
    assert adam(1e-3) is adam(1e-3)
    assert adam(1e-3, warmup=5, per_layer=True) is adam(1e-3, warmup=5, per_layer=True)
    assert adam(1e-3) is not adam(1e-2)
    assert adam(1e-3) != adam(1e-3, average=0.0)
    assert len({adam(1e-3), adam(1e-3), adam(1e-2), rprop(), rprop()}) == 3
    # two calls of optax make two trainers: compiled twice, and never mistaken for one another
    assert Gradient(optax.sgd(0.1)) != Gradient(optax.sgd(0.1))
    rule = optax.sgd(0.1)
    assert hash(Gradient(rule)) == hash(Gradient(rule))


def test_adam_by_hand():
    # Kingma and Ba 2015, algorithm 1
    m = v = x = 0.0
    for t, (moved, _, _) in enumerate(run(adam(0.1, b1=0.8, b2=0.95, average=0.0), [0.0], 8), 1):
        g = x - 3
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
        x -= 0.1 * (m / (1 - 0.8**t)) / np.sqrt(v / (1 - 0.95**t))
        np.testing.assert_allclose(moved, x, rtol=1e-5)  # float32


def test_adam_warms_up():
    # while the gradient is constant, Adam's step is the rate: 0, 1/4, 1/2, 3/4, 1, 1 of it
    class Slope(Bowl):
        def value_and_grad(self, params, key):
            return jnp.zeros(()), jnp.ones_like(params)

    rows = run(adam(0.1, warmup=4, average=0.0), [0.0], 6, Slope())
    shown = np.diff([0.0, *(float(moved[0]) for moved, *_ in rows)])
    np.testing.assert_allclose(shown, [0, -0.025, -0.05, -0.075, -0.1, -0.1], atol=1e-6)


# --- rates by fan-in --------------------------------------------------------------------------
def test_rates_by_fan_in_of_a_network():
    spec = Spec(encoding="grid(levels=(4,9),table=64)", width=8, depth=2, activation="leaky_relu")
    params = nnx.split(CoordNet(spec), nnx.Param, ...)[1]
    ones = jax.tree.map(jnp.ones_like, params)
    rule = per_fan_in()
    scaled, _ = rule.update(ones, rule.init(ones))
    factors = {
        jax.tree_util.keystr(path, simple=True, separator="."): np.unique(leaf)
        for path, leaf in jax.tree.leaves_with_path(scaled)
    }
    expected = {
        # 4 features of the grid, then 8 units; weight and bias share the layer's rate
        **{f"layers.0.{part}": (4 + 1) ** -0.5 for part in ("weight", "bias")},
        **{f"layers.{i}.{part}": (8 + 1) ** -0.5 for i in (1, 2) for part in ("weight", "bias")},
        # no layers: a dense table, and a hashed one, which has two axes like a weight
        "tables.level0": 1.0,
        "tables.level1": 1.0,
    }
    assert {name.removesuffix(".value") for name in factors} == set(expected)
    for name, values in factors.items():
        np.testing.assert_allclose(values, [expected[name.removesuffix(".value")]], rtol=1e-6)


def test_per_layer_adam_divides_the_rate():
    layer = {"weight": jnp.zeros((2, 3)), "bias": jnp.zeros(2)}
    rule = adam(0.1, per_layer=True, average=0.0).optimizer
    updates, _ = rule.update(jax.tree.map(jnp.ones_like, layer), rule.init(layer), layer)
    for values in jax.tree.leaves(updates):
        np.testing.assert_allclose(values, -0.1 / 2, rtol=1e-5)  # sqrt(3 + 1)


# --- what may be a trainer ----------------------------------------------------------------------
def test_trainers_stay_themselves_and_optax_becomes_one():
    assert as_trainer(adam()) is adam()
    rule = optax.adamw(1e-3)
    assert as_trainer(rule) == Gradient(rule)
    assert as_trainer(rule).sampling is None
    assert isinstance(as_trainer(optax.lbfgs()), Gradient)


@pytest.mark.parametrize(
    "wrong", [None, 1e-3, ["adam"], optax.adam, adam, Gradient, object(), optax.sgd(0.1).init]
)
@pytest.mark.usefixtures("unchecked")
def test_what_is_no_trainer_is_refused(wrong):
    message = r"`trainer` must be an optax transformation.*for example trainer=optax.adam\(1e-3\)"
    with pytest.raises(TypeError, match=message):
        as_trainer(wrong)
    if wrong is not None:  # which asks for the preset's own
        with pytest.raises(TypeError, match=message):
            cn.fit(np.zeros((4, 4, 3), "f4"), trainer=wrong)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("adam(rate='fast')", "rate must be a number above 0, got 'fast'"),
        ("rprop(smallest=1.0, largest=0.1)", "smallest must be at most largest, got 1.0 and 0.1"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_numbers_out_of_range_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        cn.trainers.trainer(call)


@pytest.mark.usefixtures("unchecked")
def test_what_no_text_can_say_is_checked_too():
    with pytest.raises(ValueError, match=r"memory must be a whole number of steps, got 1\.5"):
        cn.lbfgs(memory=1.5)  # type: ignore[arg-type]  # the point
    with pytest.raises(TypeError, match="rate must be a number above 0, got 'fast'"):
        cn.adam("fast")  # type: ignore[arg-type]  # the point


def test_sarprop_learns_more_than_one_colour():
    # the decay of the paper, 0.01, is for sums over the pixels; of means it stays near one colour:
    # 15.5 dB here, where one colour has 14.3 and the default decay 29.3
    image = picture(32, 32)
    of_one_colour = cn.psnr(image, np.broadcast_to(image.mean((0, 1)), image.shape))
    net = cn.fit(image, "lenna", trainer=cn.sarprop(), steps=200)
    assert net.fitted.psnr > of_one_colour + 10


RAMP = np.tile(np.linspace(0, 1, 8, dtype=np.float32)[:, None, None], (1, 8, 1))


@pytest.mark.parametrize(
    "chosen",
    [
        cn.muon(), cn.muon(adam_rate=3e-3), cn.sarprop(), cn.quickprop(), cn.lbfgs(points=32),
        cn.rprop(variant="irprop+"), cn.rprop(variant="rprop-"), cn.rprop(variant="rprop+"),
    ],
    ids=["muon", "muon's rate", "sarprop", "quickprop", "lbfgs of points", "irprop+", "rprop-",
         "rprop+"],
)  # fmt: skip
def test_every_rule_learns_a_ramp(chosen):
    spec = Spec(width=8, depth=3, activation="tanh")
    net = cn.fit(RAMP, spec, steps=300, trainer=chosen)
    assert net.fitted.psnr > 20  # the mean alone is at 9.6 dB


def test_muon_moves_the_matrices_between_hidden_layers_alone():
    # and as far in every direction of the gradient, however small its share
    before, image = CoordNet(Spec(width=16, depth=3, activation="tanh")), picture()
    rule = muon(0.1, adam_rate=1e-30, average=0.0)
    after = cn.fit(image, before, steps=1, trainer=rule, sampling="full")
    graphdef, params, rest = nnx.split(before, nnx.Param, ...)
    problem = make_problem(image, graphdef, rest, sampled=Full())
    _, gradient = problem.value_and_grad(params, jax.random.key(0))
    for i, (a, b) in enumerate(zip(before.layers, after.layers, strict=True)):
        move = np.asarray(b.weight[...]) - np.asarray(a.weight[...])
        if i in (1, 2):
            u, sizes, v = np.linalg.svd(np.asarray(gradient["layers"][i]["weight"][...]))
            along = -np.einsum("ij,ik,jk->k", move, u, v.T)
            large = sizes > 0.02 * sizes[0]
            assert sum(large) >= 2
            # five Newton-Schulz steps bring them to between 0.7 and 1.2 of one another
            assert along[large].min() > 0.5 * along.max() > 0
        else:
            assert np.abs(move).max() < 1e-20
        np.testing.assert_allclose(b.bias[...], a.bias[...], atol=1e-20)


def test_muon_takes_any_module():
    class Named(Mine):
        def __init__(self):
            super().__init__(channels=1)
            self.layers = nnx.Dict(first=self.first, last=self.last)
            del self.first, self.last

        def __call__(self, points):
            return self.layers["last"](jnp.tanh(self.layers["first"](points)))

    before = cn.psnr(cn.render(Named(), (8, 8)), RAMP)
    after = cn.fit(RAMP, Named(), steps=20, trainer=cn.muon())
    assert cn.psnr(cn.render(after, (8, 8)), RAMP) > before


def test_ones_own_trainer_serves():
    @dataclasses.dataclass(frozen=True)
    class SignDescent:
        """Moves each weight by a shrinking step against its gradient's sign."""

        rate: float
        sampling: str | None = "full"

        def init(self, params, key):
            return jnp.zeros(())

        def step(self, state, params, problem):
            loss, gradient = problem.value_and_grad(params, jax.random.key(0))
            rate = self.rate / (1 + state / 20)
            params = jax.tree.map(lambda p, g: p - rate * jnp.sign(g), params, gradient)
            return state + 1, params, {"loss": loss}

        def shown(self, state, params):
            return params

    spec = Spec(width=8, depth=1, activation="tanh")
    net = cn.fit(RAMP, spec, steps=300, trainer=SignDescent(0.02))
    assert net.fitted.psnr > 20  # the mean alone is at 9.6 dB
