"""Gradient descent by any optax transformation, with averaged weights to look at."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._calls import check_positive


@runtime_checkable
class Trainer(Protocol):
    """The face of every trainer; see :mod:`coordnet.trainers`."""

    @property
    def sampling(self) -> str | None:
        """The sampling it needs when the caller names none."""
        ...

    def init(self, params: Any, key: PRNGKeyArray) -> Any:
        """Return the state before the first step."""
        ...

    def step(self, state: Any, params: Any, problem: Any) -> tuple[Any, Any, dict[str, Array]]:
        """Make one update."""
        ...

    def shown(self, state: Any, params: Any) -> Any:
        """Return the weights to look at."""
        ...


class GradientState(NamedTuple):
    """The optimizer's state, the averaged weights (or None), the key and the step."""

    optimizer: Any
    average: Any
    key: PRNGKeyArray
    steps: Int[Array, ""]


@dataclass(frozen=True)
class Gradient:
    """A trainer made of an optax transformation.

    Args:
        optimizer: The transformation. Make it once and use it again: a new object, even of
            the same numbers, is compiled anew.
        average: If above 0, the weights shown are an average of all that came before, step
            t weighing (average + 1) / (average + t): about the last t / average steps.
            This gives at every moment what a decayed learning rate gives at the end
            (Shamir and Zhang, Stochastic Gradient Descent for Non-smooth Optimization, 2013).
        sampling: The sampling it needs when the caller names none.
        fixed: Draw one sample, the first, and stay with it: what remembers gradients from
            step to step, as L-BFGS does, needs the same function at each.

    >>> Gradient(optax.sgd(0.1)).average
    0.0
    """

    optimizer: optax.GradientTransformation
    average: float = 0.0
    sampling: str | None = None
    fixed: bool = False

    def init(self, params: Any, key: PRNGKeyArray) -> GradientState:
        """Return the state before the first step."""
        average = jax.tree.map(jnp.copy, params) if self.average else None
        return GradientState(self.optimizer.init(params), average, key, jnp.zeros((), jnp.int32))

    def step(
        self, state: GradientState, params: Any, problem: Any
    ) -> tuple[GradientState, Any, dict[str, Float[Array, ""]]]:
        """Take the gradient on the step's pixels and apply the transformation to it."""
        key, drawn = (state.key, state.key) if self.fixed else jax.random.split(state.key)
        loss, gradient = problem.value_and_grad(params, drawn)
        update = optax.with_extra_args_support(self.optimizer).update
        updates, optimizer = update(
            gradient,
            state.optimizer,
            params,
            value=loss,
            grad=gradient,
            value_fn=lambda p: problem.loss_of(p, drawn),  # for line searches; free otherwise
        )
        params = optax.apply_updates(params, updates)
        steps = state.steps + 1
        average = state.average
        if self.average:
            weight = (self.average + 1) / (self.average + steps)
            average = jax.tree.map(lambda a, p: a + weight * (p - a), average, params)
        return GradientState(optimizer, average, key, steps), params, {"loss": loss}

    def shown(self, state: GradientState, params: Any) -> Any:
        """Return the averaged weights, or those of a schedule-free optimizer, or ``params``."""
        # it may lie inside others, as in optax.chain(clip, schedule_free)
        for part in jax.tree.leaves(state.optimizer, is_leaf=_is_schedule_free):
            if _is_schedule_free(part):
                return optax.contrib.schedule_free_eval_params(part, params)
        return params if state.average is None else state.average


def _is_schedule_free(state: Any) -> bool:
    return isinstance(state, optax.contrib.ScheduleFreeState)


def adam(
    rate: float | optax.Schedule = 1e-2,
    *,
    b1: float = 0.9,
    b2: float = 0.99,
    average: float = 16.0,
    warmup: int = 0,
    per_layer: bool = False,
) -> Gradient:
    """Return Adam with averaged weights; the same numbers give the same object.

    Args:
        rate: The learning rate, constant after ``warmup`` steps; or an optax schedule.
        b1: Decay of the mean gradient.
        b2: Decay of the mean square.
        average: See :class:`Gradient`.
        warmup: Steps over which the rate rises from 0.
        per_layer: Divide each layer's rate by sqrt(fan_in + 1).

    Raises:
        ValueError: A number is out of range, or a schedule is given ``warmup``.

    >>> adam(1e-3) is adam(rate=0.001, average=16)
    True
    """
    if not callable(rate):
        check_positive(rate=rate)
    if not (0 <= b1 < 1 and 0 <= b2 < 1 and average >= 0 and warmup >= 0):
        msg = (
            "adam() needs b1 and b2 in [0, 1), average and warmup of at least 0, got "
            f"b1={b1!r}, b2={b2!r}, average={average!r}, warmup={warmup!r}"
        )
        raise ValueError(msg)
    if warmup and callable(rate):
        msg = "`warmup` goes with a constant rate; give the schedule its own"
        raise ValueError(msg)
    return _adam(rate, b1, b2, average, warmup, per_layer)


