"""Pictures at a larger size, with the detail that a named network invents for them."""

import os
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float
from scipy.ndimage import distance_transform_edt

from .._cells import Axis, axis_at, evaluated, lattice_at
from .._color import check_picture
from .._images import read_image
from .._sizes import Frame, drawn_size
from ._jpeg import read_jpeg
from ._pairs import damage_of
from ._resize import brought_back, resized
from ._tiles import Tile, each, tiles
from ._upscaler import MOST_DETAIL, WAVES, Upscaler, told_of
from ._weights import chosen

_MOST_SCALE = 30.0
_MOST_PIXELS = 2**28  # of a result: 3 GB
_SIDE, _FAR_SIDE, _FAR = 64, 16, 8.0  # pixels of a tile, up to a scale and beyond it
_BLUR = 8  # pixels over which damage, of blocks of 8, is even


@partial(jax.jit, static_argnums=0)
def _said(graph: Any, weights: Any, part: Any, told: Any, rows: Any, columns: Any) -> jax.Array:
    return evaluated(nnx.merge(graph, weights)(part[None], told[None])[0], rows, columns)


def enlarged(
    net: Upscaler,
    small: Float[np.ndarray, "h w 3"],
    size: tuple[int, int],
    *,
    detail: float = 1.0,
    damage: float = 0.0,
    consistency: float = 1.0,
    side: int | None = None,
    progress: bool | None = False,
) -> Float[np.ndarray, "h2 w2 3"]:
    """Return a picture at ``size``, not clipped; see :func:`upscale`. ``side``: of a tile."""
    native = small.shape[0], small.shape[1]
    scale = max(n / m for n, m in zip(size, native, strict=True))
    side = side or (_SIDE if scale <= _FAR else _FAR_SIDE)
    graph, weights = nnx.split(net)
    told = jnp.asarray(told_of(scale, detail, damage))
    large = resized(small, size)
    # a cell more at each end: the mirrored picture goes on there
    seen = [axis_at(lattice_at(m, n) + 1, m + 2, WAVES) for m, n in zip(native, size, strict=True)]
    most = int(np.ceil(scale * side)) + 1  # points of a tile: one shape for all of them

    def work(tile: Tile) -> tuple[tuple[slice, ...], np.ndarray]:
        y, x, part = tile
        spans, axes = [], []
        for first, axis in zip((y, x), seen, strict=True):
            nearest = axis.near[:, 0] + (axis.weights[:, 0, 0] < 0.5) - 1
            low, high = np.searchsorted(nearest, (first, first + side))
            points = np.resize(np.arange(low, high), most)
            spans.append(slice(low, high))
            axes.append(Axis(axis.near[points] - first, axis.weights[points]))
        return tuple(spans), np.asarray(_said(graph, weights, part, told, *axes))

    # a cell more than the network needs: those beyond a tile's border blend into it
    for place, found in each(work, tiles(small, net.halo + 1, side, progress, "enlarging")):
        inside = large[place]
        inside += found[: inside.shape[0], : inside.shape[1]]
    if consistency:
        brought_back(large, small, consistency, blur=_BLUR if damage else 1)
    return large


class _Asked(NamedTuple):
    """A picture, the size that it is to have, and how damaged it is."""

    picture: Float[np.ndarray, "h w c"]
    size: tuple[int, int]
    damage: float

    @property
    def colours(self) -> Float[np.ndarray, "h w 3"]:
        """Return three channels, those of pixels that nobody sees from their neighbours."""
        many = self.picture.shape[2]
        found = self.picture[..., : min(many, 3)]
        if many == 4:
            found = _bled(found, self.picture[..., 3] > 0)
        return _thrice(found)


