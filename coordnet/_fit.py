"""Fitting: a stream of snapshots that the caller owns, and ``fit``, which exhausts it."""

import contextlib
import math
import operator
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from os import PathLike
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from ._cache import keep_compiled
from ._checkpoint import read_checkpoint, write_checkpoint
from ._files import check_target
from ._nets import Spec, note, noted
from ._plan import Budget, Plan, make_budget, make_plan, split
from ._problem import Problem
from ._progress import progress_bar
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
    """

    step: int
    seconds: float
    loss: float
    psnr: float
    hidden_psnr: float | None
    net: nnx.Module


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


class DivergedWarning(RuntimeWarning):
    """The loss of a fit became infinite or no number.

    >>> issubclass(DivergedWarning, RuntimeWarning)
    True
    """


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


# --- the run --------------------------------------------------------------------------
class _Run:
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
        return Snapshot(self.step, self.seconds, self.loss, psnr, hidden, self._network(shown))

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
        write_checkpoint(
            self.path, (self.params, self.state), belongs=self.plan.belongs, record=record
        )
        self.saved = self.step

    def _restore(self, path: str | PathLike[str]) -> None:
        found = read_checkpoint(path, (self.params, self.state), belongs=self.plan.belongs)
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
            "plateau": budget.patience is not None and latest["stopped"] == "plateau",
        }
        self.stopped = next((why for why, is_met in met.items() if is_met), None)
        if self.stopped is None:
            return None
        net = self._network(self.plan.trainer.shown(self.state, self.params))
        return Snapshot(
            self.step, self.seconds, self.loss, latest["psnr"], latest["hidden_psnr"], net
        )

    def progress(self) -> tuple[float, int]:
        """Return the best PSNR of the history, less being no progress, and its step."""
        best, best_step = -math.inf, 0
        for step, _, psnr in self.history:
            if psnr > best + 0.01:  # dB; less is no progress worth the wait
                best, best_step = psnr, step
        return best, best_step


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
        if self.every is not None:
            return (step // self.every + 1) * self.every
        return next((s for s in self.steps if s > step), math.inf)

    def due(self, step: int, seconds: float) -> bool:
        """Return whether to look now."""
        if self.timed or (self.every is None and step > max(self.steps, default=0)):
            # beyond the steps given, the clock decides, so that no goal is passed unseen;
            # a look may cost much on a large picture: at most a tenth of the time
            return seconds - self.seconds >= max(self.between, 9 * self.cost)
        return step in self.steps if self.every is None else step % self.every == 0


def _leaving(run: _Run, shots: Iterator[Snapshot]) -> Iterator[Snapshot]:
    """Yield the snapshots; a caller who leaves early leaves a checkpoint of that moment."""
    try:
        yield from shots
    except (GeneratorExit, KeyboardInterrupt):
        run.save()
        raise


def _stream(
    run: _Run,
    budget: Budget,
    cadence: Cadence,
    checkpoint_every: int | None,
    interrupted: Callable[[], bool],
    tick: Callable[[int, float], None],
) -> Iterator[Snapshot]:
    done = run.finished(budget)
    if done is not None:
        yield done
        return
    run.compile()
    cadence.seconds = saved = run.seconds
    block = 1
    if run.step == 0 and 0 in cadence.steps:
        yield run.snapshot()
    while run.stopped is None:
        limits = [cadence.next(run.step), math.inf if budget.steps is None else budget.steps]
        if checkpoint_every:
            limits.append((run.step // checkpoint_every + 1) * checkpoint_every)
        steps = int(min(block, max(0, min(limits) - run.step)))
        if steps:
            taken = run.advance(steps)
            block = max(1, min(2 * block, round(steps * cadence.between / 2 / max(taken, 1e-6))))
            tick(run.step, run.seconds)
            run.stopped = _why_stopped(run, budget, interrupted)
        else:
            run.stopped = "steps"
        if run.stopped or cadence.due(run.step, run.seconds):
            before = time.perf_counter()
            shot = run.snapshot()
            cadence.seconds, cadence.cost = run.seconds, time.perf_counter() - before
            if shot.psnr == -math.inf:  # seen first here: the loss is that before the update
                run.stopped = "diverged"
            if run.stopped is None and budget.psnr is not None and shot.psnr >= budget.psnr:
                run.stopped = "psnr"
            if run.stopped is None and budget.patience is not None:
                waited = run.step - run.progress()[1]
                run.stopped = "plateau" if waited >= budget.patience else None
            if run.stopped:
                run.save(shot)
            yield shot
        due = run.step % checkpoint_every == 0 if checkpoint_every else run.seconds - saved > 10
        if due:
            run.save()
            saved = run.seconds


def _why_stopped(run: _Run, budget: Budget, interrupted: Callable[[], bool]) -> str | None:
    if not math.isfinite(run.loss):
        return "diverged"
    if budget.steps is not None and run.step >= budget.steps:
        return "steps"
    if budget.seconds is not None and run.seconds >= budget.seconds:
        return "seconds"
    return "interrupt" if interrupted() else None


def fitting(
    image: Any,
    net: str | Spec | nnx.Module | None = None,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    psnr: float | None = None,
    patience: int | None = None,
    every: int | Iterable[int] | None = None,
    trainer: Trainer | optax.GradientTransformation | None = None,
    init: nnx.Module | None = None,
    sampling: str | None = None,
    loss: str = "l2",
    mask: Any = None,
    dtype: str = "float32",
    seed: int = 0,
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_every: int | None = None,
) -> Iterator[Snapshot]:
    """Fit a network to a picture, yielding a :class:`Snapshot` now and then.

    The loop is the caller's: draw, film, stop by ``break``. All budgets only choose the
    step at which to stop, whichever comes first; the same seed gives the same weights.

    Args:
        image: ``(height, width, channels)`` floats in [0, 1].
        net: A preset's name (``coordnet.PRESETS``), a ``Spec``, or any ``nnx.Module`` that
            maps ``(n, 2)`` points to ``(n, channels)``. ``"grid"`` when missing.
        steps: Stop at this step; counts from the first step of a checkpoint.
        seconds: Stop after so many seconds of training, compilation and looks not counted.
        psnr: Stop at the first snapshot of at least this PSNR, in dB.
        patience: Stop when the PSNR has not risen for so many steps.
        every: Steps between snapshots, or the steps themselves; about twice a second when
            missing. The last step always gives one.
        trainer: Any optax transformation or coordnet trainer; the preset's when missing.
        init: A fitted network to start from; its weights are copied.
        sampling: ``"full"``, ``"strips(points=8192)"`` or ``"pixels(points=8192)"``.
        loss: ``"l2"``, ``"l1"`` or ``"relative_l2"``.
        mask: ``(height, width)`` booleans, True where the picture is fitted.
        dtype: ``"float32"``, or ``"bfloat16"`` for the layers' products on GPU and TPU.
        seed: Of the first weights and of the pixels of each step.
        checkpoint: A file to resume from, if it exists, and to write to.
        checkpoint_every: Steps between writes; about every ten seconds when missing.

    Raises:
        ValueError: An argument is out of range, or the checkpoint is of another fit.
        TypeError: An argument is of another kind.

    >>> import numpy as np
    >>> image = np.linspace(0, 1, 16 * 16 * 3, dtype=np.float32).reshape(16, 16, 3)
    >>> from coordnet import Spec
    >>> [shot.step for shot in fitting(image, Spec(width=8, depth=1), steps=20, every=10)]
    [10, 20]
    """
    started = start(locals())
    return _leaving(started.run, _stream(*started, lambda: False, lambda *_: None))


def fit(
    image: Any,
    net: str | Spec | nnx.Module | None = None,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    psnr: float | None = None,
    patience: int | None = None,
    trainer: Trainer | optax.GradientTransformation | None = None,
    init: nnx.Module | None = None,
    sampling: str | None = None,
    loss: str = "l2",
    mask: Any = None,
    dtype: str = "float32",
    seed: int = 0,
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    every: int | Iterable[int] | None = None,
    progress: bool | None = None,
) -> Any:
    """Fit a network to a picture and return it, with its record in ``net.fitted``.

    Takes what :func:`fitting` takes. The first Ctrl-C returns the best network so far with
    a warning, a second within two seconds raises ``KeyboardInterrupt``. A fit that diverges
    returns the best network so far with a :class:`DivergedWarning`.

    Args:
        image: ``(height, width, channels)`` floats in [0, 1].
        net: See :func:`fitting`, as for all arguments but ``progress``.
        steps: Stop at this step.
        seconds: Stop after so many seconds of running.
        psnr: Stop at this PSNR, in dB.
        patience: Stop when the PSNR has not risen for so many steps.
        trainer: Any optax transformation or coordnet trainer.
        init: A fitted network to start from.
        sampling: Which pixels a step looks at.
        loss: How errors count.
        mask: Where the picture is fitted.
        dtype: Of the layers' products.
        seed: Of all randomness.
        checkpoint: A file to resume from and to write to.
        checkpoint_every: Steps between writes.
        every: Steps between looks at the PSNR.
        progress: Show a progress bar; only in a terminal or a notebook when missing.

    Returns:
        A ``CoordNet``, or a module of the class that was given.

    Raises:
        ValueError: An argument is out of range, or the checkpoint is of another fit.
        TypeError: An argument is of another kind.
        FloatingPointError: The fit diverged before there was anything to return.

    >>> import numpy as np
    >>> net = fit(np.full((16, 16, 3), 0.5, np.float32), Spec(width=8, depth=1), steps=50)
    >>> net.fitted.steps, net.fitted.stopped
    (50, 'steps')
    """
    arguments = {k: v for k, v in locals().items() if k != "progress"}
    return exhaust(start(arguments), progress)


def exhaust(
    started: "Started", progress: bool | None, watch: Callable[[Snapshot], None] | None = None
) -> Any:
    """Run a fit to its end, as :func:`fit` promises; ``watch`` is shown each snapshot."""
    run, budget, _, _ = started
    best = shot = None
    with _first_ctrl_c() as interrupted, progress_bar(progress, budget) as bar:
        for shot in _leaving(run, _stream(*started, interrupted, bar.tick)):
            bar.look(shot.psnr)
            # what diverged may still look like something: infinite values are clipped
            if run.stopped != "diverged":
                best = shot if best is None or shot.psnr >= best.psnr else best
                if watch is not None:
                    watch(shot)
    assert shot is not None
    if run.stopped in ("diverged", "interrupt"):
        shot = _kept(run, best)
    record = Fitted(
        psnr=shot.psnr,
        hidden_psnr=shot.hidden_psnr,
        steps=shot.step,
        seconds=run.seconds,
        compile_seconds=run.compile_seconds,
        stopped=run.stopped or "steps",
        history=tuple(run.history),
        size=run.plan.problem.size,
    )
    note(shot.net, fitted=record)
    return shot.net


def fitted(net: nnx.Module) -> Fitted | None:
    """Return how a network was fitted, or None; of a CoordNet it is ``net.fitted`` too.

    >>> from coordnet import CoordNet
    >>> fitted(CoordNet(Spec(width=4, depth=1))) is None
    True
    """
    return noted(net, "fitted")


def _kept(run: _Run, best: Snapshot | None) -> Snapshot:
    """Return the best snapshot of a fit that was cut short, and say so."""
    if best is None:
        msg = f"the fit diverged by step {run.step}; lower the trainer's learning rate"
        raise FloatingPointError(msg)
    diverged = run.stopped == "diverged"
    warnings.warn(
        f"the fit {'diverged' if diverged else 'was interrupted'} at step {run.step}; this is "
        f"the network of step {best.step} ({best.psnr:.2f} dB)"
        f"{'; a lower learning rate may help' if diverged else ''}",
        DivergedWarning if diverged else RuntimeWarning,
        stacklevel=4,  # where fit was called
    )
    return best


class Started(NamedTuple):
    """A fit that can begin: every argument checked, every choice made."""

    run: _Run
    budget: Budget
    cadence: "Cadence"
    checkpoint_every: int | None


def start(arguments: dict[str, Any]) -> Started:
    """Check the arguments of :func:`fitting`, all before any work, and start a run."""
    keep_compiled()

    def take(name: str) -> Any:
        return arguments.pop(name, None)

    limits = {name: take(name) for name in ("steps", "seconds", "psnr", "patience")}
    every, path = take("every"), take("checkpoint")
    checkpoint_every = take("checkpoint_every")
    if path is not None:
        check_target(path)
    if checkpoint_every is not None and (
        path is None or not isinstance(checkpoint_every, int | np.integer) or checkpoint_every < 1
    ):
        msg = (
            "`checkpoint_every` must be a whole number of at least 1 and needs `checkpoint`, "
            f"got {checkpoint_every!r}"
        )
        raise ValueError(msg)
    plan, preset = make_plan(take("image"), take("net"), **arguments)
    budget = make_budget(**limits, preset=preset)
    run = _Run(plan, path)
    if every is None and budget.patience is not None:
        every = max(1, budget.patience // 10)  # by steps: where it stops must not hang on time
    cadence = Cadence(every, run.step, budget.psnr is not None)
    every_so_often = None if checkpoint_every is None else int(checkpoint_every)
    return Started(run, budget, cadence, every_so_often)


@contextlib.contextmanager
def _first_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question's answer; a second within two seconds raises."""
    pressed: list[float] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def handle(signum: int, stack: Any) -> None:
        now = time.monotonic()
        if pressed and now - pressed[-1] < 2.0:
            raise KeyboardInterrupt
        pressed.append(now)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
