"""How large something is drawn: native sizes, windows, samples."""

import math
from numbers import Integral, Real
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from flax import nnx
from jaxtyping import Float

from ._coords import Window, frame
from ._nets import Spec, noted

MOST_PIXELS = 2**30  # of a picture: 12 GB in colour
MOST_SIDE = 2**20  # pixels; beyond, float32 coordinates no longer tell pixels apart


class Frame(NamedTuple):
    """The native size of a network and its coordinates."""

    size: tuple[int, int]
    coordinates: Any


@runtime_checkable
class Drawable(Protocol):
    """What draws itself: a decompressed picture."""

    @property
    def native(self) -> tuple[int, int]:
        """Height and width."""
        ...

    def draw(
        self, size: tuple[int, int], part: tuple[float, float, float, float], samples: int
    ) -> Float[np.ndarray, "h w c"]:
        """Draw a part (top, left, height, width in native pixels), averaging samples."""
        ...


def frame_of(net: nnx.Module | Drawable) -> Frame | None:
    if isinstance(net, Drawable):
        return Frame(net.native, "centers")
    spec = getattr(net, "spec", None)
    if isinstance(spec, Spec):
        return None if spec.size is None else Frame(spec.size, spec.coordinates)
    size = noted(net, "size")
    return None if size is None else Frame(size, "centers")


def drawn_size(
    native: Frame | None,
    size: int | tuple[int, int] | None,
    scale: float | None,
    window: Window | None,
) -> tuple[int, int]:
    """Return the height and width to draw."""
    if window is not None:
        if not isinstance(window, Window):
            msg = f"`window` must be a coordnet.Window(x=(x0, x1), y=(y0, y1)), got {window!r}"
            raise TypeError(msg)
        spans = [*window.x, *window.y]
        if not all(map(math.isfinite, spans)) or not all(b > a for a, b in window):
            msg = f"`window` must run from left to right and from top to bottom, got {window}"
            raise ValueError(msg)
    if size is not None and scale is not None:
        msg = f"give `size` or `scale`, not both, got {size!r} and {scale!r}"
        raise ValueError(msg)
    if isinstance(size, tuple | list):
        result = tuple(size)
    elif native is None:
        msg = "a network of no known size must be given `size=(height, width)` to draw"
        raise ValueError(msg)
    else:
        # native pixels that the window holds, along each axis
        whole = frame(native.size, native.coordinates)
        part = whole if window is None else window
        high, wide = (
            n * (b - a) / (d - c)
            for n, (a, b), (c, d) in zip(
                native.size, (part.y, part.x), (whole.y, whole.x), strict=True
            )
        )
        if size is None:
            times = 1.0 if scale is None else scale
            if not (
                isinstance(times, Real) and times > 0 and math.isfinite(times * max(high, wide))
            ):
                msg = f"`scale` must be above 0, got {scale!r}"
                raise ValueError(msg)
            result = (max(1, round(high * times)), max(1, round(wide * times)))
        elif isinstance(size, Integral):
            result = (size, max(1, round(wide * size / high)))
        else:
            result = (size,)
    if len(result) != 2 or not all(isinstance(n, Integral) and 1 <= n <= MOST_SIDE for n in result):
        msg = (
            "`size` must be a height or (height, width), whole numbers from 1 to "
            f"{MOST_SIDE:,}, got {result}"
        )
        raise ValueError(msg)
    if result[0] * result[1] > MOST_PIXELS:
        msg = (
            f"{result[1]}x{result[0]} are {result[0] * result[1]:,} pixels, more than the "
            f"{MOST_PIXELS:,} that are drawn at once; draw parts of it with `window`"
        )
        raise ValueError(msg)
    return int(result[0]), int(result[1])


def samples_per_pixel(native: Frame | None, size: tuple[int, int], window: Window | None) -> int:
    """Return how many points along each axis a pixel averages: one for each native pixel."""
    if native is None:
        return 1
    whole = frame(native.size, native.coordinates)
    part = whole if window is None else window
    native_per_pixel = max(
        full * (b - a) / (d - c) / n
        for full, n, (a, b), (c, d) in zip(
            native.size, size, (part.y, part.x), (whole.y, whole.x), strict=True
        )
    )
    return max(1, math.ceil(native_per_pixel - 1e-6))
