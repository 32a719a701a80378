"""A population of weightings that breed: no gradient needed, though one may help."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from .._calls import check_positive
from ._ridge import solved_on

_MOST_VALUES = 2**31  # of a whole population: 8.6 GB in float32
# Of the mean square of what comes into a last layer. The smallest fits best, but below float32's
# noise wide layers have no Cholesky factor: 3x128 never at 1e-6, always at 1e-5.
_RIDGES = (1e-4, 1e-5, 1e-6)
_SPREAD = 0.6  # of a child's deviation about its parent's, in its logarithm
# Of the first deviation: without a least one it falls to nothing, for small changes survive the
# noise of samples best (18.8 against 19.5 dB, 9000 generations on 64x64 pixels).
_LEAST = 0.01


class GeneticState(NamedTuple):
    """The elites, best first: weights, the strides that led there, deviations of mutations."""

    elites: Float[Array, "elites weights"]
    strides: Float[Array, "elites weights"]
    sigmas: Float[Array, " elites"]
    key: PRNGKeyArray
    steps: Int[Array, ""]


@dataclass(frozen=True)
class Genetic:
    """A genetic algorithm over whole weightings; one step is one generation.

    Each generation is measured on one sample of pixels. The best ``elites`` live on; all
    others are replaced by children: each weight from one of two parents drawn among the
    elites, then a random part of the stride that led from its own parent to the better of the
    two, then normal noise, whose deviation the children inherit and mutate too
    (self-adaptation: Bäck, Evolutionary Algorithms in Theory and Practice, 1996). The whole
    population is one batched computation.

    Args:
        individuals: The population.
        elites: How many live on and breed.
        points: Pixels that a generation is measured on.
        sigma: The mutations' deviation to begin with.
        solve_last: Give each the last layer that fits a sample best, in closed form and
            still without a gradient, where it is better on another; for a CoordNet.
        gradient_steps: Steps of Adam that each child learns before it is measured: a hybrid.
        rate: Adam's.
        sampling: The picture is laid out by chunks.

    >>> Genetic(individuals=64).elites
    4
    """

    individuals: int = 32
    elites: int = 4
    points: int = 512
    sigma: float = 0.2
    solve_last: bool = False
    gradient_steps: int = 0
    rate: float = 1e-2
    sampling: str | None = "full"

    def init(self, params: Any, key: PRNGKeyArray) -> GeneticState:
        """Return the weights given, and elites beside them of the same distribution."""
        flat, _ = ravel_pytree(params)
        # of each weight six copies (parents, children, strides, moments); of each pixel what
        # goes into and comes out of the widest layer, or of all where gradients need them
        widths = [leaf.shape[0] for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
        alive = sum(widths) if self.gradient_steps else 2 * max(widths, default=1)
        values = self.individuals * (6 * flat.size + alive * self.points)
        if values > _MOST_VALUES:
            msg = (
                f"a population of {self.individuals:,} networks of {flat.size:,} weights, measured "
                f"on {self.points:,} pixels, takes {4 * values / 1e9:,.0f} GB; make it smaller, "
                "or fit by gradients: trainer=None"
            )
            raise ValueError(msg)
        key, drawn = jax.random.split(key)

        others = _shuffled(params, jax.random.split(drawn, self.elites - 1))
        elites = jnp.concatenate([flat[None], others])
        sigmas = jnp.full((self.elites,), self.sigma)
        return GeneticState(elites, jnp.zeros_like(elites), sigmas, key, jnp.zeros((), jnp.int32))

    def step(
        self, state: GeneticState, params: Any, problem: Any
    ) -> tuple[GeneticState, Any, dict[str, Array]]:
        """Breed a generation, measure it beside its elites, and keep the best."""
        _, unravel = ravel_pytree(params)
        key, kb, kl, ks, km = jax.random.split(state.key, 5)
        children, origins, sigmas = jax.vmap(self._child, (0, None))(
            jax.random.split(kb, self.individuals - self.elites), state
        )
        if self.gradient_steps:
            children = self._learnt(children, unravel, problem, kl)
        population = jnp.concatenate([state.elites, children])
        batch = self._pixels(problem, km)

        def losses_of(weights):
            return jax.vmap(lambda w: problem.loss_on(unravel(w), batch))(weights)

        losses = losses_of(population)
        if self.solve_last:
            sample = self._pixels(problem, ks)  # others than those that judge the solution

            def solve(w):
                return ravel_pytree(solved_on(unravel(w), problem, sample, _RIDGES))[0]

            solved = jax.vmap(solve)(population)
            found = losses_of(solved)
            better = found < losses  # not so where there is no solution: NaN
            population = jnp.where(better[:, None], solved, population)
            losses = jnp.where(better, found, losses)
        strides = jnp.concatenate([state.strides, population[self.elites :] - origins])
        sigmas = jnp.concatenate([state.sigmas, sigmas])
        best = jnp.argsort(jnp.where(jnp.isfinite(losses), losses, jnp.inf))[: self.elites]
        after = GeneticState(population[best], strides[best], sigmas[best], key, state.steps + 1)
        return after, unravel(after.elites[0]), {"loss": losses[best[0]]}

    def shown(self, state: GeneticState, params: Any) -> Any:
        """Return ``params``: the best of the last generation."""
        return params

    def population(self, state: GeneticState, params: Any) -> Any:
        """Return the elites, best first, along a first axis of each tensor."""
        _, unravel = ravel_pytree(params)
        return jax.vmap(unravel)(state.elites)

    def _child(self, key, state):
        """Return a child, whom its stride is counted from, and its mutations' deviation."""
        kp, kx, ks, kn, kf = jax.random.split(key, 5)
        # the better of the elites are drawn more often
        a, b = jnp.minimum(*jax.random.randint(kp, (2, 2), 0, self.elites))
        a, b = jnp.minimum(a, b), jnp.maximum(a, b)
        size = state.elites.shape[1]
        one, other = state.elites[a], state.elites[b]
        child = jnp.where(jax.random.bernoulli(kx, 0.5, (size,)), one, other)
        child = child + jax.random.uniform(kf) * state.strides[a]
        sigma = state.sigmas[a] * jnp.exp(_SPREAD * jax.random.normal(ks))
        sigma = jnp.maximum(sigma, _LEAST * self.sigma)
        return child + sigma * jax.random.normal(kn, (size,)), one, sigma

    def _pixels(self, problem, key):
        points = min(self.points, problem.size[0] * problem.size[1])
        return problem.part(key, jnp.int32(0), jnp.int32(1), points)

    def _learnt(self, children, unravel, problem, key):
        """Return the children after some steps of Adam, all on the same pixels."""
        rule = optax.adam(self.rate)

        def learn(carry, k):
            children, state = carry
            batch = self._pixels(problem, k)
            slope = jax.vmap(jax.grad(lambda w: problem.loss_on(unravel(w), batch)))
            moves, state = rule.update(slope(children), state)
            return (optax.apply_updates(children, moves), state), None

        keys = jax.random.split(key, self.gradient_steps)
        (children, _), _ = jax.lax.scan(learn, (children, rule.init(children)), keys)
        return jnp.asarray(children)


