"""Activations, each with the weight initialisation of its source.

``ACTIVATIONS`` maps a name to a function of the activation's numbers that returns an
:class:`Activation`. In a ``Spec`` they are written as a call: ``"sine(omega=30)"``.
To add one, write such a function and put it into the table.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._calls import Table, check_positive, from_table

Layer = Literal["first", "hidden", "last"]


class Activation(NamedTuple):
    """What happens after a layer's affine map, and how that layer starts.

    ``apply(z, layer)`` maps any array elementwise; ``init(key, fan_out, fan_in, layer)``
    returns a weight ``(fan_out, fan_in)`` and a bias ``(fan_out,)``.
    """

    apply: Callable[[Array, Layer], Array]
    init: Callable[[PRNGKeyArray, int, int, Layer], tuple[Array, Array]]


# --- the fast sine ------------------------------------------------------------------
# XLA's sine on a CPU calls no vector code. Reducing the argument by half turns in three
# parts (Cody and Waite; parts of few bits, so that k * part is exact) and a polynomial in
# the square is plain arithmetic that XLA fuses and vectorises. The coefficients interpolate
# sin(y)/y and cos(y) at Chebyshev nodes of [-pi/2, pi/2]; benchmarks/speed.py says what it
# gains, tests/test_activations.py holds its error.
_PI_PARTS = (3.140625, 9.67502593994140625e-4, 1.509957990978376432e-7)
_SINE = (1.0, -1.6666657904e-1, 8.3330491009e-3, -1.9808936593e-4, 2.6049206999e-6)
_COSINE = (1.0, -0.5, 4.1666636006e-2, -1.3888358287e-3, 2.4760005717e-5, -2.6048786907e-7)


def _half_turns(x: Float[Array, "*s"]) -> tuple[Float[Array, "*s"], Float[Array, "*s"]]:
    """Return ``x`` less k half turns, in [-pi/2, pi/2], and the sign (-1)^k."""
    k = jnp.round(x * (1 / jnp.pi))
    for part in _PI_PARTS:
        x = x - k * part
    # far out (beyond 10^5) float32 leaves a remainder that is none; the result stays a sine's.
    # No closer than this: k is rounded, so an honest remainder may lie 0.001 past a quarter turn
    x = jnp.clip(x, -1.6, 1.6)
    return x, 1.0 - 2.0 * jnp.abs(k - 2.0 * jnp.round(0.5 * k))


def _polynomial(coefficients: tuple[float, ...], z: Float[Array, "*s"]) -> Float[Array, "*s"]:
    p = jnp.full_like(z, coefficients[-1])
    for c in coefficients[-2::-1]:
        p = p * z + c
    return p


@jax.custom_jvp
def sin(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Sine of a float32 array, within 1e-6 for ``abs(x)`` up to 10,000.

    About ten times as fast as ``jnp.sin`` on a CPU; forward and reverse derivatives of
    any order.

    >>> import jax.numpy as jnp
    >>> bool(jnp.abs(sin(jnp.array([1.0, 100.0])) - jnp.sin(jnp.array([1.0, 100.0]))).max() < 1e-6)
    True
    """
    y, sign = _half_turns(x)
    return sign * y * _polynomial(_SINE, y * y)


