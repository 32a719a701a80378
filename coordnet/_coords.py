"""Where pixels lie: pixel centres, x to the right, y down, square pixels.

The longer side of a picture spans [-1, 1]. Two historical conventions are kept for
the networks that were published with them: ``"edges"`` puts the first and last pixel
centre of each axis at -1 and 1, ``"unit"`` at 0 and 1.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

Coordinates = Literal["centers", "edges", "unit"]


class Window(NamedTuple):
    """A rectangle in network coordinates, from its left/top to its right/bottom edge.

    >>> Window(x=(-0.5, 0.5), y=(0.0, 0.25)).x
    (-0.5, 0.5)
    """

    x: tuple[float, float]
    y: tuple[float, float]

    @classmethod
    def of_pixels(
        cls,
        crop: tuple[int, int, int, int],
        size: tuple[int, int],
        coordinates: Coordinates = "centers",
    ) -> "Window":
        """Return the window of ``crop`` (top, left, height, width) in a picture of ``size``.

        Raises:
            ValueError: The crop does not lie inside the picture.

        >>> Window.of_pixels((0, 50, 50, 50), (100, 200))
        Window(x=(-0.5, 0.0), y=(-0.5, 0.0))
        """
        top, left, high, wide = crop
        height, width = size
        if not (min(top, left) >= 0 and 1 <= high <= height - top and 1 <= wide <= width - left):
            msg = (
                f"`crop` must be (top, left, height, width) inside a picture of {height} x "
                f"{width} (height x width), got {crop}"
            )
            raise ValueError(msg)
        ys, xs = (
            coordinate(np.array([first, first + n]) - 0.5, length, max(size), coordinates)
            for first, n, length in ((top, high, height), (left, wide, width))
        )
        return cls(x=(float(xs[0]), float(xs[1])), y=(float(ys[0]), float(ys[1])))


def coordinate(u: np.ndarray, length: int, longest: int, coordinates: Coordinates) -> np.ndarray:
    """Map pixel positions ``u`` (0 is the centre of the first pixel) to a coordinate."""
    if coordinates == "centers":
        return (2 * u + 1 - length) / longest
    # a side of one pixel has its centre at 0 in every convention, and the extent of one of two
    unit = u / max(length - 1, 1)
    return unit if coordinates == "unit" else 2 * unit - (length > 1)


def frame(size: tuple[int, int], coordinates: Coordinates = "centers") -> Window:
    """Return the window that a picture of ``size`` (height, width) fills, edge to edge.

    >>> frame((100, 200))
    Window(x=(-1.0, 1.0), y=(-0.5, 0.5))
    """
    return Window.of_pixels((0, 0, *size), size, coordinates)


def lattice(
    size: tuple[int, int],
    *,
    native: tuple[int, int] | None = None,
    coordinates: Coordinates = "centers",
    window: Window | None = None,
) -> tuple[Float[np.ndarray, " h"], Float[np.ndarray, " w"]]:
    """Return the coordinates of the pixel rows and columns of a picture.

    Args:
        size: Height and width in pixels of the picture to draw.
        native: The size that fixes the frame of the coordinates; ``size`` when missing.
            A picture of another size has its pixel centres mapped through that frame.
        coordinates: ``"centers"``, ``"edges"`` or ``"unit"`` (see the module).
        window: The part of the plane to draw, edge to edge; the whole frame when missing.

    Returns:
        ``(ys, xs)``, float32, of lengths height and width.

    >>> ys, xs = lattice((2, 4))
    >>> ys.tolist(), xs.tolist()
    ([-0.25, 0.25], [-0.75, -0.25, 0.25, 0.75])
    >>> lattice((2, 2), coordinates="edges")[1].tolist()
    [-1.0, 1.0]
    """
    native = size if native is None else native
    if window is not None:
        spans = (window.y, window.x)
        ys, xs = (
            lo + (np.arange(n) + 0.5) / n * (hi - lo)
            for n, (lo, hi) in zip(size, spans, strict=True)
        )
    else:
        ys, xs = (
            coordinate((np.arange(n) + 0.5) * (full / n) - 0.5, full, max(native), coordinates)
            for n, full in zip(size, native, strict=True)
        )
    return ys.astype(np.float32), xs.astype(np.float32)


def grid(
    height: int, width: int, *, coordinates: Coordinates = "centers", window: Window | None = None
) -> Float[np.ndarray, "n 2"]:
    """Return the coordinates ``(x, y)`` of every pixel, row by row, as ``(height * width, 2)``.

    >>> grid(1, 2).tolist()
    [[-0.5, 0.0], [0.5, 0.0]]
    """
    ys, xs = lattice((height, width), coordinates=coordinates, window=window)
    return np.stack(np.broadcast_arrays(xs[None, :], ys[:, None]), axis=-1).reshape(-1, 2)
