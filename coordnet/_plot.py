"""Figures: pictures side by side, and how fits went. matplotlib is imported when one is drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ._color import check_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDEST = 14.0  # inches: a wide notebook cell
_TALLEST = 5.0  # inches, of a row of pictures


def show(
    *images: ArrayLike,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
) -> "Figure":
    """Show pictures side by side.

    In a notebook, make it the last line of a cell, or ``display(show(...))``. In a script the
    figure opens in a window until that is closed, if matplotlib has a backend with windows.

    Args:
        images: Each ``(height, width, 1, 3 or 4)`` or ``(height, width)``, floats in [0, 1];
            values outside are clipped.
        titles: One for each picture; its size in pixels when missing.
        columns: Pictures in a row; up to 4 when missing.

    Returns:
        matplotlib's figure; ``figure.savefig("figure.png")`` keeps it.

    Raises:
        ValueError: There is no picture, one has another shape, or the titles are not as many.
        TypeError: A picture is not of floats.

    >>> picture = np.zeros((20, 30, 3), np.float32)
    >>> figure = show(picture, picture, titles=["a", "b"])
    >>> [axes.get_title() for axes in figure.axes]
    ['a', 'b']
    """
    pictures = [_checked(image, i) for i, image in enumerate(images)]
    if not pictures:
        msg = "there is no picture to show; give at least one"
        raise ValueError(msg)
    if titles is None:
        titles = [f"{p.shape[1]} x {p.shape[0]}" for p in pictures]
    if len(titles) != len(pictures):
        msg = f"`titles` must be one for each picture, got {len(titles)} for {len(pictures)}"
        raise ValueError(msg)
    if columns is not None and columns < 1:
        msg = f"`columns` must be at least 1, got {columns}"
        raise ValueError(msg)
    columns = min(columns or 4, len(pictures))
    rows = -(-len(pictures) // columns)
    shapes = [p.shape[0] / p.shape[1] for p in pictures]
    tall = [max(shapes[r * columns : (r + 1) * columns]) for r in range(rows)]
    wide = min(_WIDEST / columns, _TALLEST / max(tall))
    lines = [1 + title.count("\n") for title in titles]
    most = [max(lines[r * columns : (r + 1) * columns]) for r in range(rows)]
    # inches, with the titles': a line is 0.2 high, the gap below it 0.1
    heights = [wide * t + 0.1 + 0.2 * n for t, n in zip(tall, most, strict=True)]
    figure, axes = _subplots(columns, (wide * columns, sum(heights)), heights)
    for axis in axes:
        axis.set_axis_off()
    for axis, picture, title in zip(axes, pictures, titles, strict=False):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axis.set_title(title)
    for axis in axes[len(pictures) :]:
        axis.remove()
    figure.draw_without_rendering()  # matplotlib's layout finds its place at the second drawing
    return _shown(figure)


def curves(
    *fits: Any,
    labels: Sequence[str] | None = None,
    against: Literal["seconds", "steps"] = "seconds",
) -> "Figure":
    """Draw the PSNR of one or several fits against the seconds or the steps they took.

    Args:
        fits: Each a fitted network, its ``Fitted`` record, or a sequence of ``Snapshot``.
        labels: One for each fit, for the legend.
        against: ``"seconds"`` of running, or ``"steps"`` on a logarithmic axis.

    Returns:
        matplotlib's figure, shown as :func:`show` does.

    Raises:
        ValueError: There is no fit, one has no history, or the labels are not as many.
        TypeError: A fit is none of the above.

    >>> from coordnet import Fitted
    >>> history = ((1, 0.1, 12.0), (10, 0.5, 20.0), (100, 4.0, 25.0))
    >>> record = Fitted(25.0, None, 100, 4.0, 1.0, "steps", history, (20, 30))
    >>> curves(record, against="steps").axes[0].get_xlabel()
    'steps'
    """
    histories = [_history(fit, i) for i, fit in enumerate(fits)]
    if not histories:
        msg = "there is no fit to draw; give at least one"
        raise ValueError(msg)
    if labels is not None and len(labels) != len(histories):
        msg = f"`labels` must be one for each fit, got {len(labels)} for {len(histories)}"
        raise ValueError(msg)
    if against not in ("seconds", "steps"):
        msg = f"`against` must be 'seconds' or 'steps', got {against!r}"
        raise ValueError(msg)
    many = len(histories) > 10  # more than matplotlib has colours for, and a legend as tall
    figure, (axis,) = _subplots(1, (9.5 if many else 7.0, 4.0), [1.0])
    if many:
        import matplotlib

        colours = matplotlib.colormaps["tab20"]
        axis.set_prop_cycle(color=[colours(i) for i in range(colours.N)])
    for i, history in enumerate(histories):
        steps, seconds, psnr = np.array(history, np.float64).T
        psnr[~np.isfinite(psnr)] = np.nan  # a moment of no value leaves a gap
        x = seconds if against == "seconds" else steps
        axis.plot(x, psnr, marker="." if len(x) < 3 else None, label=labels and labels[i])
    if against == "steps":
        axis.set_xscale("log", nonpositive="mask")  # step 0 has no place there
    axis.set_xlabel(against)
    axis.set_ylabel("PSNR (dB)")
    axis.grid(alpha=0.3)
    if labels:
        if many:
            axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        else:
            axis.legend()
    return _shown(figure)


def _checked(image: ArrayLike, index: int) -> np.ndarray:
    """Return a picture as matplotlib takes it: (h, w) or (h, w, 3 or 4) in [0, 1]."""
    grey = np.ndim(image) == 2
    array = check_image(np.asarray(image)[..., None] if grey else image, f"images[{index}]")
    return np.clip(array[..., 0] if array.shape[2] == 1 else array, 0, 1)


def _history(fit: Any, index: int) -> Sequence[tuple[int, float, float]]:
    record = getattr(fit, "fitted", fit)
    if record is None:
        msg = f"fit {index} is a network without a record; give one that `fit` returned"
        raise ValueError(msg)
    history = getattr(record, "history", None)
    if history is None:
        try:
            history = [(shot.step, shot.seconds, shot.psnr) for shot in record]
        except (AttributeError, TypeError):
            msg = (
                f"fit {index} must be a fitted network, its record or a list of snapshots, "
                f"got {type(fit).__name__}"
            )
            raise TypeError(msg) from None
    if not history:
        msg = f"fit {index} has no history; it made no step"
        raise ValueError(msg)
    return history


def _subplots(
    columns: int, inches: tuple[float, float], heights: Sequence[float]
) -> tuple["Figure", list[Any]]:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(heights),
        columns,
        figsize=inches,
        squeeze=False,
        layout="constrained",
        height_ratios=heights,
    )
    return figure, list(axes.ravel())


def _shown(figure: "Figure") -> "Figure":
    import matplotlib.pyplot as plt
    from matplotlib.backends.registry import BackendFilter, backend_registry

    windows = backend_registry.list_builtin(BackendFilter.INTERACTIVE)
    if plt.get_backend().lower() in windows:
        plt.show()
    # A notebook draws the value of its cell; a figure left open would be drawn a second time,
    # and figures of long scripts would pile up.
    plt.close(figure)
    return figure
