"""Resilient propagation and its kin: a step size for each weight, moved by the gradient's sign."""

from functools import lru_cache
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._calls import check_positive
from ._gradient import Gradient

RpropVariant = Literal["irprop-", "irprop+", "rprop-", "rprop+"]
_VARIANTS = ("irprop-", "irprop+", "rprop-", "rprop+")


class RpropState(NamedTuple):
    """Of each weight the step size, the last gradient and the last move; and the last loss."""

    sizes: Any
    gradient: Any
    moves: Any
    loss: Float[Array, ""]


def scale_by_rprop(
    variant: RpropVariant = "irprop-",
    size: float = 0.01,
    *,
    grow: float = 1.2,
    shrink: float = 0.5,
    smallest: float = 1e-6,
    largest: float = 50.0,
) -> optax.GradientTransformationExtraArgs:
    """Return Rprop as an optax transformation; it asks for gradients of the full batch.

    Where the gradient keeps its sign, a weight's step grows. Where the sign changes, it
    shrinks, and (Igel and Hüsken, Empirical Evaluation of the Improved Rprop Learning
    Algorithms, 2003)

    - ``"rprop-"`` takes the shrunk step in the new direction;
    - ``"rprop+"`` takes the last move back, and the next step neither grows nor shrinks;
    - ``"irprop-"`` lets the weight rest, and the next step neither grows nor shrinks: this is
      ``torch.optim.Rprop``, whose defaults these are;
    - ``"irprop+"`` is ``"rprop+"``, but takes the move back only if the loss has risen
      (``update`` must be given ``value=``).

    ``optax.rprop`` 0.2.8 applies each update one step late; this one does not.

    Raises:
        ValueError: The variant is unknown.

    >>> import jax.numpy as jnp
    >>> rule = scale_by_rprop("irprop-", 0.1)
    >>> state = rule.init(jnp.zeros(()))
    >>> update, state = rule.update(jnp.array(2.0), state)
    >>> float(update)  # against the gradient, whatever its length
    -0.10000000149011612
    """
    if variant not in _VARIANTS:
        msg = f"`variant` must be one of {', '.join(_VARIANTS)}, got {variant!r}"
        raise ValueError(msg)
    rests = variant != "rprop-"  # after a change of sign: forgets the gradient
    reverts = variant.endswith("+")

    def init(params: Any) -> RpropState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        sizes = jax.tree.map(lambda p: jnp.full_like(p, size), params)
        return RpropState(sizes, zeros, zeros if reverts else None, jnp.float32(jnp.inf))

    def update(
        updates: Any, state: Any, params: Any = None, *, value: Any = None, **_: Any
    ) -> tuple[Any, RpropState]:
        del params
        if variant == "irprop+" and value is None:
            msg = "irprop+ asks for the loss: update(gradient, state, value=loss)"
            raise ValueError(msg)
        worse = jnp.bool_(True) if variant != "irprop+" else value > state.loss

        def one(g, s, before, moved):
            agreement = jnp.sign(g) * jnp.sign(before)  # a product could underflow
            factor = jnp.where(agreement > 0, grow, jnp.where(agreement < 0, shrink, 1.0))
            s = jnp.clip(s * factor, smallest, largest)
            move = -jnp.sign(g) * s
            if rests:
                back = -moved * worse if reverts else 0.0
                move = jnp.where(agreement < 0, back, move)
                g = jnp.where(agreement < 0, 0.0, g)
            return move, s, g

        moves = state.moves if reverts else state.gradient  # not looked at
        out = jax.tree.map(one, updates, state.sizes, state.gradient, moves)
        moves, sizes, gradient = jax.tree.transpose(
            jax.tree.structure(updates), jax.tree.structure((0, 0, 0)), out
        )
        loss = state.loss if value is None else jnp.asarray(value, jnp.float32)
        return moves, RpropState(sizes, gradient, moves if reverts else None, loss)

    return optax.GradientTransformationExtraArgs(init, update)


def rprop(
    size: float = 0.01,
    *,
    variant: RpropVariant = "irprop-",
    grow: float = 1.2,
    shrink: float = 0.5,
    smallest: float = 1e-6,
    largest: float = 50.0,
) -> Gradient:
    """Return the Rprop trainer on the full picture; see :func:`scale_by_rprop`.

    The same numbers give the same object.

    Raises:
        ValueError: A size is not above 0, ``grow`` below 1, or ``shrink`` not in (0, 1].

    >>> rprop() is rprop(0.01)
    True
    """
    check_positive(size=size, smallest=smallest, largest=largest, grow=grow, shrink=shrink)
    if smallest > largest:
        msg = f"smallest must be at most largest, got {smallest!r} and {largest!r}"
        raise ValueError(msg)
    if grow < 1 or shrink > 1:
        msg = f"grow must be at least 1 and shrink at most 1, got {grow!r} and {shrink!r}"
        raise ValueError(msg)
    return _rprop(size, variant, grow, shrink, smallest, largest)


@lru_cache(maxsize=64)
def _rprop(
    size: float,
    variant: RpropVariant,
    grow: float,
    shrink: float,
    smallest: float,
    largest: float,
) -> Gradient:
    rule = scale_by_rprop(
        variant, size, grow=grow, shrink=shrink, smallest=smallest, largest=largest
    )
    return Gradient(rule, sampling="full")


class SarpropState(NamedTuple):
    """Of each weight the step size and the last gradient; the key and the step."""

    sizes: Any
    gradient: Any
    key: PRNGKeyArray
    steps: Int[Array, ""]


