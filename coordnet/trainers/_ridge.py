"""The last layer in closed form, as a start for another trainer and from time to time."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Int, PRNGKeyArray

from .._calls import check_positive
from .._nets import CoordNet, tensor_name
from ._gradient import Trainer, as_trainer

_POINTS = 16_384  # pixels that the last layer is solved on
_WHITEST = 0.99  # a sigmoid's target ends here: its logit is infinite at 1


class RidgeState(NamedTuple):
    """The state of the trainer that goes on from there; the key and the step."""

    inner: Any
    key: PRNGKeyArray
    steps: Int[Array, ""]


@dataclass(frozen=True)
class Ridge:
    """A trainer that solves the last layer by ridge regression, and leaves the rest to another.

    Of a sigmoid the logits are solved for; the solution is kept only if the true loss falls,
    on other pixels than those it was solved on.

    Args:
        trainer: Which moves all weights.
        every: Steps between solutions; 0 is once, before the first step.
        share: The ridge, of the mean square of what comes into the layer. The smaller, the
            nearer to the picture and the larger the weights: from those of 1e-6 a step of Adam
            threw the Lenna network to 5 dB, and it never came back.

    >>> from coordnet.trainers import adam
    >>> Ridge(adam()).sampling is None
    True
    """

    trainer: Trainer
    every: int = 0
    share: float = 1e-2

    @property
    def sampling(self) -> str | None:
        """The other trainer's."""
        return self.trainer.sampling

    def init(self, params: Any, key: PRNGKeyArray) -> RidgeState:
        """Return the state before the first step."""
        mine, its = jax.random.split(key)
        return RidgeState(self.trainer.init(params, its), mine, jnp.zeros((), jnp.int32))

    def step(
        self, state: RidgeState, params: Any, problem: Any
    ) -> tuple[RidgeState, Any, dict[str, Array]]:
        """Solve the last layer if it is time, then make a step of the other trainer."""
        key, drawn = jax.random.split(state.key)
        due = state.steps % self.every == 0 if self.every else state.steps == 0
        params = jax.lax.cond(
            due, lambda: solved(params, problem, drawn, self.share), lambda: params
        )
        inner, params, info = self.trainer.step(state.inner, params, problem)
        return RidgeState(inner, key, state.steps + 1), params, info

    def shown(self, state: RidgeState, params: Any) -> Any:
        """Return what the other trainer shows."""
        return self.trainer.shown(state.inner, params)


def solved(params: Any, problem: Any, key: PRNGKeyArray, share: float) -> Any:
    """Return the weights with the last layer solved for, or as they were if that is no better."""
    batch, others = (
        problem.part(k, jnp.int32(0), jnp.int32(1), _POINTS) for k in jax.random.split(key)
    )
    better = solved_on(params, problem, batch, (share,))
    before, after = (problem.loss_on(p, others) for p in (params, better))
    return jax.tree.map(lambda a, b: jnp.where(after < before, a, b), better, params)


def solved_on(params: Any, problem: Any, batch: Any, shares: tuple[float, ...]) -> Any:
    """Return the weights with the last layer solved for on a batch, logits for a sigmoid.

    Of several ridges the last serves that has a solution; NaN if none has.
    """
    net = nnx.merge(problem.graphdef, params, problem.rest)
    if not isinstance(net, CoordNet):
        msg = f"a last layer is solved for in a CoordNet, got {type(net).__name__}"
        raise TypeError(msg)
    x = net.last_features(batch.ys, batch.xs)
    x = jnp.concatenate([x, jnp.ones_like(x[:1])]) * batch.weight
    target = batch.target
    if net.spec.output == "sigmoid":
        target = jax.scipy.special.logit(jnp.clip(target, 1 - _WHITEST, _WHITEST))
    with jax.default_matmul_precision("highest"):
        squares = x @ x.T
        unit = jnp.trace(squares) / x.shape[0] * jnp.eye(x.shape[0])
        layer = jnp.full((target.shape[0], x.shape[0]), jnp.nan)
        for share in shares:
            matrix = squares + share * unit
            closer = _solution(matrix, x @ target.T).T
            layer = jnp.where(jnp.isfinite(closer).all(), closer, layer)
    new = {
        f"layers.{net.spec.depth}.{n}": v
        for n, v in (("weight", layer[:, :-1]), ("bias", layer[:, -1]))
    }
    return jax.tree.map_with_path(lambda path, leaf: new.get(tensor_name(path), leaf), params)


# One system after another under `vmap`: jaxlib 0.10.2 shares a batch of systems among the threads
# that run the program and then waits on one of them for the others, so that two batches at once,
# or one on a single thread, wait forever. A single system is solved where it is.
@jax.custom_batching.sequential_vmap
def _solution(matrix: Array, right: Array) -> Array:
    """Return the solution of ``matrix @ y = right``, NaN if ``matrix`` is not positive."""
    return jax.scipy.linalg.solve(matrix, right, assume_a="pos")


def ridge(
    trainer: Trainer | optax.GradientTransformation, *, every: int = 0, share: float = 1e-2
) -> Ridge:
    """Return ``trainer`` with the last layer solved for first, and every so many steps.

    See :class:`Ridge`.

    Raises:
        TypeError: It is no trainer.
        ValueError: ``every`` is below 0, or ``share`` not above 0.

    >>> from coordnet.trainers import adam
    >>> ridge(adam()) == ridge(adam())
    True
    """
    if every < 0:
        msg = f"`every` must be at least 0 steps, got {every!r}"
        raise ValueError(msg)
    check_positive(share=share)
    return Ridge(as_trainer(trainer), every, share)
