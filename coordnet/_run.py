"""A fit under way: what moves, the clocks, and when to look."""

import math
import operator
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from os import PathLike
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from ._checkpoint import read_checkpoint, write_checkpoint
from ._nets import note
from ._plan import Budget, Plan, split
from ._problem import Problem
from .trainers._gradient import Trainer


class Snapshot(NamedTuple):
    """A moment of a fit.

    Attributes:
        step: Updates made so far.
        seconds: Of training so far: without compilation, looks at the picture like this one,
            and the caller's own time.
        loss: Of the last step, on the pixels it saw.
        psnr: Of the whole picture rounded to 8 bits, in dB; of the fitted pixels where
            there is a mask.
        hidden_psnr: Of the pixels that the mask hides; None without one.
        net: The network at this moment; it does not change afterwards.
        population: The networks that a trainer breeds from, the best first; empty for others.
    """

    step: int
    seconds: float
    loss: float
    psnr: float
    hidden_psnr: float | None
    net: nnx.Module
    population: Sequence[nnx.Module] = ()


@dataclass(frozen=True)
class Fitted:
    """The record of a fit: ``net.fitted``.

    Attributes:
        psnr: Of the network returned, in dB.
        hidden_psnr: Of the pixels that a mask hid, or None.
        steps: Updates made.
        seconds: Of running.
        compile_seconds: Of compiling, apart from ``seconds``.
        stopped: Why it ended: ``"steps"``, ``"seconds"``, ``"psnr"``, ``"plateau"``,
            ``"interrupt"`` or ``"diverged"``.
        history: ``(step, seconds, psnr)`` of each snapshot.
        size: Height and width of the picture.
    """

    psnr: float
    hidden_psnr: float | None
    steps: int
    seconds: float
    compile_seconds: float
    stopped: str
    history: tuple[tuple[int, float, float], ...]
    size: tuple[int, int]


# --- the compiled parts ---------------------------------------------------------------
@partial(jax.jit, static_argnames=("trainer",), donate_argnums=(1, 2))
def _advance(trainer: Trainer, params: Any, state: Any, problem: Problem, steps: Any) -> Any:
    """Make ``steps`` updates in one compiled loop.

    The number is an argument, not a constant: one program serves any cadence, zero steps
    compile it without running it, and the bits do not depend on where the caller looks.
    """

    def body(_, carry):
        params, state, _ = carry
        state, params, info = trainer.step(state, params, problem)
        return params, state, info["loss"]

    return jax.lax.fori_loop(0, steps, body, (params, state, jnp.full((), jnp.nan)))


@jax.jit
def _squared_errors(problem: Problem, params: Any) -> Array:
    return problem.squared_errors(params)


def _errors(problem: Problem, params: Any) -> Array:
    with jax.default_matmul_precision("highest"):  # as render draws it
        return _squared_errors(problem, params)


@partial(jax.jit, static_argnames=("trainer",))
def _shown(trainer: Trainer, state: Any, params: Any) -> Any:
    return jax.tree.map(jnp.copy, trainer.shown(state, params))


@partial(jax.jit, static_argnames=("trainer",))
def _population(trainer: Any, state: Any, params: Any) -> Any:
    return jax.tree.map(jnp.copy, trainer.population(state, params))


class Population(Sequence[nnx.Module]):
    """Networks that lie in one stack of weights, each built when it is asked for."""

    def __init__(self, stack: Any, build: Callable[[Any], nnx.Module]):
        self._stack, self._build = stack, build

    def __len__(self) -> int:
        return len(jax.tree.leaves(self._stack)[0])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            msg = f"network {index} of a population of {len(self)}"
            raise IndexError(msg)
        return self._build(jax.tree.map(lambda leaf: leaf[index], self._stack))


