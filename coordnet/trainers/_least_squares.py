"""Least squares: Levenberg-Marquardt steps on a sample of the pixels that grows as it must."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._nets import CoordNet, tensor_name

_POINTS = 2048  # pixels of a part: its Jacobian, weights x channels x points, is all that is held
_SAMPLE = 14  # pixels for each weight to begin with: of fewer a step learns its sample by heart
_MATRIX = 2  # parts that the normal matrix is added up from: a preconditioner on larger samples
_MOST_WEIGHTS = 20_000  # of which the normal matrix takes 1.6 GB
_REFINEMENTS = 8  # conjugate gradients with the matrix of a smaller sample to help
# The damping's unit of a weight is its curvature and this share of the mean curvature. Without
# it weights of saturated units run away: 20.6 instead of 23.9 dB on Lenna (1e-6, 0.3; 10 s).
_FLOOR = 0.3
_TRIALS = 8  # dampings tried on one sample before another is drawn
# A step of the warm-up: so many updates of Adam, on so many pixels each; about as long as a step.
_UPDATES, _FEW = 500, 4096
_WORK = 2**21  # weights times updates of a step: larger networks get fewer, at least 8


class LeastSquaresState(NamedTuple):
    """What a step hands to the next.

    The number of ``steps`` and Adam's ``rate`` in the warm-up; ``damping`` and its ``growth`` if
    a step fails; the number of ``parts`` in a sample; the weights ``before`` the last step,
    what it ``gained`` on its own sample, and the share of such gains that other samples have
    confirmed (``worth``).
    """

    steps: Int[Array, ""]
    rate: Float[Array, ""]
    damping: Float[Array, ""]
    growth: Float[Array, ""]
    parts: Int[Array, ""]
    before: Float[Array, " weights"]
    gained: Float[Array, ""]
    worth: Float[Array, ""]
    key: PRNGKeyArray


class _Sample(NamedTuple):
    """The sum of squares at some weights, and how to solve for a step from there."""

    squares: Float[Array, ""]
    solve: Callable[[Float[Array, ""]], tuple[Array, Array]]
    """Of a damping: the step, and what the squares should fall by."""


@dataclass(frozen=True)
class LeastSquares:
    """Levenberg-Marquardt: each step solves for all weights at once, on the squared error.

    The damping follows the gain ratio (Nielsen, Damping Parameter in Marquardt's Method,
    1999). A step sees a sample of the pixels, spread over the picture; when less than half of
    what steps gain there is found again on the next sample, the sample grows, at last to the
    whole picture. Where it ends depends on where it begins, and the first weights are no good
    place: the first steps are some hundred updates of Adam each.

    A fit looks at the clock between steps, and of a large network one step takes long: with
    ``iterations=20``, 323,203 weights and 16,384 pixels two seconds on two cores, and as the
    product of both.

    Args:
        damping: To begin with, in units of the normal matrix's diagonal.
        warmup: How many of the first steps are Adam's.
        iterations: 0 solves the normal equations by Cholesky, for up to 20,000 weights;
            more solves them approximately by so many conjugate gradients, without a matrix,
            for any network.
        sampling: The picture is laid out by chunks.

    >>> LeastSquares().iterations
    0
    """

    damping: float = 1e-2
    warmup: int = 16
    iterations: int = 0
    sampling: str | None = "full"

    def init(self, params: Any, key: PRNGKeyArray) -> LeastSquaresState:
        """Return the state before the first step."""
        weights = sum(leaf.size for leaf in jax.tree.leaves(params))
        names = [tensor_name(path) for path, _ in jax.tree.leaves_with_path(params)]
        layers_alone = all(name.startswith("layers.") for name in names)
        if not self.iterations and not (weights <= _MOST_WEIGHTS and layers_alone):
            found = f"{weights:,} weights" if layers_alone else "weights beside its layers"
            msg = (
                f"least_squares() solves for the layers of a CoordNet, up to {_MOST_WEIGHTS:,} "
                f"weights, and this network has {found}; least_squares(iterations=20) goes by "
                "conjugate gradients and takes any"
            )
            raise ValueError(msg)
        return LeastSquaresState(
            steps=jnp.int32(0),
            rate=jnp.float32(1e-2),
            damping=jnp.float32(self.damping),
            growth=jnp.float32(2.0),
            parts=jnp.int32(min(max(_MATRIX, -(-_SAMPLE * weights // _POINTS)), 2**20)),
            before=ravel_pytree(params)[0],
            gained=jnp.float32(0.0),
            worth=jnp.float32(1.0),
            key=key,
        )

    def step(
        self, state: LeastSquaresState, params: Any, problem: Any
    ) -> tuple[LeastSquaresState, Any, dict[str, Array]]:
        """Draw a sample, and take the first step that lowers its squared error."""
        with jax.default_matmul_precision("highest"):
            if not self.warmup:
                return self._step(state, params, problem)
            warm = partial(_warmed, state, params, problem)
            solve = partial(self._step, state, params, problem)
            return jax.lax.cond(state.steps < self.warmup, warm, solve)

    def _step(self, state, params, problem):
        flat, unravel = ravel_pytree(params)
        key, drawn = jax.random.split(state.key)
        pixels = problem.size[0] * problem.size[1] if problem.visible is None else problem.shown
        whole = -(-pixels // _POINTS)
        count = jnp.minimum(state.parts, whole)

        squares = _Products(problem, flat, unravel, drawn, count).squares
        if self.iterations:
            sample = _by_conjugate_gradients(problem, params, drawn, count, self.iterations)
        else:
            sample = _by_cholesky(problem, params, drawn, count)

        def attempt(carry):
            trials, damping, growth, *_ = carry
            move, expected = sample.solve(damping)
            after = squares(flat + move)
            ratio = (sample.squares - after) / expected
            good = jnp.isfinite(after) & (ratio > 1e-3)
            eased = damping * jnp.maximum(1 / 3, 1 - (2 * ratio - 1) ** 3)
            damping = jnp.clip(jnp.where(good, eased, damping * growth), 1e-10, 1e10)
            growth = jnp.where(good, 2.0, growth * 2)
            return trials + 1, damping, growth, good, jnp.where(good, flat + move, flat), after

        _, damping, growth, good, moved, after = jax.lax.while_loop(
            lambda c: ~c[3] & (c[0] < _TRIALS),
            attempt,
            (0, state.damping, state.growth, jnp.bool_(False), flat, sample.squares),
        )
        # what the last step gained, seen by this sample
        found = squares(state.before) - sample.squares
        share = jnp.where(state.gained > 0, found / count / state.gained, 1.0)
        worth = 0.8 * state.worth + 0.2 * jnp.clip(share, -1.0, 1.0)
        grow = (worth < 0.5) | ~good
        parts = jnp.where(grow, jnp.minimum(count + (count + 2) // 3, whole), count)
        loss = sample.squares / (jnp.minimum(count * _POINTS, pixels) * problem.target.shape[0])
        after = LeastSquaresState(
            steps=state.steps + 1,
            rate=state.rate,
            damping=damping,
            growth=jnp.where(good, growth, 2.0),
            parts=parts.astype(jnp.int32),
            before=flat,
            gained=jnp.where(good, sample.squares - after, 0.0) / count,
            worth=jnp.where(grow, 1.0, worth),
            key=key,
        )
        return after, unravel(moved), {"loss": loss}

    def shown(self, state: LeastSquaresState, params: Any) -> Any:
        """Return ``params``."""
        return params


def _warmed(state, params, problem):
    """Return the averaged weights after some updates of Adam, if these are any better."""
    flat, unravel = ravel_pytree(params)
    key, drawn, seen = jax.random.split(state.key, 3)
    rule = optax.scale_by_adam(b2=0.99)

    def sample(k):
        return problem.part(k, jnp.int32(0), jnp.int32(1), _FEW)

    def loss(weights, batch):
        return problem.loss_on(unravel(weights), batch)

    def update(i, carry):
        weights, average, adam = carry
        slope = jax.grad(loss)(weights, sample(jax.random.fold_in(drawn, i)))
        move, adam = rule.update(slope, adam)
        weights = weights - state.rate * move
        return weights, average + 0.02 * (weights - average), adam  # of the last fifty

    updates = max(8, min(_UPDATES, _WORK // flat.size))
    _, average, _ = jax.lax.fori_loop(0, updates, update, (flat, flat, rule.init(flat)))
    others = sample(seen)
    before, after = loss(flat, others), loss(average, others)
    good = after < before  # not so of NaN
    flat = jnp.where(good, average, flat)
    state = state._replace(
        steps=state.steps + 1,
        rate=jnp.where(good, state.rate, state.rate / 4),
        before=flat,
        key=key,
    )
    return state, unravel(flat), {"loss": jnp.where(good, after, before)}


def _by_cholesky(problem, params, key, count) -> _Sample:
    """Solve with the normal matrix, added up part by part, of up to ``_MATRIX`` parts.

    A larger sample is solved by conjugate gradients, for which the matrix of the smaller one
    is so good a preconditioner that a few products with the Jacobian are enough: they cost
    a hundredth of the matrix.
    """
    names = [tensor_name(path) for path, _ in jax.tree.leaves_with_path(params)]
    flat, unravel = ravel_pytree(params)
    net = nnx.merge(problem.graphdef, params, problem.rest)
    assert isinstance(net, CoordNet)
    dense = jnp.minimum(count, _MATRIX)

    def add(i, matrix):
        batch = problem.part(key, i, dense, _POINTS)
        _, columns = net.jacobian(batch.ys, batch.xs)
        jacobian = jnp.concatenate([columns[name] for name in names]) * batch.weight
        jacobian = jacobian.reshape(flat.size, -1)
        return matrix + jacobian @ jacobian.T

    matrix = jax.lax.fori_loop(0, dense, add, jnp.zeros((flat.size, flat.size)))
    matrix = matrix * (count / dense)
    products = _Products(problem, flat, unravel, key, count)
    squares, gradient = products.descent()
    diagonal = jnp.diagonal(matrix)
    scale = diagonal + _FLOOR * jnp.mean(diagonal) + 1e-30

    def solve(damping):
        factor = jax.scipy.linalg.cho_factor(matrix + jnp.diag(damping * scale))

        def near(v):
            return jax.scipy.linalg.cho_solve(factor, v)

        def exact():
            return near(-gradient)

        def iterated():
            move, _ = jax.scipy.sparse.linalg.cg(
                lambda v: products.normal(v) + damping * scale * v,
                -gradient,
                M=near,
                maxiter=_REFINEMENTS,
                tol=1e-2,
            )
            return move

        move = jax.lax.cond(count > dense, iterated, exact)
        return move, move @ (damping * scale * move - gradient)

    return _Sample(squares, solve)


class _Products(NamedTuple):
    """The residuals of a sample, by products with their Jacobian and its transpose alone."""

    problem: Any
    flat: Float[Array, " weights"]
    unravel: Callable[[Array], Any]
    key: PRNGKeyArray
    parts: Int[Array, ""]

    def errors(self, weights, i):
        batch = self.problem.part(self.key, i, self.parts, _POINTS)
        error = self.problem.predict(self.unravel(weights), batch) - batch.target
        return error * batch.weight

    def squares(self, weights):
        """Return the sum of squares at other weights."""
        return self.over(lambda i: jnp.sum(jnp.square(self.errors(weights, i))), jnp.zeros(()))

    def descent(self):
        """Return the sum of squares and half its gradient."""

        def one(i):
            error, back = jax.vjp(partial(self.errors, i=i), self.flat)
            return jnp.sum(error * error), back(error)[0]

        return self.over(one, (jnp.zeros(()), jnp.zeros_like(self.flat)))

    def normal(self, v):
        """Return the normal matrix times ``v``."""

        def one(i):
            _, forward = jax.linearize(partial(self.errors, i=i), self.flat)
            return jax.linear_transpose(forward, self.flat)(forward(v))[0]

        return self.over(one, jnp.zeros_like(self.flat))

    def over(self, f, zero):
        return jax.lax.fori_loop(
            0, self.parts, lambda i, total: jax.tree.map(jnp.add, total, f(i)), zero
        )


def _by_conjugate_gradients(problem, params, key, count, iterations) -> _Sample:
    """Solve by products with the Jacobian and its transpose alone."""
    flat, unravel = ravel_pytree(params)
    products = _Products(problem, flat, unravel, key, count)
    squares, gradient = products.descent()
    length = gradient @ gradient + 1e-30
    # the curvature along the gradient is the damping's unit
    scale = (gradient @ products.normal(gradient)) / length + 1e-30

    def solve(damping):
        move, _ = jax.scipy.sparse.linalg.cg(
            lambda v: products.normal(v) + damping * scale * v,
            -gradient,
            maxiter=iterations,
            tol=1e-4,
        )
        # of an approximate solution: from its own curvature
        return move, -(2 * gradient @ move + move @ products.normal(move))

    return _Sample(squares, solve)


def least_squares(*, damping: float = 1e-2, warmup: int = 16, iterations: int = 0) -> LeastSquares:
    """Return the Levenberg-Marquardt trainer; see ``coordnet.trainers.LeastSquares``.

    Raises:
        ValueError: A number is out of range.

    >>> least_squares() == least_squares(damping=1e-2)
    True
    """
    if not damping > 0 or warmup < 0 or iterations < 0:
        msg = (
            "least_squares() needs damping above 0 and warmup and iterations of at least 0, got "
            f"damping={damping}, warmup={warmup} and iterations={iterations}"
        )
        raise ValueError(msg)
    return LeastSquares(damping, warmup, iterations)
