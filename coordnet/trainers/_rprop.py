"""Resilient propagation: a step size for each weight, moved by the gradient's sign alone."""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ._gradient import Gradient


class IRpropState(NamedTuple):
    """The step size of each weight and the gradient of the last step."""

    sizes: Any
    gradient: Any


def scale_by_irprop(
    size: float = 0.01,
    *,
    grow: float = 1.2,
    shrink: float = 0.5,
    smallest: float = 1e-6,
    largest: float = 50.0,
) -> optax.GradientTransformation:
    """Return iRprop- as an optax transformation; it asks for gradients of the full batch.

    Where the gradient keeps its sign, the weight's step grows; where it changed, the step
    shrinks and the weight rests for one step, after which it neither grows nor shrinks
    (Igel and Hüsken, Improving the Rprop Learning Algorithm, 2000). The defaults are
    those of ``torch.optim.Rprop``, which is the same method.

    ``optax.rprop`` 0.2.8 applies each update one step late; this one does not.

    >>> import jax.numpy as jnp
    >>> rule = scale_by_irprop(0.1)
    >>> state = rule.init(jnp.zeros(()))
    >>> update, state = rule.update(jnp.array(2.0), state)
    >>> float(update)  # against the gradient, whatever its length
    -0.10000000149011612
    """

    def init(params: Any) -> IRpropState:
        sizes = jax.tree.map(lambda p: jnp.full_like(p, size), params)
        return IRpropState(sizes, jax.tree.map(jnp.zeros_like, params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, IRpropState]:
        del params

        def one(g, s, before):
            agreement = jnp.sign(g) * jnp.sign(before)  # a product could underflow
            factor = jnp.where(agreement > 0, grow, jnp.where(agreement < 0, shrink, 1.0))
            s = jnp.clip(s * factor, smallest, largest)
            g = jnp.where(agreement < 0, 0.0, g)
            return -jnp.sign(g) * s, s, g

        out = jax.tree.map(one, updates, state.sizes, state.gradient)
        moves, sizes, gradient = jax.tree.transpose(
            jax.tree.structure(updates), jax.tree.structure((0, 0, 0)), out
        )
        return moves, IRpropState(sizes, gradient)

    return optax.GradientTransformation(init, update)


def rprop(
    size: float = 0.01,
    *,
    grow: float = 1.2,
    shrink: float = 0.5,
    smallest: float = 1e-6,
    largest: float = 50.0,
) -> Gradient:
    """Return the iRprop- trainer on the full picture; see :func:`scale_by_irprop`.

    The same numbers give the same object.

    >>> rprop() is rprop(0.01)
    True
    """
    return _rprop(size, grow, shrink, smallest, largest)


@lru_cache(maxsize=64)
def _rprop(size: float, grow: float, shrink: float, smallest: float, largest: float) -> Gradient:
    rule = scale_by_irprop(size, grow=grow, shrink=shrink, smallest=smallest, largest=largest)
    return Gradient(rule, sampling="full")