# --- the run --------------------------------------------------------------------------
class Run:
    """A fit under way: what moves, and the clocks."""

    def __init__(self, plan: Plan, checkpoint: str | PathLike[str] | None):
        self.plan = plan
        self.graphdef, params, self.rest = split(plan.net)
        # copied, and of no weak type: what is donated must be one's own, and the second call
        # must find the program of the first
        self.params = jax.tree.map(_own, params)
        # the step's key differs from that of the weights of the same seed
        key = jax.random.fold_in(jax.random.key(plan.seed), 1)
        self.state = jax.tree.map(_own, plan.trainer.init(self.params, key))
        self.moving = False  # whether the weights are ahead of the step: no time to save
        self.step, self.seconds, self.loss = 0, 0.0, math.nan
        self.compile_seconds = 0.0
        self.stopped: str | None = None
        self.history: list[tuple[int, float, float]] = []
        self.path = checkpoint
        self.saved = -1
        self.latest: dict[str, Any] | None = None
        if checkpoint is not None:
            self.belongs = plan.belongs()
            self._restore(checkpoint)
        self.problem = plan.problem
        if plan.problem.mesh is not None:
            # on all devices from the start: the first step must not find another program
            everywhere = NamedSharding(plan.problem.mesh, PartitionSpec())
            self.params, self.state, self.problem = jax.device_put(
                (self.params, self.state, self.problem), everywhere
            )
        hidden = 0 if plan.mask is None else int((~plan.mask).sum())
        height, width = plan.problem.size
        self.samples = (
            (height * width - hidden) * plan.channels,
            hidden * plan.channels,
        )

    def compile(self) -> None:
        """Compile what runs, without running it: the clock counts running alone."""
        start = time.perf_counter()
        self.params, self.state, _ = jax.block_until_ready(
            _advance(self.plan.trainer, self.params, self.state, self.problem, 0)
        )
        shown = _shown(self.plan.trainer, self.state, self.params)
        jax.block_until_ready(_errors(self.problem, shown))
        self._bred()
        self.compile_seconds += time.perf_counter() - start

    def advance(self, steps: int) -> float:
        """Make ``steps`` updates; return the seconds they took."""
        start = time.perf_counter()
        self.moving = True
        self.params, self.state, loss = _advance(
            self.plan.trainer, self.params, self.state, self.problem, steps
        )
        self.loss = float(loss)
        taken = time.perf_counter() - start
        self.step += steps
        self.seconds += taken
        self.moving = False
        return taken

    def snapshot(self) -> Snapshot:
        """Look at the network: its PSNR, and a copy of its weights."""
        # not counted in `seconds`: a film looks often, and must not learn less for it
        shown = _shown(self.plan.trainer, self.state, self.params)
        sums = np.asarray(_errors(self.problem, shown), np.float64).sum(axis=1)
        psnr, hidden = (
            _psnr(total, samples) for total, samples in zip(sums, self.samples, strict=True)
        )
        assert psnr is not None
        self.history.append((self.step, round(self.seconds, 3), round(psnr, 6)))
        net = self._network(shown)
        return Snapshot(self.step, self.seconds, self.loss, psnr, hidden, net, self._bred())

    def _bred(self) -> Sequence[nnx.Module]:
        if not callable(getattr(self.plan.trainer, "population", None)):
            return ()
        stack = _population(self.plan.trainer, self.state, self.params)
        return Population(stack, self._network)

    def _network(self, shown: Any) -> nnx.Module:
        net = nnx.merge(self.graphdef, shown, self.rest)
        note(net, size=self.plan.problem.size)
        return net

    def save(self, shot: Snapshot | None = None) -> None:
        """Write the checkpoint, once for each step."""
        if self.path is None or self.moving or self.stopped == "diverged":
            return
        if self.saved == self.step and shot is None:
            return
        if shot is not None:
            self.latest = {
                "step": shot.step, "psnr": shot.psnr, "hidden_psnr": shot.hidden_psnr,
                "stopped": self.stopped,
            }  # fmt: skip
        record = {
            "step": self.step,
            "seconds": self.seconds,
            "loss": self.loss,
            "history": self.history,
            "latest": self.latest,
        }
        try:
            write_checkpoint(
                self.path, (self.params, self.state), belongs=self.belongs, record=record
            )
        except OSError as error:  # a full disk, say: no reason to lose the fit as well
            warnings.warn(f"no checkpoint was written: {error}", RuntimeWarning, stacklevel=2)
        else:
            self.saved = self.step

    def _restore(self, path: str | PathLike[str]) -> None:
        found = read_checkpoint(path, (self.params, self.state), belongs=self.belongs)
        if found is None:
            return
        (self.params, self.state), record = found
        self.step, self.seconds = record["step"], record["seconds"]
        self.loss, self.latest = record["loss"], record["latest"]
        self.history = [tuple(row) for row in record["history"]]
        self.saved = self.step

    def finished(self, budget: Budget) -> Snapshot | None:
        """Return the last snapshot of a checkpoint that met this budget already."""
        latest = self.latest
        if latest is None or latest["step"] != self.step:
            return None
        met = {
            "steps": budget.steps is not None and self.step >= budget.steps,
            "psnr": budget.psnr is not None and latest["psnr"] >= budget.psnr,
            "seconds": budget.seconds is not None and self.seconds >= budget.seconds,
            "plateau": budget.patience is not None and self.waited() >= budget.patience,
        }
        self.stopped = next((why for why, is_met in met.items() if is_met), None)
        if self.stopped is None:
            return None
        net = self._network(self.plan.trainer.shown(self.state, self.params))
        known = latest["psnr"], latest["hidden_psnr"]
        return Snapshot(self.step, self.seconds, self.loss, *known, net, self._bred())

    def waited(self) -> int:
        """Return for how many steps the PSNR has not risen."""
        best, best_step = -math.inf, 0
        for step, _, psnr in self.history:
            if psnr > best + 0.01:  # dB; less is no progress worth the wait
                best, best_step = psnr, step
        return self.step - best_step


