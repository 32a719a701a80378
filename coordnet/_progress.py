"""The progress bar of a fit: step, seconds, PSNR and what is left."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar, runtime_checkable

_Item = TypeVar("_Item")


@runtime_checkable
class _Budget(Protocol):
    @property
    def steps(self) -> int | None: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def psnr(self) -> float | None: ...


def interactive() -> bool:
    """Return whether somebody is watching: a terminal or a notebook.

    >>> interactive() in (True, False)
    True
    """
    if sys.stderr is not None and sys.stderr.isatty():
        return True
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class Bar:
    """A bar that is not drawn; the drawn one overrides all methods."""

    def tick(self, step: int, seconds: float) -> None:
        """Note how far the fit is."""

    def look(self, psnr: float) -> None:
        """Note the PSNR of the last look."""

    def stage(self, what: str) -> None:
        """Say what is done now, beyond the steps."""


@contextlib.contextmanager
def progress_bar(wanted: bool | None, budget: _Budget) -> Iterator[Bar]:
    """Draw a fit's progress; ``None`` draws it only where somebody is watching."""
    if not (interactive() if wanted is None else wanted):
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("step {task.fields[step]:,}"),
        TextColumn("{task.fields[seconds]:.1f} s"),
        TextColumn("{task.fields[psnr]}"),
    )
    limited = budget.steps is not None or budget.seconds is not None
    left = (TextColumn("ETA"), TimeRemainingColumn()) if limited else ()
    with Progress(*columns, *left, console=Console(stderr=True)) as progress:
        total = 1.0 if limited else None
        # the first update comes when everything is compiled, which can take seconds
        task = progress.add_task("compiling", total=total, step=0, seconds=0.0, psnr="")

        class Drawn(Bar):
            def tick(self, step: int, seconds: float) -> None:
                done = max(
                    step / budget.steps if budget.steps else 0.0,
                    seconds / budget.seconds if budget.seconds else 0.0,
                )
                progress.update(
                    task,
                    description="fitting",
                    completed=min(done, 1.0),
                    step=step,
                    seconds=seconds,
                )

            def look(self, psnr: float) -> None:
                progress.update(task, psnr=f"{psnr:.2f} dB")

            def stage(self, what: str) -> None:
                progress.update(task, description=what)

        yield Drawn()


def counting(
    items: Sequence[_Item], wanted: bool | None, text: str, *, patience: float = 2.0
) -> Iterator[_Item]:
    """Yield the items; draw a bar if asked to, or if they take longer than ``patience`` seconds.

    >>> list(counting([1, 2], None, "counting"))
    [1, 2]
    """
    if not (interactive() if wanted is None else wanted):
        yield from items
        return
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        advance = None
        for done, item in enumerate(items, 1):
            if advance is None and (wanted or time.monotonic() - start > patience):
                # not before: even an invisible bar leaves an empty output in a notebook
                advance = stack.enter_context(_counter(text, len(items)))
            yield item
            if advance is not None:
                advance(done)


@contextlib.contextmanager
def _counter(text: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(text, total=total)
        yield lambda done: progress.update(task, completed=done)
