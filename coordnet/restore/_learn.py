"""The training loop of the picture-to-picture networks: batches in, a network out, resumable."""

import math
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array

from .._cache import keep_compiled
from .._checkpoint import read_checkpoint, write_checkpoint
from .._cores import cores, side_by_side

Net = TypeVar("Net", bound=nnx.Module)
Cost = Callable[[Any, Any], Array]

_WARMUP = 200  # steps
_STEADY = 0.6  # of the time; then the rate falls to 0 in a line
_AS_ADAM = 0.2  # root of the mean square of Muon's moves at a rate of 1, as Adam's usually are
_OTHERS = 0.2  # of the rate: of all that is no kernel
_IN_A_ROW = 4  # crops that a core sums before it takes others
_CLIP = 1.0  # largest norm of a gradient, some twenty times its usual


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _usual(net: Net) -> Net:
    """Return the network with layers in bfloat16, but on a CPU; the weights are float32."""
    if _on_cpu():
        return net
    net = nnx.clone(net)
    for _, layer in nnx.iter_graph(net):
        if isinstance(layer, nnx.Conv | nnx.Linear):
            layer.dtype = jnp.bfloat16
    return net


def _as_matrices(weights: Any) -> Any:
    """Say which axes of kernels (3, 3, in, out) are a matrix; all else is none."""
    kernel = optax.contrib.MuonDimensionNumbers((0, 1, 2), 3)
    return jax.tree.map(lambda w: kernel if w.ndim == 4 else None, weights)


# Muon for convolutions; Adam, at a fifth of the rate, for all else. At the whole rate 30 of 48
# relus died through which networks were told of a file
_rule = optax.chain(
    optax.clip_by_global_norm(_CLIP),
    optax.contrib.muon(
        1.0,
        adam_learning_rate=_OTHERS,
        adam_b2=0.99,
        consistent_rms=_AS_ADAM,
        muon_weight_dimension_numbers=_as_matrices,
    ),
)


# chains of crops beside each other: XLA's own threads find little to share in a single crop
_pool = ThreadPoolExecutor(cores())


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _slope(graph: Any, cost: Cost, total: Any, weights: Any, part: Any) -> Any:
    """Return the loss and the slopes of all parts so far, added up."""
    found = jax.value_and_grad(lambda w: cost(nnx.merge(graph, w), part))(weights)
    return jax.tree.map(jnp.add, total, found)


@partial(jax.jit, donate_argnums=(1, 2))
def _moved(total: Any, weights: Any, state: Any, rate: Array, parts: Array) -> Any:
    loss, slope = jax.tree.map(lambda v: v / parts, total)
    change, state = _rule.update(slope, state, weights)
    return jax.tree.map(lambda w, c: w + rate * c, weights, change), state, loss


def _step(graph: Any, cost: Cost, weights: Any, state: Any, batch: Any, rate: Array) -> Any:
    many = jax.tree.leaves(batch)[0].shape[0]
    parts = [batch]
    if _on_cpu():  # one after another: what a crop needs stays in a core's caches
        parts = [jax.tree.map(lambda v, k=k: v[k : k + 1], batch) for k in range(many)]

    def chain(some: list[Any]) -> Any:
        total = jnp.float32(0), jax.tree.map(jnp.zeros_like, weights)
        for part in some:
            total = _slope(graph, cost, total, weights, part)
        return total

    chains = [parts[k : k + _IN_A_ROW] for k in range(0, len(parts), _IN_A_ROW)]
    if len(chains) == 1:
        total = chain(parts)
    else:  # their sums are added in order, whatever the number of cores
        first, *others = _pool.map(lambda some: jax.block_until_ready(chain(some)), chains)
        total = jax.tree.map(lambda v, *w: sum(w, v), first, *others)
    return _moved(total, weights, state, rate, jnp.float32(len(parts)))