@jax.jit
def _shuffled(params: Any, keys: Key[Array, " keys"]) -> Float[Array, "keys weights"]:
    """Return other weights of the same sizes: each tensor shuffled, its signs drawn anew."""

    def one(key):
        leaves, tree = jax.tree.flatten(params)
        keys = jax.random.split(key, 2 * len(leaves)).reshape(len(leaves), 2)
        shuffled = [
            jax.random.permutation(a, leaf.ravel()).reshape(leaf.shape)
            * jax.random.rademacher(b, leaf.shape, leaf.dtype)
            for leaf, (a, b) in zip(leaves, keys, strict=True)
        ]
        return ravel_pytree(jax.tree.unflatten(tree, shuffled))[0]

    return jax.lax.map(one, keys)


def genetic(
    *,
    individuals: int = 32,
    elites: int = 4,
    points: int = 512,
    sigma: float = 0.2,
    solve_last: bool = False,
    gradient_steps: int = 0,
    rate: float = 1e-2,
) -> Genetic:
    """Return the genetic trainer; see ``coordnet.trainers.Genetic``.

    Raises:
        ValueError: A number is out of range.

    >>> genetic() == genetic(individuals=32)
    True
    """
    if not (2 <= elites < individuals and points >= 1 and gradient_steps >= 0):
        msg = (
            "genetic() needs at least 2 elites, more individuals than elites, at least 1 point and "
            f"0 gradient_steps, got elites={elites}, individuals={individuals}, points={points} "
            f"and gradient_steps={gradient_steps}"
        )
        raise ValueError(msg)
    check_positive(sigma=sigma, rate=rate)
    return Genetic(individuals, elites, points, sigma, solve_last, gradient_steps, rate)