def scale_by_sarprop(
    size: float = 0.01,
    *,
    temperature: float = 0.05,
    decay: float = 1e-5,
    grow: float = 1.2,
    shrink: float = 0.5,
    smallest: float = 1e-6,
    largest: float = 50.0,
    seed: int = 0,
) -> optax.GradientTransformationExtraArgs:
    """Return SARPROP, Rprop with annealed weight decay and noise, as an optax transformation.

    The gradient gets ``decay`` w / (1 + w^2), and a step that shrinks while it is small gets
    random noise in proportion to the root of the loss; both fade by 2^(-temperature step)
    (Treadgold and Gedeon, Simulated Annealing and Weight Decay in Adaptive Learning, 1998).
    ``update`` must be given ``value=``, and the weights.

    The paper's decay, 0.01, is for sums over the pixels. Of the means here it presses all
    weights to 0 while it is warm, and the network stays of one colour.

    >>> rule = scale_by_sarprop()
    >>> state = rule.init(jnp.zeros(()))
    >>> update, state = rule.update(jnp.array(2.0), state, jnp.zeros(()), value=0.5)
    >>> round(float(update), 4)
    -0.01
    """

    def init(params: Any) -> SarpropState:
        return SarpropState(
            jax.tree.map(lambda p: jnp.full_like(p, size), params),
            jax.tree.map(jnp.zeros_like, params),
            jax.random.key(seed),
            jnp.zeros((), jnp.int32),
        )

    def update(updates: Any, state: Any, params: Any = None, *, value: Any = None, **_: Any) -> Any:
        if value is None:
            msg = "sarprop asks for the loss: update(gradient, state, params, value=loss)"
            raise ValueError(msg)
        cold = 2.0 ** (-temperature * state.steps)
        key, drawn = jax.random.split(state.key)
        keys = jax.random.split(drawn, len(jax.tree.leaves(updates)))
        keys = jax.tree.unflatten(jax.tree.structure(updates), list(keys))

        def one(g, w, s, before, k):
            g = g + decay * cold * w / (1 + w * w)
            agreement = jnp.sign(g) * jnp.sign(before)
            noise = jax.random.uniform(k, s.shape) * jnp.sqrt(value) * cold**2 * 3
            shrunk = s * shrink + jnp.where(s < 0.1 * cold**2, noise, 0.0)
            s = jnp.where(agreement > 0, s * grow, jnp.where(agreement < 0, shrunk, s))
            s = jnp.clip(s, smallest, largest)
            g = jnp.where(agreement < 0, 0.0, g)
            return -jnp.sign(g) * s, s, g

        out = jax.tree.map(one, updates, params, state.sizes, state.gradient, keys)
        moves, sizes, gradient = jax.tree.transpose(
            jax.tree.structure(updates), jax.tree.structure((0, 0, 0)), out
        )
        return moves, SarpropState(sizes, gradient, key, state.steps + 1)

    return optax.GradientTransformationExtraArgs(init, update)


def sarprop(*, size: float = 0.01, temperature: float = 0.05, decay: float = 1e-5) -> Gradient:
    """Return the SARPROP trainer on the full picture; see :func:`scale_by_sarprop`.

    Raises:
        ValueError: A number is not above 0.

    >>> sarprop() is sarprop(size=0.01)
    True
    """
    check_positive(size=size, temperature=temperature, decay=decay)
    return _sarprop(size, temperature, decay)


@lru_cache(maxsize=64)
def _sarprop(size: float, temperature: float, decay: float) -> Gradient:
    rule = scale_by_sarprop(size, temperature=temperature, decay=decay)
    return Gradient(rule, sampling="full")


class QuickpropState(NamedTuple):
    """The last gradient and the last move of each weight."""

    gradient: Any
    moves: Any


def scale_by_quickprop(rate: float = 0.5, *, most: float = 1.75) -> optax.GradientTransformation:
    """Return Quickprop as an optax transformation, for gradients of the full batch.

    Each weight jumps to the bottom of the parabola through its last two slopes, at most
    ``most`` times as far as before; ``rate`` times the gradient starts it, and joins while
    the slope still points the way it moves (Fahlman, Faster-Learning Variations on
    Back-Propagation, 1988).

    >>> rule = scale_by_quickprop(0.1)
    >>> state = rule.init(jnp.zeros(()))
    >>> update, state = rule.update(jnp.array(2.0), state)
    >>> update, state = rule.update(jnp.array(1.0), state)  # half the slope: as far again
    >>> round(float(update), 4)  # and the gradient's own 0.1
    -0.3
    """
    reach = most / (1 + most)  # of the last slope; steeper, and the parabola is too far

    def init(params: Any) -> QuickpropState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return QuickpropState(zeros, zeros)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, QuickpropState]:
        del params

        def one(g, before, moved):
            onwards = g * moved <= 0  # the slope still points the way of the last move
            # beyond `reach` of the last slope, or past a change of its sign
            far = g * jnp.sign(before) > reach * jnp.abs(before)
            fall = jnp.where(far, 1.0, before - g)
            jump = jnp.where(far, most * moved, moved * g / jnp.where(fall == 0, 1.0, fall))
            return jump - jnp.where(onwards, rate * g, 0.0)

        moves = jax.tree.map(one, updates, state.gradient, state.moves)
        return moves, QuickpropState(updates, moves)

    return optax.GradientTransformation(init, update)


def quickprop(*, rate: float = 0.5, most: float = 1.75) -> Gradient:
    """Return the Quickprop trainer on the full picture; see :func:`scale_by_quickprop`.

    Raises:
        ValueError: A number is not above 0.

    >>> quickprop() is quickprop(rate=0.5)
    True
    """
    check_positive(rate=rate, most=most)
    return _quickprop(rate, most)


@lru_cache(maxsize=64)
def _quickprop(rate: float, most: float) -> Gradient:
    return Gradient(scale_by_quickprop(rate, most=most), sampling="full")