@lru_cache(maxsize=256)
def _adam(
    rate: float | optax.Schedule,
    b1: float,
    b2: float,
    average: float,
    warmup: int,
    per_layer: bool,
) -> Gradient:
    # tiny-cuda-nn's eps: entries of a grid that are seldom met must not be slowed by it
    parts = [optax.scale_by_adam(b1=b1, b2=b2, eps=1e-15)]
    if per_layer:
        parts.append(per_fan_in())
    if warmup and not callable(rate):
        rate = optax.linear_schedule(0.0, rate, warmup)
    parts.append(optax.scale_by_learning_rate(rate))
    return Gradient(optax.chain(*parts), average=average)


def lbfgs(*, memory: int = 20, points: int | None = None) -> Gradient:
    """Return optax's L-BFGS with its line search inside the compiled loop.

    Args:
        memory: Steps whose gradients are remembered.
        points: Fit a fixed sample of so many pixels; the full picture when missing.

    Raises:
        ValueError: A number is below 1.

    >>> lbfgs().sampling, lbfgs(points=65536).sampling
    ('full', 'pixels(points=65536)')
    """
    check_positive(memory=memory, points=1 if points is None else points)
    if memory != int(memory):
        msg = f"memory must be a whole number of steps, got {memory!r}"
        raise ValueError(msg)
    return _lbfgs(memory, points)


@lru_cache(maxsize=64)
def _lbfgs(memory: int, points: int | None) -> Gradient:
    sampling = "full" if points is None else f"pixels(points={points})"
    return Gradient(optax.lbfgs(memory_size=memory), sampling=sampling, fixed=True)


@lru_cache(maxsize=1)
def per_fan_in() -> optax.GradientTransformation:
    """Return a transformation that divides each layer's update by sqrt(fan_in + 1).

    The per-layer rates of the Mona Lisa experiment (github.com/evolvingstuff/MonaLisa).
    A layer's bias shares the rate of its weight; what is no layer keeps its update.

    >>> import jax.numpy as jnp
    >>> layer = {"weight": jnp.ones((2, 3)), "bias": jnp.ones(2)}
    >>> out, _ = per_fan_in().update(layer, per_fan_in().init(layer))
    >>> float(out["bias"][0])
    0.5
    """

    def names(path: tuple[Any, ...]) -> tuple[str, ...]:
        return tuple(str(getattr(p, "key", getattr(p, "name", p))) for p in path)

    def layer(path: tuple[Any, ...]) -> tuple[str, ...]:
        parts = names(path)
        return parts[: next((i for i, p in enumerate(parts) if p in ("weight", "bias")), None)]

    def scale(updates: Any) -> Any:
        fan_in = {
            layer(path): leaf.shape[1]
            for path, leaf in jax.tree.leaves_with_path(updates)
            if leaf.ndim == 2 and layer(path) != names(path)
        }
        return jax.tree.map_with_path(
            lambda path, u: u * (fan_in.get(layer(path), 0) + 1) ** -0.5, updates
        )

    return optax.stateless(lambda updates, params: scale(updates))


def as_trainer(trainer: Trainer | optax.GradientTransformation) -> Trainer:
    """Return ``trainer`` itself, or the trainer of an optax transformation.

    Raises:
        TypeError: It is neither.

    >>> as_trainer(adam()) is adam()
    True
    """
    if isinstance(trainer, optax.GradientTransformation):
        return Gradient(trainer)
    face = ("init", "step", "shown", "sampling")
    if all(hasattr(trainer, name) for name in face) and not isinstance(trainer, type):
        return trainer
    msg = (
        "`trainer` must be an optax transformation, or a coordnet trainer with init, step, shown "
        f"and sampling; got {trainer!r:.80}; for example trainer=optax.adam(1e-3)"
        f"{', or this function called' if callable(trainer) else ''}"
    )
    raise TypeError(msg)