def _own(leaf: Any) -> Array:
    leaf = jnp.asarray(leaf)  # a transformation's state may hold plain numbers
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jnp.copy(leaf)
    return jnp.array(leaf, leaf.dtype, copy=True)


def _psnr(total: float, samples: int) -> float | None:
    """Return the PSNR in dB of a sum of squared 8-bit errors; None of no samples."""
    if samples == 0:
        return None
    if not math.isfinite(total):
        return -math.inf
    return math.inf if total == 0 else 10 * math.log10(255.0**2 * samples / total)


class Cadence:
    """When to look: at multiples of a number, at given steps, or about twice a second."""

    def __init__(self, every: int | Iterable[int] | None, step: int, goal: bool):
        # where a PSNR decides when to stop, looking late is stopping late
        self.between = 0.1 if goal else 0.5
        self.timed = every is None
        self.every: int | None = None
        self.steps: list[int] = []
        if isinstance(every, Iterable) and not isinstance(every, str):
            self.steps = sorted({operator.index(s) for s in every if s > step or s == step == 0})
        elif every is not None:
            if not isinstance(every, Integral) or int(every) < 1:
                msg = f"`every` must be at least 1 step, or an iterable of steps, got {every!r}"
                raise ValueError(msg)
            self.every = int(every)
        self.seconds, self.cost = 0.0, 0.0

    def next(self, step: int) -> float:
        """Return the first step after ``step`` to look at, infinite if time decides."""
        listed = next((s for s in self.steps if s > step), math.inf)
        if self.every is None:
            return listed
        return min(listed, (step // self.every + 1) * self.every)

    def due(self, step: int, seconds: float) -> bool:
        """Return whether to look now."""
        if step in self.steps or (self.every is not None and step % self.every == 0):
            return True
        if self.timed or (self.every is None and step > max(self.steps, default=0)):
            # beyond the steps given, the clock decides, so that no goal is passed unseen;
            # a look may cost much on a large picture: at most a tenth of the time
            return seconds - self.seconds >= max(self.between, 9 * self.cost)
        return False