def _thrice(plane: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w 3"]:
    return np.ascontiguousarray(np.broadcast_to(plane, (*plane.shape[:2], 3)))


def _asked(image: Any, scale: Any, size: Any, repair: float | None) -> _Asked:
    """Check and read what is to be enlarged."""
    _check_share("repair", 0.0 if repair is None else repair)
    if isinstance(image, str | os.PathLike):
        repair = _damage_in(Path(image)) if repair is None else repair
        picture = read_image(image, clip=True)
    else:
        picture = check_picture(image)
    wanted = _wanted((picture.shape[0], picture.shape[1]), scale, size)
    return _Asked(picture, wanted, repair or 0.0)


def _check_share(name: str, value: Any) -> None:
    if not (isinstance(value, Real) and 0 <= float(value) <= 1):
        msg = f"`{name}` must be from 0 to 1, got {value!r}"
        raise ValueError(msg)


def _wanted(
    native: tuple[int, int], scale: float | None, size: int | tuple[int, int] | None
) -> tuple[int, int]:
    if scale is None and size is None:
        msg = "give `scale`, how many times larger, or `size`, a height or (height, width)"
        raise ValueError(msg)
    wanted = drawn_size(Frame(native, "centers"), size, scale, None)
    times = [n / m for n, m in zip(wanted, native, strict=True)]
    times.append(1.0 if scale is None else scale)  # small pictures round what is below 1 up
    if not (min(times) >= 1 and max(times) <= _MOST_SCALE):
        msg = (
            f"`{'size' if scale is None else 'scale'}` must enlarge 1 to {_MOST_SCALE:g} times, "
            f"got {wanted[1]}x{wanted[0]} for a picture of {native[1]}x{native[0]}"
        )
        raise ValueError(msg)
    if wanted[0] * wanted[1] > _MOST_PIXELS:
        msg = f"the result would have {wanted[0] * wanted[1]:,} pixels; at most {_MOST_PIXELS:,}"
        raise ValueError(msg)
    return wanted


def _damage_in(path: Path) -> float:
    """Return how damaged a file's picture is, by what it says of itself: 0 if it is no JPEG."""
    data = path.read_bytes()
    try:
        return damage_of(read_jpeg(data).tables[0]) if data[:2] == b"\xff\xd8" else 0.0
    except ValueError:  # a kind that others can read
        return 0.0


def _bled(colour: Float[np.ndarray, "h w c"], shown: np.ndarray) -> Float[np.ndarray, "h w c"]:
    """Give pixels that are not shown the colour of the nearest that is."""
    if shown.all() or not shown.any():
        return colour
    near = np.asarray(distance_transform_edt(~shown, return_distances=False, return_indices=True))
    return colour[near[0], near[1]]


def upscale(
    image: Float[np.ndarray, "h w c"] | str | os.PathLike[str],
    scale: float | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    model: str | os.PathLike[str] = "photos",
    detail: float = 1.0,
    consistency: float = 1.0,
    repair: float | None = None,
    progress: bool | None = None,
) -> Float[np.ndarray, "h2 w2 c"]:
    """Enlarge a picture, with the detail that a network has learnt to expect.

    What a small picture has lost is not in it: the result is one of many pictures that look like
    it when they are reduced. Which of them, is decided by what the network has seen: ``model``
    names it, ``invention_map`` shows where it went beyond what the picture says, and files that
    the command line writes say it too.

    The network writes cosines into the cell of each pixel, which are evaluated at any scale and
    blended with the neighbours' (after LIIF, Chen et al. 2021, and OPE-SR, Song et al. 2023); they
    are added to the cubic enlargement.

    Args:
        image: ``(h, w, c)`` in [0, 1], of 1, 3 or 4 channels, or the path of a picture.
        scale: How many times larger, 1 to 30; networks have learnt those up to 4.
        size: Instead: the height, or (height, width).
        model: ``"photos"`` or ``"paintings"``; ``"medium"``, which is larger and has learnt from
            both (of Set5 0.12 to 0.18 dB more than ``"photos"``, in three times the time); or the
            path of weights of ``coordnet train upscale``. What a network has learnt from,
            :func:`data_card` says.
        detail: How coarse the detail is, from 1 to 4: how many pixels of a fine scan one of the
            result stands for. Of a painting the strokes (1), or the arm that they paint (4).
            Networks that ship make little of it: from 1 to 4 the PSNR of 14 photographs and
            paintings, four times larger, moves by 0.05 dB in the mean, by 0.16 at most.
        consistency: How far the result, reduced again, is brought to be the picture, so that no
            colour and no brightness shifts: 1 but for what is clipped and a seventh of what noise
            lacks, 0 not at all. Of damaged pictures in the mean of 8 pixels.
        repair: How damaged the picture is, 0 to 1; when missing, what a JPEG file says of
            itself, and 0 of others. At scale 1 this is all that happens.
        progress: Draw a bar; when missing, in a terminal or notebook, if it takes long.

    Returns:
        float32 in [0, 1], as many channels as the picture.

    Raises:
        ValueError: An argument is out of its range, or the file is broken.
        FormatError: The weights are none of an upscaler.
        OSError: A file cannot be read.

    >>> import coordnet as cn
    >>> small = cn.read_image(cn.sample_image(), max_side=40)
    >>> small.shape, upscale(small, 2.5).shape, upscale(small, size=70).shape
    ((40, 34, 3), (100, 85, 3), (70, 60, 3))
    """
    net, _ = chosen(model, "upscale")
    _check_share("consistency", consistency)
    asked = _asked(image, scale, size, repair)
    grow = partial(
        enlarged, net, size=asked.size, detail=_checked_detail(detail), damage=asked.damage,
        consistency=consistency, progress=progress,
    )  # fmt: skip
    found, many = grow(asked.colours), asked.picture.shape[2]
    if many == 1:
        found = found.mean(2, keepdims=True)
    if many == 4:
        # transparency is drawn, not seen: a ramp of it stays a ramp
        alpha = resized(asked.picture[..., 3:], asked.size)
        found = np.concatenate([found, alpha], 2)
    return found.clip(0, 1, out=found)


def invention_map(
    image: Float[np.ndarray, "h w c"] | str | os.PathLike[str],
    scale: float | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    model: str | os.PathLike[str] = "photos",
    detail: float = 1.0,
    progress: bool | None = None,
) -> Float[np.ndarray, "h2 w2"]:
    """Return where, and how far, ``upscale`` goes beyond what a picture says.

    Both the result and the cubic enlargement, brought to be the picture when they are reduced,
    agree on all that it says; in what they differ it says nothing. The mean of the channels'
    absolute differences, 0 to 1. Arguments and errors are those of :func:`upscale`.

    >>> flat = np.full((12, 16, 3), 0.5, np.float32)
    >>> invention_map(flat, 2).shape, float(invention_map(flat, 2).max()) < 0.02
    ((24, 32), True)
    """
    net, _ = chosen(model, "upscale")
    asked, detail = _asked(image, scale, size, None), _checked_detail(detail)
    small, damage = asked.colours, asked.damage
    found = enlarged(net, small, asked.size, detail=detail, damage=damage, progress=progress)
    plain = resized(small, asked.size)
    brought_back(plain, small, 1.0, blur=_BLUR if damage else 1)
    return np.abs(np.subtract(found, plain, out=found), out=found).mean(2).clip(0, 1)


def _checked_detail(detail: float) -> float:
    if not (isinstance(detail, Real) and 1 <= detail <= MOST_DETAIL):
        msg = f"`detail` must be from 1, the finest, to {MOST_DETAIL:g}, got {detail!r}"
        raise ValueError(msg)
    return float(detail)
