"""Activations: their values against formulas in float64, their starts against their sources."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import coordnet as cn
from coordnet._activations import Activation, activation, cos, sin
from coordnet._calls import parse_call

NAMES = sorted(cn.ACTIVATIONS)

# --- the fast sine: the docstring promises 1e-6 up to 10,000 ---------------------------
rng = np.random.default_rng(0)
ANGLES = np.concatenate(
    [
        np.linspace(-10_000, 10_000, 400_001),
        rng.uniform(-10_000, 10_000, 200_000),
        rng.normal(size=100_000) * 3,
        np.arange(-6366, 6367) * (np.pi / 2),  # where the reduction changes its half turn
        np.arange(-3183, 3184) * np.pi + 1e-4,
        [0.0, 1e-30, -1e-30, 1e-10, 10_000, -10_000],
    ]
).astype(np.float32)
EXACT = {"sin": np.sin(ANGLES.astype(np.float64)), "cos": np.cos(ANGLES.astype(np.float64))}


def derivative(f):
    """The derivative of an elementwise function of an array."""
    return lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("f", "exact"),
    [
        (sin, EXACT["sin"]),
        (cos, EXACT["cos"]),
        (derivative(sin), EXACT["cos"]),
        (derivative(cos), -EXACT["sin"]),
        (derivative(derivative(sin)), -EXACT["sin"]),
        (derivative(derivative(cos)), -EXACT["cos"]),
    ],
    ids=["sin", "cos", "sin'", "cos'", "sin''", "cos''"],
)
def test_fast_sine_within_a_millionth(f, exact, compiled):
    f = jax.jit(f) if compiled else f
    assert np.abs(np.asarray(f(jnp.asarray(ANGLES)), np.float64) - exact).max() < 1e-6


@pytest.mark.parametrize("compiled", [True, False])
def test_fast_sine_backwards_and_mapped(compiled):
    x = jnp.asarray(ANGLES[:5000])
    cotangent = jnp.asarray(rng.normal(size=5000), jnp.float32)
    wrap = jax.jit if compiled else lambda f: f
    (pulled,) = wrap(lambda x, g: jax.vjp(sin, x)[1](g))(x, cotangent)
    gradients = wrap(jax.vmap(jax.grad(sin)))(x)
    twice = wrap(jax.vmap(jax.grad(jax.grad(sin))))(x)
    # 1e-6 of the sine, times a cotangent of up to about 4
    np.testing.assert_allclose(pulled, EXACT["cos"][:5000] * cotangent, atol=5e-6)
    np.testing.assert_allclose(gradients, EXACT["cos"][:5000], atol=1e-6)
    np.testing.assert_allclose(twice, -EXACT["sin"][:5000], atol=1e-6)


@pytest.mark.parametrize("f", [sin, cos, jax.jit(sin), jax.jit(cos)])
def test_fast_sine_of_no_number_is_no_number(f):
    values = np.asarray(f(jnp.array([jnp.nan, jnp.inf, -jnp.inf, 0.5])))
    assert np.isnan(values).tolist() == [True, True, True, False]


@pytest.mark.parametrize("f", [sin, cos])
def test_fast_sine_stays_a_sine_however_far_out(f):
    # where float32 holds no phase any more, the values mean nothing, but they blow nothing up
    far = jnp.asarray(np.geomspace(1e4, 3e38, 10_000) * rng.choice([-1, 1], 10_000), jnp.float32)
    assert float(jnp.abs(f(far)).max()) < 1.001


def test_fast_sine_of_any_shape():
    assert sin(jnp.zeros(())).shape == ()
    assert cos(jnp.zeros((2, 0, 3))).shape == (2, 0, 3)


def test_fast_sine_is_odd_and_cosine_even_bit_for_bit():
    x = jnp.asarray(ANGLES)
    np.testing.assert_array_equal(sin(-x), -sin(x))
    np.testing.assert_array_equal(cos(-x), cos(x))


# --- values ---------------------------------------------------------------------------
Z = np.linspace(-3, 3, 241)
sharp_gelu = 0.5 * Z * (1 + np.tanh(math.sqrt(2 / math.pi) * (4 * Z + 0.044715 * (4 * Z) ** 3)))
erf_free_gelu = 0.5 * Z * (1 + np.tanh(math.sqrt(2 / math.pi) * (Z + 0.044715 * Z**3)))
FORMULAS = {
    "tanh": np.tanh(Z),
    "sigmoid": 1 / (1 + np.exp(-Z)),
    "scaled_tanh": 1.7159 * np.tanh(2 / 3 * Z),
    "relu": np.where(Z > 0, Z, 0),
    "leaky_relu": np.where(Z > 0, Z, 0.01 * Z),
    "leaky_relu(slope=0.2)": np.where(Z > 0, Z, 0.2 * Z),
    "gelu": erf_free_gelu,
    "gelu(sharpness=4)": sharp_gelu,
    "silu": Z / (1 + np.exp(-Z)),
    "sine": np.sin(30 * Z),
    "sine(omega=7,first=50)": np.sin(7 * Z),
    "finer": np.sin(30 * (np.abs(Z) + 1) * Z),
    "finer(omega=4,first=50)": np.sin(4 * (np.abs(Z) + 1) * Z),
    "gauss": np.exp(-((30 * Z) ** 2)),
    "gauss(scale=3)": np.exp(-((3 * Z) ** 2)),
    "gabor": np.cos(20 * Z) * np.exp(-((10 * Z) ** 2)),
    "gabor(omega=5,scale=2)": np.cos(5 * Z) * np.exp(-((2 * Z) ** 2)),
}


def test_every_activation_has_a_formula_here():
    assert {parse_call(text)[0] for text in FORMULAS} == set(NAMES)


@pytest.mark.parametrize("text", FORMULAS)
def test_values(text):
    shown = activation(text).apply(jnp.asarray(Z, jnp.float32), "hidden")
    # Z itself is rounded to float32 (1e-7 of 3), and the steepest formula, finer, turns that
    # into 30 * 7 * 2e-7 = 4e-5
    np.testing.assert_allclose(shown, FORMULAS[text], atol=1e-4 if "finer" in text else 1e-5)


@pytest.mark.parametrize(("text", "first"), [("sine(first=50)", 50), ("sine", 30)])
def test_sine_of_the_first_layer(text, first):
    z = jnp.asarray(Z, jnp.float32)
    shown = activation(text).apply(z, "first")
    np.testing.assert_allclose(shown, np.sin(first * np.asarray(z, np.float64)), atol=2e-5)


def test_finer_of_the_first_layer():
    z = np.asarray(Z, np.float32)
    expected = np.sin(5.0 * (np.abs(z) + 1.0) * z.astype(np.float64))
    np.testing.assert_allclose(
        activation("finer(first=5)").apply(jnp.asarray(z), "first"), expected, atol=2e-5
    )


def test_finer_holds_its_scale_constant_in_the_derivative():
    omega = 2.0
    z = jnp.asarray(Z, jnp.float32)
    apply = activation(f"finer(omega={omega})").apply
    slope = derivative(lambda z: apply(z, "hidden"))(z)
    scale = omega * (np.abs(Z) + 1)
    held = scale * np.cos(scale * Z)
    full = omega * (2 * np.abs(Z) + 1) * np.cos(scale * Z)  # d/dz (|z| + 1) z = 2|z| + 1
    # slopes reach 8, phases 24: a few float32 roundings of these
    np.testing.assert_allclose(slope, held, atol=1e-4)
    assert np.abs(held - full).max() > 1  # the two cannot be mistaken for each other


@pytest.mark.parametrize("name", NAMES)
def test_layers_first_and_hidden_are_alike_by_default(name):
    apply = activation(name).apply
    z = jnp.asarray(Z, jnp.float32)
    np.testing.assert_array_equal(apply(z, "first"), apply(z, "hidden"))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_at_zero_and_far_out(name):
    apply = activation(name).apply
    slopes = derivative(lambda z: apply(z, "hidden"))(jnp.array([0.0, -50.0, 50.0, 1e-20]))
    assert np.isfinite(slopes).all()


# --- starts: 256 x 64 weights ------------------------------------------------------------
OUT, IN = 256, 64
MANY = OUT * IN
# A deviation estimated from n values is off by 1/sqrt(2n) of itself: 0.6 % of 16384 weights,
# 4.4 % of 256 biases; the tests allow five of these. All draws are seeded.
TIGHT, LOOSE = 5 * (2 * MANY) ** -0.5, 5 * (2 * OUT) ** -0.5


def start(text, layer):
    weight, bias = activation(text).init(jax.random.key(3), OUT, IN, layer)
    assert weight.shape == (OUT, IN)
    assert bias.shape == (OUT,)
    assert weight.dtype == bias.dtype == jnp.float32
    return np.asarray(weight, np.float64), np.asarray(bias, np.float64)


def assert_uniform(values, bound, tolerance):
    assert np.abs(values).max() <= bound * (1 + 1e-6)  # float32 rounding of the bound
    assert np.abs(values).max() >= bound * 0.97  # 256 values miss the last 3 % once in 2000
    assert values.std() == pytest.approx(bound / math.sqrt(3), rel=tolerance)


def assert_normal(values, deviation, tolerance):
    assert values.std() == pytest.approx(deviation, rel=tolerance)
    assert abs(values.mean()) < 5 * deviation / math.sqrt(values.size)
    # a third of a normal's values lie beyond one deviation, of a uniform's 42 %; five
    # deviations of that share
    share = np.mean(np.abs(values) > deviation)
    assert share == pytest.approx(0.317, abs=5 * math.sqrt(0.317 * 0.683 / values.size))


LAST_BOUND = {"sine": math.sqrt(6 / IN) / 30, "finer": math.sqrt(6 / IN) / 30}


@pytest.mark.parametrize(
    ("text", "layer", "bound"),
    [
        # Glorot and Bengio 2010: sqrt(6 / (in + out))
        ("tanh", "first", math.sqrt(6 / (IN + OUT))),
        ("tanh", "hidden", math.sqrt(6 / (IN + OUT))),
        ("tanh", "last", math.sqrt(6 / (IN + OUT))),
        # a logistic's slope of 1/4 made up for, but where nothing follows
        ("sigmoid", "hidden", 4 * math.sqrt(6 / (IN + OUT))),
        ("sigmoid", "last", math.sqrt(6 / (IN + OUT))),
        # Sitzmann et al. 2020, section 3.2: 1/in, then sqrt(6/in)/omega
        ("sine", "first", 1 / IN),
        ("sine", "hidden", math.sqrt(6 / IN) / 30),
        ("sine", "last", math.sqrt(6 / IN) / 30),
        ("sine(omega=10)", "first", 1 / IN),
        ("sine(omega=10)", "hidden", math.sqrt(6 / IN) / 10),
        # Yeom et al. 2025: all weights but the last layer's times the scale
        ("sine(scale=1.5)", "first", 1.5 / IN),
        ("sine(scale=1.5)", "hidden", 1.5 * math.sqrt(6 / IN) / 30),
        ("sine(scale=1.5)", "last", math.sqrt(6 / IN) / 30),
        # Liu et al. 2024 keep SIREN's weights
        ("finer", "first", 1 / IN),
        ("finer", "hidden", math.sqrt(6 / IN) / 30),
        ("finer", "last", math.sqrt(6 / IN) / 30),
        # torch.nn.Linear's, which the sources of these keep
        ("gauss", "hidden", IN**-0.5),
        ("gabor", "hidden", IN**-0.5),
    ],
)
def test_uniform_starts(text, layer, bound):
    assert_uniform(start(text, layer)[0], bound, TIGHT)


@pytest.mark.parametrize(
    ("text", "layer", "deviation"),
    [
        # He et al. 2015: sqrt(2/in); a linear last layer needs sqrt(1/in)
        ("relu", "first", math.sqrt(2 / IN)),
        ("relu", "hidden", math.sqrt(2 / IN)),
        ("relu", "last", math.sqrt(1 / IN)),
        ("relu(gain=1.0)", "hidden", math.sqrt(1 / IN)),
        ("gelu", "hidden", math.sqrt(2 / IN)),
        ("silu", "hidden", math.sqrt(2 / IN)),
        # LeCun et al. 1998, section 4.6: 1/sqrt(in)
        ("scaled_tanh", "hidden", math.sqrt(1 / IN)),
        # evolvingstuff/MonaLisa: N(0, 1) * 0.3 / sqrt(in + 1), in every layer
        ("leaky_relu", "first", 0.3 / math.sqrt(IN + 1)),
        ("leaky_relu", "hidden", 0.3 / math.sqrt(IN + 1)),
        ("leaky_relu", "last", 0.3 / math.sqrt(IN + 1)),
        ("leaky_relu(scale=0.6)", "hidden", 0.6 / math.sqrt(IN + 1)),
    ],
)
def test_normal_starts(text, layer, deviation):
    assert_normal(start(text, layer)[0], deviation, TIGHT)


def test_biases_of_the_sources():
    # SIREN's are torch.nn.Linear's; FINER's first are uniform in +-bias
    assert_uniform(start("sine", "first")[1], IN**-0.5, LOOSE)
    assert_uniform(start("sine", "hidden")[1], IN**-0.5, LOOSE)
    assert_uniform(start("finer", "first")[1], 1.0, LOOSE)
    assert_uniform(start("finer(bias=5)", "first")[1], 5.0, LOOSE)
    assert_uniform(start("finer(bias=5)", "hidden")[1], IN**-0.5, LOOSE)
    assert_uniform(start("gauss", "hidden")[1], IN**-0.5, LOOSE)
    assert_normal(start("leaky_relu", "hidden")[1], 0.3 / math.sqrt(IN + 1), LOOSE)
    np.testing.assert_array_equal(start("relu(bias=0.1)", "hidden")[1], np.float32(0.1))


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "scaled_tanh", "relu", "gelu", "silu"])
def test_other_biases_are_zero(name):
    np.testing.assert_array_equal(start(name, "first")[1], 0.0)
    np.testing.assert_array_equal(start(name, "hidden")[1], 0.0)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"leaky_relu", "gauss", "gabor"}))
def test_a_picture_starts_at_middle_grey(name):
    np.testing.assert_array_equal(start(name, "last")[1], 0.5)


@pytest.mark.parametrize("name", NAMES)
def test_starts_differ_by_key_and_weights_from_biases(name):
    init = activation(name).init
    (a, bias), (b, _) = (init(jax.random.key(k), OUT, IN, "hidden") for k in (0, 1))
    assert (a != b).mean() > 0.99
    # a slice of the weights' own draw would be all of them; of float32 draws in one range,
    # 256 meet 16384 others by chance less than 5 times
    assert np.isin(np.asarray(bias)[bias != 0], np.asarray(a)).sum() < 5


@pytest.mark.parametrize("name", ["sine", "finer"])
def test_a_deep_sine_keeps_its_spread(name):
    # what SIREN's start is for: before each sine a spread of about 1, whatever the depth
    act = activation(name)
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (256, 4096)), jnp.float32)
    for i in range(4):
        weight, bias = act.init(jax.random.key(i), 256, 256, "hidden")
        z = weight @ x + bias[:, None]
        x = act.apply(z, "hidden")
        # sines of wide phases have deviation sqrt(1/2) = 0.71
        assert 0.6 < float(x.std()) < 0.8


# --- the table ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sin", r"activation 'sin' is unknown; did you mean 'sine'\? known are finer, gabor,"),
        ("gelu(sharpness=0)", "sharpness must be above 0"),
        ("sine(frequency=30)", "does not fit.*frequency"),
        ("tanh(omega=1)", "does not fit.*omega"),
        ("sine(omega='x')", "omega must be a finite number, got 'x'"),
        ("sine(omega=None)", "omega must be a finite number"),
        ("sine(omega=(1,2))", "omega must be a finite number"),
        ("sine(omega=1e999)", "omega must be a finite number, got inf"),
        ("sine(omega=1" + "0" * 400 + ")", "omega must be a finite number"),
        ("sine(omega=0)", "omega must be above 0"),
        ("sine(first=-1)", "first must be above 0"),
        ("finer(bias=0)", "bias must be above 0"),
        ("relu(gain=-1)", "gain must be above 0"),
        ("gabor(scale=1j)", "scale must be a finite number"),
        ("leaky_relu(slope={})", "slope must be a finite number"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_wrong_calls_say_what_is_wrong(text, message):
    with pytest.raises(ValueError, match=message):
        activation(text)
    with pytest.raises(ValueError, match=message):
        cn.Spec(activation=text)


def test_ones_own_activation_serves_the_whole_library(monkeypatch, tmp_path):
    def squareplus(width: float = 4.0) -> Activation:
        return Activation(
            lambda z, layer: (z + jnp.sqrt(z * z + width)) / 2,
            lambda key, fan_out, fan_in, layer: (
                jax.random.normal(key, (fan_out, fan_in)) * (2 / fan_in) ** 0.5,
                jnp.full(fan_out, 0.25),
            ),
        )

    monkeypatch.setitem(cn.ACTIVATIONS, "squareplus", squareplus)
    spec = cn.Spec(width=8, depth=1, activation="squareplus(width=1.0)", channels=1, size=(8, 8))
    net = cn.CoordNet(spec, seed=1)
    points = np.array([[0.3, -0.2], [0.9, 0.7]], np.float32)
    (w1, b1), (w2, b2) = ((v.weight[...], v.bias[...]) for v in net.layers)
    z = points @ w1.T + b1
    # the network written out by hand; float32 roundings of a few numbers near 1
    expected = ((z + np.sqrt(z * z + 1)) / 2) @ w2.T + b2
    np.testing.assert_allclose(net(points), expected, atol=1e-5)
    image = np.tile(np.linspace(0, 1, 8, dtype=np.float32)[:, None, None], (1, 8, 1))
    fitted = cn.fit(image, spec, steps=300, trainer=optax.adam(1e-2), sampling="full")
    assert fitted.fitted.psnr > 25  # a ramp; the mean alone is at 9.6 dB
    cn.save(fitted, tmp_path / "own.safetensors")
    np.testing.assert_array_equal(cn.load(tmp_path / "own.safetensors")(points), fitted(points))
    monkeypatch.undo()
    with pytest.raises(cn.FormatError, match="squareplus"):
        cn.load(tmp_path / "own.safetensors")
