"""Fitting: a stream of snapshots that the caller owns, and ``fit``, which exhausts it."""

import contextlib
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import optax
from flax import nnx

from ._cache import keep_compiled
from ._files import check_target
from ._nets import Spec, note, noted
from ._plan import Budget, make_budget, make_plan
from ._progress import progress_bar
from ._run import Cadence, Fitted, Run, Snapshot
from .trainers._gradient import Trainer

_REMEDY = "a lower rate or more pixels a step may help"


class DivergedWarning(RuntimeWarning):
    """The loss of a fit became infinite or no number.

    >>> issubclass(DivergedWarning, RuntimeWarning)
    True
    """


def _leaving(run: Run, shots: Iterator[Snapshot], *, all_of_them: bool) -> Iterator[Snapshot]:
    """Yield the snapshots, or a warning of what diverged; who leaves early leaves a checkpoint."""
    try:
        for shot in shots:
            if run.stopped == "diverged" and not all_of_them:
                said = f"the fit diverged at step {run.step}; {_REMEDY}"
                warnings.warn(said, DivergedWarning, stacklevel=2)  # where it was asked for
                return
            yield shot
    except (GeneratorExit, KeyboardInterrupt):
        run.save()
        raise


def _stream(
    run: Run,
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
                run.stopped = "plateau" if run.waited() >= budget.patience else None
            if run.stopped:
                run.save(shot)
            yield shot
        due = run.step % checkpoint_every == 0 if checkpoint_every else run.seconds - saved > 10
        if due:
            run.save()
            saved = run.seconds


def _why_stopped(run: Run, budget: Budget, interrupted: Callable[[], bool]) -> str | None:
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
    trainer: Trainer | optax.GradientTransformation | str | None = None,
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
    step at which to stop, whichever comes first; the same seed gives the same weights. What
    diverges ends with a :class:`DivergedWarning`.

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
        trainer: Any optax transformation or coordnet trainer; one by name, such as
            ``"least_squares"``; ``"auto"`` is that for tanh networks of up to 3000 weights,
            and the preset's for all others; the preset's when missing.
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
    shots = _stream(*started, lambda: False, lambda *_: None)
    return _leaving(started.run, shots, all_of_them=False)


def fit(
    image: Any,
    net: str | Spec | nnx.Module | None = None,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    psnr: float | None = None,
    patience: int | None = None,
    trainer: Trainer | optax.GradientTransformation | str | None = None,
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
        trainer: Any optax transformation or coordnet trainer, or one by name.
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
        shots = _stream(*started, interrupted, bar.tick)
        for shot in _leaving(run, shots, all_of_them=True):
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


def _kept(run: Run, best: Snapshot | None) -> Snapshot:
    """Return the best snapshot of a fit that was cut short, and say so."""
    if best is None:
        msg = f"the fit diverged by step {run.step}; {_REMEDY}"
        raise FloatingPointError(msg)
    diverged = run.stopped == "diverged"
    warnings.warn(
        f"the fit {'diverged' if diverged else 'was interrupted'} at step {run.step}; this is "
        f"the network of step {best.step} ({best.psnr:.2f} dB)"
        f"{f'; {_REMEDY}' if diverged else ''}",
        DivergedWarning if diverged else RuntimeWarning,
        stacklevel=4,  # where fit was called
    )
    return best


class Started(NamedTuple):
    """A fit that can begin: every argument checked, every choice made."""

    run: Run
    budget: Budget
    cadence: Cadence
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
    if checkpoint_every is not None:
        if not isinstance(checkpoint_every, int | np.integer) or checkpoint_every < 1:
            msg = f"`checkpoint_every` must be a whole number from 1, got {checkpoint_every!r}"
            raise ValueError(msg)
        if path is None:
            msg = "`checkpoint_every` needs a file to write to; name it with `checkpoint`"
            raise ValueError(msg)
    plan, preset = make_plan(take("image"), take("net"), **arguments)
    budget = make_budget(**limits, preset=preset)
    run = Run(plan, path)
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

    if signal.getsignal(signal.SIGINT) is None:  # a host's own, which could not be put back
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