@jax.custom_jvp
def cos(x: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Cosine, the companion of :func:`sin`, with the same bounds.

    >>> import jax.numpy as jnp
    >>> float(cos(jnp.zeros(())))
    1.0
    """
    y, sign = _half_turns(x)
    return sign * _polynomial(_COSINE, y * y)


@sin.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # one reduction serves the value and the derivative
    (x,), (dx,) = primals, tangents
    return sin(x), cos(x) * dx


@cos.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    return cos(x), -sin(x) * dx


# --- how layers start ---------------------------------------------------------------
def _uniform(key: PRNGKeyArray, fan_out: int, fan_in: int, bound: float) -> Array:
    return jax.random.uniform(key, (fan_out, fan_in), minval=-bound, maxval=bound)


def _middle_grey(fan_out: int, layer: Layer) -> Array:
    """Return a zero bias; a picture's values lie around 0.5, so that is where it starts."""
    return jnp.full(fan_out, 0.5 if layer == "last" else 0.0)


def _variance(
    gain: float, key: PRNGKeyArray, fan_out: int, fan_in: int, layer: Layer
) -> tuple[Array, Array]:
    """Normal weights of variance gain / fan_in (LeCun for 1, He for 2); 1 for the last."""
    gain = 1.0 if layer == "last" else gain
    weight = jax.random.normal(key, (fan_out, fan_in)) * (gain / fan_in) ** 0.5
    return weight, _middle_grey(fan_out, layer)


def _glorot(key: PRNGKeyArray, fan_out: int, fan_in: int, layer: Layer) -> tuple[Array, Array]:
    bound = (6 / (fan_in + fan_out)) ** 0.5
    return _uniform(key, fan_out, fan_in, bound), _middle_grey(fan_out, layer)


def _torch_linear(
    key: PRNGKeyArray, fan_out: int, fan_in: int, layer: Layer
) -> tuple[Array, Array]:
    """PyTorch's Linear: weight and bias uniform within 1/sqrt(fan_in)."""
    kw, kb = jax.random.split(key)
    bound = fan_in**-0.5
    return _uniform(kw, fan_out, fan_in, bound), _uniform(kb, fan_out, 1, bound)[:, 0]


# --- the table ----------------------------------------------------------------------
def _plain(apply: Callable[[Array], Array], init: Callable[..., Any]) -> Activation:
    return Activation(lambda z, layer: apply(z), init)


def _tanh() -> Activation:
    """Return tanh, Glorot start."""
    return _plain(jnp.tanh, _glorot)


def _sigmoid() -> Activation:
    """Return the logistic function, Glorot start with four times the gain (its slope is 1/4)."""

    def init(key, fan_out, fan_in, layer):
        weight, bias = _glorot(key, fan_out, fan_in, layer)
        return weight * (1.0 if layer == "last" else 4.0), bias

    return _plain(jax.nn.sigmoid, init)


def _scaled_tanh() -> Activation:
    """Return 1.7159 tanh(2x/3) with LeCun's start (LeCun et al., Efficient BackProp, 1998)."""
    return _plain(lambda z: 1.7159 * jnp.tanh(z * (2 / 3)), partial(_variance, 1.0))


def _relu(bias: float = 0.0, gain: float = 2.0) -> Activation:
    """Return relu, normal start of variance gain / fan_in (He et al. 2015: 2)."""
    check_positive(gain=gain)

    def init(key, fan_out, fan_in, layer):
        weight, b = _variance(gain, key, fan_out, fan_in, layer)
        return weight, b if layer == "last" else b + bias

    return _plain(jax.nn.relu, init)


def _leaky_relu(slope: float = 0.01, scale: float = 0.3) -> Activation:
    """Return leaky relu; weights and biases normal of deviation scale/sqrt(fan_in + 1).

    The start, slope and scale are those of the Mona Lisa experiment
    (github.com/evolvingstuff/MonaLisa, 2012).
    """

    def init(key, fan_out, fan_in, layer):
        table = jax.random.normal(key, (fan_out, fan_in + 1)) * scale / (fan_in + 1) ** 0.5
        return table[:, 1:], table[:, 0]

    return _plain(lambda z: jnp.maximum(z, slope * z), init)


def _gelu(sharpness: float = 1.0) -> Activation:
    """Return gelu (tanh form), gelu(sharpness * z) / sharpness: relu at infinity; He start."""
    if not 0 < sharpness <= 1000:
        msg = f"sharpness must be above 0 and at most 1000, got {sharpness}"
        raise ValueError(msg)
    return _plain(lambda z: jax.nn.gelu(sharpness * z) / sharpness, partial(_variance, 2.0))


def _silu() -> Activation:
    """Return x * sigmoid(x), He start."""
    return _plain(jax.nn.silu, partial(_variance, 2.0))


def _siren_init(omega: float, scale: float) -> Callable[..., Any]:
    """SIREN's start: 1/fan_in for the first layer, sqrt(6/fan_in)/omega for the others.

    ``scale`` multiplies all weights but the last layer's: the weight scaling of
    Yeom et al. (Fast Training of Sinusoidal Neural Fields, ICLR 2025).
    """

    def init(key, fan_out, fan_in, layer):
        kw, kb = jax.random.split(key)
        bound = 1 / fan_in if layer == "first" else (6 / fan_in) ** 0.5 / omega
        bound = bound if layer == "last" else bound * scale
        if layer == "last":
            bias = _middle_grey(fan_out, layer)
        else:
            bias = _uniform(kb, fan_out, 1, fan_in**-0.5)[:, 0]
        return _uniform(kw, fan_out, fan_in, bound), bias

    return init


def _sine(omega: float = 30.0, first: float = 30.0, scale: float = 1.0) -> Activation:
    """Return sin(omega z) with SIREN's start (Sitzmann et al., NeurIPS 2020).

    ``first`` is omega of the first layer, ``scale`` the weight scaling of its start.
    """
    check_positive(omega=omega, first=first, scale=scale)
    return Activation(
        lambda z, layer: sin(z * (first if layer == "first" else omega)),
        _siren_init(omega, scale),
    )


def _finer(
    omega: float = 30.0, first: float = 30.0, bias: float = 1.0, scale: float = 1.0
) -> Activation:
    """Return sin(omega (|z| + 1) z), SIREN's start with first biases uniform in +-bias.

    The factor |z| + 1 is held constant in the derivative, as its authors do
    (Liu et al., FINER, CVPR 2024).
    """
    check_positive(omega=omega, first=first, bias=bias, scale=scale)
    siren = _siren_init(omega, scale)

    def init(key, fan_out, fan_in, layer):
        weight, b = siren(key, fan_out, fan_in, layer)
        if layer == "first":
            b = _uniform(jax.random.fold_in(key, 1), fan_out, 1, bias)[:, 0]
        return weight, b

    def apply(z, layer):
        turns = jax.lax.stop_gradient(jnp.abs(z) + 1) * z
        return sin(turns * (first if layer == "first" else omega))

    return Activation(apply, init)


def _gauss(scale: float = 30.0) -> Activation:
    """Return exp(-(scale z)^2) (Ramasinghe and Lucey, Beyond Periodicity, ECCV 2022)."""
    return _plain(lambda z: jnp.exp(-jnp.square(scale * z)), _torch_linear)


def _gabor(omega: float = 20.0, scale: float = 10.0) -> Activation:
    """Return the real Gabor wavelet cos(omega z) exp(-(scale z)^2).

    After WIRE (Saragadam et al., CVPR 2023), whose wavelet is complex: the real one needs
    a quarter of the arithmetic.
    """
    return _plain(lambda z: cos(omega * z) * jnp.exp(-jnp.square(scale * z)), _torch_linear)


#: Every activation by name; a user's own is one function more.
ACTIVATIONS: Table[Activation] = Table(
    {
        "tanh": _tanh,
        "sigmoid": _sigmoid,
        "scaled_tanh": _scaled_tanh,
        "relu": _relu,
        "leaky_relu": _leaky_relu,
        "gelu": _gelu,
        "silu": _silu,
        "sine": _sine,
        "finer": _finer,
        "gauss": _gauss,
        "gabor": _gabor,
    }
)


def activation(text: str) -> Activation:
    """Return the activation that ``text`` calls, such as ``"sine(omega=30)"``.

    Raises:
        ValueError: The name or one of its numbers is unknown.

    >>> float(activation("relu").apply(-1.0, "hidden"))
    0.0
    """
    return from_table(ACTIVATIONS, text, "activation")
