"""A population of weightings that breed: no gradient needed, though one may help."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

_MOST_VALUES = 2**29  # weights of a whole population: 2 GB


class GeneticState(NamedTuple):
    """A population, best first: each one's weights and its mutations' deviation."""

    population: Float[Array, "individuals weights"]
    sigmas: Float[Array, " individuals"]
    key: PRNGKeyArray
    steps: Int[Array, ""]


@dataclass(frozen=True)
class Genetic:
    """A genetic algorithm over whole weightings; one step is one generation.

    Each generation is measured on one sample of pixels. The best ``elites`` live on; all
    others are replaced by children, each weight from one of two parents drawn among the
    elites, some of the weights mutated by normal noise whose deviation the children inherit
    and mutate too (self-adaptation: Bäck, Evolutionary Algorithms in Theory and Practice,
    1996). The whole population is one batched computation.

    Args:
        individuals: The population.
        elites: How many live on and breed.
        points: Pixels that a generation is measured on.
        sigma: The mutations' deviation to begin with.
        share: Of a child's weights that mutate.
        gradient_steps: Steps of Adam that each child learns before it is measured: a hybrid.
        rate: Adam's.
        sampling: The picture is laid out by chunks.

    >>> Genetic(individuals=64).elites
    16
    """

    individuals: int = 128
    elites: int = 16
    points: int = 4096
    sigma: float = 0.1
    share: float = 0.1
    gradient_steps: int = 0
    rate: float = 1e-2
    sampling: str | None = "full"

    def init(self, params: Any, key: PRNGKeyArray) -> GeneticState:
        """Return a population of the weights given and others of the same distribution."""
        flat, _ = ravel_pytree(params)
        if self.individuals * flat.size > _MOST_VALUES:
            msg = (
                f"a population of {self.individuals:,} networks of {flat.size:,} weights takes "
                f"{4 * self.individuals * flat.size / 1e9:,.0f} GB; make it smaller, or fit by "
                "gradients: trainer=None"
            )
            raise ValueError(msg)
        key, drawn = jax.random.split(key)

        def another(k):
            # each tensor shuffled, and its signs drawn anew
            leaves, tree = jax.tree.flatten(params)
            keys = jax.random.split(k, 2 * len(leaves)).reshape(len(leaves), 2)
            shuffled = [
                jax.random.permutation(a, leaf.ravel()).reshape(leaf.shape)
                * jax.random.rademacher(b, leaf.shape, leaf.dtype)
                for leaf, (a, b) in zip(leaves, keys, strict=True)
            ]
            return ravel_pytree(jax.tree.unflatten(tree, shuffled))[0]

        others: Array = jax.lax.map(another, jax.random.split(drawn, self.individuals - 1))
        return GeneticState(
            jnp.concatenate([flat[None], others]),
            jnp.full((self.individuals,), self.sigma),
            key,
            jnp.zeros((), jnp.int32),
        )

    def step(
        self, state: GeneticState, params: Any, problem: Any
    ) -> tuple[GeneticState, Any, dict[str, Array]]:
        """Breed a generation, measure it beside its elites, and sort it."""
        _, unravel = ravel_pytree(params)
        key, kb, kl, km = jax.random.split(state.key, 4)
        count = self.individuals - self.elites
        children, sigmas = jax.vmap(self._child, (0, None, None))(
            jax.random.split(kb, count), state.population, state.sigmas
        )
        if self.gradient_steps:
            batches = [
                problem.part(k, jnp.int32(0), jnp.int32(1), self.points)
                for k in jax.random.split(kl, self.gradient_steps)
            ]
            learnt = jax.vmap(lambda w: self._learnt(w, unravel, problem, batches))
            children = jnp.asarray(learnt(children))
        population = jnp.concatenate([state.population[: self.elites], children])
        sigmas = jnp.concatenate([state.sigmas[: self.elites], sigmas])
        batch = problem.part(km, jnp.int32(0), jnp.int32(1), self.points)
        losses = jax.vmap(lambda w: problem.loss_on(unravel(w), batch))(population)
        order = jnp.argsort(jnp.where(jnp.isfinite(losses), losses, jnp.inf))
        after = GeneticState(population[order], sigmas[order], key, state.steps + 1)
        return after, unravel(after.population[0]), {"loss": losses[order[0]]}

    def shown(self, state: GeneticState, params: Any) -> Any:
        """Return ``params``: the best of the last generation."""
        return params

    def _child(self, key, population, sigmas):
        kp, kx, ks, km, kn = jax.random.split(key, 5)
        # the better of the elites are drawn more often
        a, b = jnp.minimum(*jax.random.randint(kp, (2, 2), 0, self.elites))
        size = population.shape[1]
        child = jnp.where(jax.random.bernoulli(kx, 0.5, (size,)), population[a], population[b])
        sigma = sigmas[a] * jnp.exp(0.3 * jax.random.normal(ks))
        mutates = jax.random.bernoulli(km, self.share, (size,))
        return child + mutates * sigma * jax.random.normal(kn, (size,)), sigma

    def _learnt(self, weights, unravel, problem, batches):
        rule = optax.adam(self.rate)
        state = rule.init(weights)
        for batch in batches:
            gradient = jax.grad(lambda w, b=batch: problem.loss_on(unravel(w), b))(weights)
            moves, state = rule.update(gradient, state)
            weights = optax.apply_updates(weights, moves)
        return weights


def genetic(
    *,
    individuals: int = 128,
    elites: int = 16,
    points: int = 4096,
    sigma: float = 0.1,
    share: float = 0.1,
    gradient_steps: int = 0,
    rate: float = 1e-2,
) -> Genetic:
    """Return the genetic trainer; see :class:`Genetic`.

    Raises:
        ValueError: A number is out of range.

    >>> genetic() == genetic(individuals=128)
    True
    """
    if not (2 <= elites < individuals and points >= 1 and gradient_steps >= 0):
        msg = (
            "genetic() needs at least 2 elites, more individuals than elites, and at least 1 "
            f"point, got elites={elites}, individuals={individuals}, points={points} and "
            f"gradient_steps={gradient_steps}"
        )
        raise ValueError(msg)
    if not (sigma > 0 and 0 < share <= 1 and rate > 0):
        msg = (
            "genetic() needs sigma and rate above 0 and share in (0, 1], got "
            f"sigma={sigma}, share={share} and rate={rate}"
        )
        raise ValueError(msg)
    return Genetic(individuals, elites, points, sigma, share, gradient_steps, rate)