def _sent_ahead(batches: Generator[Any]) -> Generator[Any]:
    """Yield batches while the next one is on its way to the device; a CPU has them already."""
    if _on_cpu():
        yield from batches
        return
    sent = None
    with closing(batches):
        for batch in batches:
            here, sent = sent, jax.device_put(batch)
            if here is not None:
                yield here
    if sent is not None:
        yield sent


def learn(
    net: Net,
    make: Callable[[int], Any],
    cost: Cost,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    rate: float = 4e-3,
    computing: Callable[[Net], Net] | None = None,
    checkpoint: Path | None = None,
    belongs: dict[str, str] | None = None,
    watch: Callable[[Net, int, float], None] | None = None,
    every: float = 120,
) -> Net:
    """Return ``net`` after some steps of Muon, or as many as the minutes hold.

    The rate is steady for six tenths of them and falls to 0 in the rest: by steps, once it has
    begun to fall. A run of so many ``steps`` that is resumed ends as it would have.

    Args:
        net: The network at first; it is left as it is.
        make: A batch of arrays by its number; called in threads.
        cost: The mean loss of a network on a batch, or on a part of one.
        minutes: Of training, the compilation of the step not counted; or ``steps``.
        steps: Of training.
        rate: Of a step at its highest.
        computing: The network as it computes while it learns: on a CPU, when missing, as it is,
            and elsewhere with layers in bfloat16.
        checkpoint: Written with every ``watch`` and gone on from if it is there.
        belongs: What the checkpoint belongs to.
        watch: Called with the network, the step and the mean loss since.
        every: Seconds between two calls of ``watch``.
    """
    keep_compiled()
    graph, weights = nnx.split(net)
    learning = nnx.split((computing or _usual)(net))[0]
    weights = jax.tree.map(jnp.array, weights)  # the first step gives its buffers away
    state = _rule.init(weights)
    record: dict[str, Any] = {
        "step": 0, "seconds": 0.0, "loss": 0.0, "history": [], "latest": None, "falls": None,
    }  # fmt: skip
    belongs = belongs or {}
    if checkpoint is not None:
        found = read_checkpoint(checkpoint, (weights, state), belongs=belongs)
        if found is not None:
            (weights, state), record = found
    step, total = record["step"], record["falls"]  # [first step of the fall, steps it takes]
    if steps is not None:
        total = [round(_STEADY * steps), steps - round(_STEADY * steps)]
    time_of_all = math.inf if minutes is None else 60 * minutes
    losses: list[float] = []
    since, seconds = None, 0.0

    def keep(spent: float) -> None:
        record.update(step=step, seconds=record["seconds"] + spent, falls=total)
        record["loss"] = sum(losses) / max(1, len(losses))
        if checkpoint is not None:
            write_checkpoint(checkpoint, (weights, state), belongs=belongs, record=record)

    batches = _sent_ahead(side_by_side(make, count(step), workers=2, ahead=4))
    try:
        for batch in batches:
            if total is None and record["seconds"] + seconds >= _STEADY * time_of_all:
                total = [step, round(step * (1 / _STEADY - 1))]
            share = 1.0 if total is None else min(1.0, (sum(total) - step) / max(1, total[1]))
            if share <= 0:
                break
            pace = rate * min(1.0, (step + 1) / _WARMUP) * share
            weights, state, loss = _step(learning, cost, weights, state, batch, jnp.float32(pace))
            step += 1  # it is made: an interrupt while it is waited for counts it
            losses.append(float(loss))
            since = since or time.perf_counter()  # from here on: the first step compiles
            seconds = time.perf_counter() - since
            if seconds >= every:
                keep(seconds)
                seconds = 0.0  # they are kept: what ends the watch does not count them again
                losses.clear()
                if watch is not None:
                    watch(nnx.merge(graph, jax.tree.map(jnp.array, weights)), step, record["loss"])
                since = time.perf_counter()
    except KeyboardInterrupt:
        with suppress(RuntimeError):  # in the midst of a step its weights are given away
            keep(seconds)
        raise
    finally:
        batches.close()
    trained = nnx.merge(graph, weights)
    keep(seconds)
    if watch is not None:
        watch(trained, step, record["loss"])
    return trained
