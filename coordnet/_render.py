"""Rendering: a network drawn at any size, any window, in bounded memory."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from ._area import fitted_size
from ._cache import keep_compiled
from ._color import to_uint8
from ._coords import Window, frame, lattice
from ._decode import ImageInfo
from ._encode import encode
from ._nets import Spec, parts
from ._problem import evaluate
from ._progress import counting
from ._sizes import MOST_SIDE, Drawable, Frame, drawn_size, frame_of, samples_per_pixel

# Values of one layer that are alive at once: they stay in a CPU's cache, and fill a GPU.
_VALUES = {"cpu": 2**21}
_VALUES_ELSEWHERE = 2**25
_MOST_CANVAS = 2**24  # pixels of a picture that is drawn only to be averaged: 200 MB
_MOST_SAMPLES = 16  # along each axis of a pixel, at once; more are averaged in two stages


def _means(length: int, samples: int) -> Float[Array, "pixels length"]:
    """Return the matrix that averages each run of ``samples`` values."""
    return jnp.repeat(jnp.eye(length // samples), samples, axis=1) / samples


@partial(jax.jit, static_argnames=("graphdef", "samples"))
def _draw(
    graphdef: Any, state: Any, ys: Float[Array, "k r"], xs: Float[Array, " w"], samples: int
) -> Float[Array, "k rows columns c"]:
    """Draw k strips of rows, averaging ``samples`` x ``samples`` points into a pixel."""

    def strip(y: Float[Array, " r"]) -> Array:
        out = evaluate(nnx.merge(graphdef, state), y, xs)
        _, h, w = out.shape
        out = jnp.clip(out, 0.0, 1.0)  # first: a pixel is the average of what would be seen
        if samples > 1:
            # products, not a mean over reshaped axes: XLA's CPU backend fuses such a
            # reduction with the whole network before it, which takes a hundred times as long
            out = jnp.einsum("ih,chw,jw->cij", _means(h, samples), out, _means(w, samples))
        return out.transpose(1, 2, 0)

    return jax.lax.map(strip, ys)


def render(
    net: nnx.Module | Drawable,
    size: int | tuple[int, int] | None = None,
    *,
    scale: float | None = None,
    window: Window | None = None,
    progress: bool | None = None,
) -> Float[np.ndarray, "h w c"]:
    """Draw a network at any resolution.

    Below its native resolution a pixel is the average of the function over the pixel's
    area, not a point of it. Memory is bounded whatever the size.

    Args:
        net: A CoordNet, a decompressed picture, or any ``nnx.Module`` from ``(n, 2)`` points to
            ``(n, channels)``.
        size: Height in pixels, the aspect kept; or (height, width); native when missing.
        scale: Instead of ``size``: pixels per native pixel.
        window: The part of the plane to draw; the whole picture when missing.
        progress: Show a progress bar; when missing, for long renders that somebody watches.

    Returns:
        ``(height, width, channels)`` float32 in [0, 1].

    Raises:
        ValueError: A size, scale or window is out of range, or missing where it is needed.

    >>> from coordnet import CoordNet
    >>> net = CoordNet(Spec(width=8, depth=1, size=(20, 30)))
    >>> render(net).shape, render(net, 40).shape, render(net, scale=0.5).shape
    ((20, 30, 3), (40, 60, 3), (10, 15, 3))
    """
    if isinstance(net, Drawable):
        return _drawn(net, size, scale, window)
    if not isinstance(net, nnx.Module):
        msg = f"`net` must be a network, got {type(net).__name__}; read a file with coordnet.load"
        raise TypeError(msg)
    keep_compiled()
    native = frame_of(net)
    height, width = drawn_size(native, size, scale, window)
    samples = samples_per_pixel(native, (height, width), window)
    if samples > _MOST_SAMPLES:
        assert native is not None
        part = window or frame(native.size, native.coordinates)
        return _in_two_stages(net, (height, width), part, -(-samples // _MOST_SAMPLES), progress)
    native = native or Frame((height, width), "centers")
    ys, xs = lattice(
        (height * samples, width * samples),
        native=native.size,
        coordinates=native.coordinates,
        window=window,
    )
    graphdef, state = nnx.split(net)
    rows, columns = _tile(net, height, width, samples)
    strips = max(1, min(-(-height // rows), 2**18 // (rows * columns)))
    out = None
    blocks = [
        (top, left) for left in range(0, width, columns) for top in range(0, height, rows * strips)
    ]
    with jax.default_matmul_precision("highest"):
        for top, left in counting(blocks, progress, "rendering"):
            y = _padded(ys[top * samples :], rows * strips * samples).reshape(strips, -1)
            x = _padded(xs[left * samples :], columns * samples)
            block = np.asarray(_draw(graphdef, state, jnp.asarray(y), jnp.asarray(x), samples))
            if out is None:
                out = _canvas((height, width, block.shape[-1]))
            place = out[top : top + rows * strips, left : left + columns]
            place[:] = block.reshape(-1, columns, block.shape[-1])[
                : place.shape[0], : place.shape[1]
            ]
    assert out is not None
    return out


def _drawn(
    net: Drawable,
    size: int | tuple[int, int] | None,
    scale: float | None,
    window: Window | None,
) -> Float[np.ndarray, "h w c"]:
    """Draw what draws itself."""
    native = Frame(net.native, "centers")
    wanted = drawn_size(native, size, scale, window)
    height, width = native.size
    if window is None:
        part = (0.0, 0.0, float(height), float(width))
    else:  # from coordinates to native pixels
        half = max(height, width) / 2
        (left, right), (top, bottom) = ((v * half for v in span) for span in window)
        part = (top + height / 2, left + width / 2, bottom - top, right - left)
    samples = samples_per_pixel(native, wanted, window)
    if samples > _MOST_SAMPLES:
        whole = window or frame(native.size, native.coordinates)
        return _in_two_stages(net, wanted, whole, -(-samples // _MOST_SAMPLES), None)
    return net.draw(wanted, part, samples)


def _in_two_stages(
    net: nnx.Module | Drawable,
    size: tuple[int, int],
    window: Window,
    times: int,
    progress: bool | None,
) -> Float[np.ndarray, "h w c"]:
    """Draw ``times`` as large and average, some rows after the others: no tile need hold all."""
    height, width = size
    if width * times > MOST_SIDE:
        msg = f"`window` {window} is too many times larger than the picture; draw it larger"
        raise ValueError(msg)
    (low, high), bands = window.y, []
    rows = max(1, _MOST_CANVAS // (width * times**2))
    for top in range(0, height, rows):
        n = min(rows, height - top)
        edges = (low + (high - low) * edge / height for edge in (top, top + n))
        part = window._replace(y=tuple(edges))
        larger = render(net, (n * times, width * times), window=part, progress=progress)
        bands.append(larger.reshape(n, times, width, times, -1).mean((1, 3)))
    return np.concatenate(bands)


def zoom(
    net: nnx.Module | Drawable,
    *,
    to: tuple[float, float] = (0.0, 0.0),
    scale: float = 16.0,
    frames: int = 120,
    size: int | tuple[int, int] | None = None,
) -> Iterator[Float[np.ndarray, "h w c"]]:
    """Yield the frames of a zoom into a network, each as much nearer as the one before.

    Args:
        net: A network of known size.
        to: The point ``(x, y)``, in coordinates, that is in the middle of the last frame.
        scale: How many times larger the last frame shows things than the first.
        frames: How many to draw.
        size: Of each frame; native when missing.

    Raises:
        ValueError: ``scale`` is not above 0, or there is no frame to draw.

    >>> from coordnet import CoordNet
    >>> net = CoordNet(Spec(width=8, depth=1, size=(6, 8)))
    >>> [frame.shape for frame in zoom(net, scale=4, frames=2)]
    [(6, 8, 3), (6, 8, 3)]
    """
    if not (scale > 0 and math.isfinite(scale)) or frames < 1:
        msg = f"`scale` must be above 0 and `frames` at least 1, got {scale} and {frames}"
        raise ValueError(msg)
    native = frame_of(net)
    if native is None:
        msg = "zoom needs a network of known size: a fitted one, or a Spec with size=(h, w)"
        raise ValueError(msg)
    if not all(map(math.isfinite, to)):
        msg = f"`to` must be a point (x, y), got {to}"
        raise ValueError(msg)
    whole = frame(native.size, native.coordinates)
    size = drawn_size(
        native, size, None, None
    )  # of all frames, whatever a window's width rounds to
    return (
        render(net, size, window=_nearer(whole, to, scale, t), progress=False)
        for t in np.linspace(0.0, 1.0, frames)
    )


def thumbnail(net: nnx.Module, longest: int = 512) -> bytes:
    """Return a network of known size as a PNG, its longer side of ``longest`` pixels or fewer.

    >>> from coordnet import CoordNet
    >>> thumbnail(CoordNet(Spec(width=8, depth=1, size=(20, 30))))[1:4]
    b'PNG'
    """
    native = frame_of(net)
    if native is None:
        msg = "a picture of a network needs one of known size"
        raise ValueError(msg)
    image = to_uint8(render(net, fitted_size(native.size, longest), progress=False))
    return encode(image, "PNG", ImageInfo(bits=8, mode=""), quality=0)


def _nearer(whole: Window, to: tuple[float, float], scale: float, t: float) -> Window:
    """Return the window of the zoom at ``t`` from 0 to 1; the target never leaves it."""
    zoomed = scale**t
    # moves with the shrinking of the window, so that the target seems to stand still
    nearer = math.log(scale)
    moved = math.expm1(-nearer * t) / math.expm1(-nearer) if nearer else t
    spans = []
    for (low, high), target in zip(whole, to, strict=True):
        middle = (low + high) / 2
        half = (high - low) / 2 / zoomed
        middle += (target - middle) * moved
        spans.append((middle - half, middle + half))
    return Window(*spans)


def _canvas(shape: tuple[int, int, int]) -> np.ndarray:
    try:
        return np.empty(shape, np.float32)
    except MemoryError as error:
        gigabytes = 4 * math.prod(shape) / 1e9
        msg = (
            f"`size` {shape[:2]} takes {gigabytes:,.1f} GB, more memory than there is; draw windows"
        )
        raise ValueError(msg) from error


def _tile(net: nnx.Module, height: int, width: int, samples: int) -> tuple[int, int]:
    """Return the rows and columns of pixels that are evaluated at once."""
    spec = getattr(net, "spec", None)
    breadth = max(spec.width, parts(spec)[0].features, 16) if isinstance(spec, Spec) else 256
    values = _VALUES.get(jax.default_backend(), _VALUES_ELSEWHERE)
    pixels = max(1, values // breadth // samples**2)
    columns = min(width, max(pixels, -(-64 // samples)))
    columns = -(-width // -(-width // columns))  # of tiles side by side, all equally wide
    return max(1, min(height, pixels // columns)), columns


def _padded(v: Float[np.ndarray, " n"], length: int) -> Float[np.ndarray, " m"]:
    """Return the first ``length`` coordinates, the last one repeated where they run out."""
    v = v[:length]
    return np.pad(v, (0, length - len(v)), mode="edge")
