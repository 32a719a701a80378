"""A fit and the film of it: a consumer of the stream of snapshots."""

import inspect
import math
import warnings
from collections.abc import Iterable
from os import PathLike
from typing import Any

import numpy as np
from flax import nnx

from ._area import fitted_size, inscribed_size
from ._fit import exhaust, fitting, start
from ._nets import Spec, noted
from ._plan import Budget
from ._render import render
from ._run import Cadence, Snapshot
from ._video import Film, Size, checked_size, progress_steps

_LONGEST_SIDE = 720  # pixels of a film that was given no size
_HOLD = 1.5  # seconds that the last frame stands still
_USUAL_STEPS = 3000  # where a budget of another kind is taken to end
_MOST_STEPS = 10_000_000


def film_fit(
    path: str | PathLike[str],
    image: Any,
    net: str | Spec | nnx.Module | None = None,
    *,
    frames: int = 150,
    fps: float = 25,
    size: Size | None = None,
    quality: float | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Any:
    """Fit a network to a picture as ``fit`` does, and film it learning.

    The frames are even in the logarithm of the step, as the progress of a fit is, and are
    captioned with step and PSNR; the last one, the network returned, stands for a while. The
    first Ctrl-C ends the fit and keeps the film so far. Looking and drawing take time
    that no budget counts.

    Args:
        path: The film, of a kind that ``Film`` writes.
        image: ``(height, width, channels)`` floats in [0, 1].
        net: A preset's name, a ``Spec`` or a module, as ``fit`` takes.
        frames: How many to take, about, if the fit makes ``steps`` steps (or some 3000
            where another budget ends it).
        fps: Frames per second, 0.1 to 1000.
        size: (height, width) or height of the film; the picture's when missing, its longer
            side at most 720 pixels.
        quality: Of the film, 0 to 100.
        progress: Show a progress bar; only in a terminal or a notebook when missing.
        options: What else ``fitting`` takes, but ``every``: budgets, trainer, seed ...

    Returns:
        The network, with its record in ``net.fitted``.

    Raises:
        ValueError: An argument is out of range, or the checkpoint is of another fit.
        TypeError: ``fitting`` has no such option, or it is ``every``.
        OSError: The film cannot be written.
        FloatingPointError: The fit diverged before there was anything to return.

    >>> import tempfile
    >>> import numpy as np
    >>> image = np.full((16, 24, 3), 0.5, np.float32)
    >>> path = f"{tempfile.mkdtemp()}/learning.gif"
    >>> film_fit(path, image, Spec(width=8, depth=1), frames=5, steps=30).fitted.steps
    30
    """
    _check_options(options)
    started = start(options | {"image": image, "net": net})
    every = _filmed_steps(started.budget, frames)
    filmed = Cadence(every, started.run.step, goal=False)
    budget, looks = started.budget, started.cadence
    if budget.psnr is not None or budget.patience is not None:
        # it must end about where `fit` would: looked at as often, filmed at its own steps
        looks.steps = filmed.steps
    else:
        looks = filmed
    started = started._replace(cadence=looks)
    native = np.shape(image)[:2]
    size = checked_size(size) or fitted_size(native, _LONGEST_SIDE)
    # as large as fits; where the shape differs the film adds bars
    drawn = inscribed_size(native, size) if isinstance(size, tuple) else size
    fitted, lost = None, None
    try:
        with Film(path, fps=fps, size=size, quality=quality) as film:

            def add(shot: Snapshot) -> None:
                nonlocal lost
                if lost is None and filmed.due(shot.step, shot.seconds):
                    try:
                        picture = render(shot.net, drawn, progress=False)
                        film.add(picture, _caption(shot.step, shot.psnr))
                    except OSError as error:  # a full disk, say: the fit goes on
                        lost = error

            fitted = exhaust(started, progress, add)
            if lost is not None:
                raise lost
            record = noted(fitted, "fitted")
            repeat = max(1, round(_HOLD * fps))
            last = render(fitted, drawn, progress=False)
            film.add(last, _caption(record.steps, record.psnr), repeat=repeat)
    except (OSError, KeyboardInterrupt) as error:
        if fitted is None:
            raise
        said = str(error) or "interrupted"
        msg = f"the film is lost: {said}; the network is whole"
        warnings.warn(msg, RuntimeWarning, stacklevel=2)
    return fitted


def _check_options(options: dict[str, Any]) -> None:
    known = [name for name in inspect.signature(fitting).parameters if name not in ("image", "net")]
    for name in options:
        if name == "every":
            msg = "film_fit() chooses the steps it films itself; give `frames` instead of `every`"
            raise TypeError(msg)
        if name not in known:
            known.remove("every")
            msg = f"film_fit() has no option {name!r}; a fit's are {', '.join(known)}"
            raise TypeError(msg)


def _filmed_steps(budget: Budget, frames: int) -> Iterable[int]:
    if frames < 2:
        msg = f"`frames` must be at least 2, the beginning and the end, got {frames}"
        raise ValueError(msg)
    if isinstance(budget.steps, int) and budget.steps > 0:
        return progress_steps(budget.steps, frames)
    longer = math.log(_MOST_STEPS) / math.log(_USUAL_STEPS)
    return progress_steps(_MOST_STEPS, math.ceil(frames * longer))


def _caption(step: int, psnr: float) -> str:
    return f"step {step:,}   {psnr:.1f} dB"
