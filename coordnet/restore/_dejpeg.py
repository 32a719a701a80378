"""JPEG files to pictures without blocks, ringing and washed-out colours."""

import os
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from .._decode import UPRIGHT
from ._cleaner import Cleaner, Seen, cells, seen, uncelled
from ._jpeg import as_jpeg, project, read_jpeg
from ._planes import enlarged, reduced, spread, to_rgb
from ._ridge import Ridge
from ._tiles import tiled
from ._weights import chosen

SIDE = 128  # cells of a tile: 256 pixels


@partial(jax.jit, static_argnums=0)
def _said(graph: Any, weights: Any, shown: Any, told: Any, corner: Any) -> jax.Array:
    return nnx.merge(graph, weights)(shown, told, corner)


def cleaned(
    net: Cleaner | Ridge,
    shown: Seen,
    *,
    strength: float = 1.0,
    keep_bins: bool = True,
    side: int = SIDE,
    progress: bool | None = False,
) -> Float[np.ndarray, "h w 3"]:
    """Return Y, Cb and Cr, 0 to 255, of a file that the network has seen.

    ``strength`` is the part of the network's change that is made, and of files of fine steps less.
    With ``keep_bins`` the result lies where the file's coefficients say the picture lay.
    """
    found = net(shown) if isinstance(net, Ridge) else _in_tiles(net, shown, side, progress)
    plain = shown.planes[..., :3]
    change = np.float32(strength) * (found - plain)
    many = len(shown.bins)
    change[..., 0] *= np.float32(shown.shares[0])
    for k in range(1, many):
        stored = enlarged(reduced(change[..., k], shown.stored[k]), plain.shape[:2])
        change[..., k] = stored + np.float32(shown.shares[k]) * (change[..., k] - stored)
    found = plain + change
    found[..., many:] = 128  # grey stays grey
    if keep_bins:
        for k, said_of in enumerate(shown.bins):
            small = reduced(found[..., k], shown.stored[k])
            found[..., k] += spread(project(small, said_of) - small, found.shape[:2])
    return np.where(shown.flat[..., None], plain, found)


def _in_tiles(
    net: Cleaner, shown: Seen, side: int, progress: bool | None
) -> Float[np.ndarray, "h w 3"]:
    height, width = shown.planes.shape[:2]
    even = np.pad(shown.planes, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    graph, weights = nnx.split(net)
    told = jnp.asarray(shown.told[None])

    def apply(part: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
        found = _said(graph, weights, part, told, jnp.array([corner], jnp.int32))
        return np.asarray(found)

    said = tiled(apply, cells((even - 128) / 255), net.halo, side, progress)
    return 255 * uncelled(said)[:height, :width] + 128


def dejpeg(
    source: str | os.PathLike[str] | bytes,
    *,
    model: str | os.PathLike[str] = "small",
    strength: float = 1.0,
    keep_bins: bool = True,
    quality: int | None = None,
    progress: bool | None = None,
) -> Float[np.ndarray, "h w c"]:
    """Read a JPEG file without its blocks, ringing and washed-out colours.

    A small network sees the planes as the file stores them and is told its tables of steps. What it
    says is moved to where the file's own coefficients say that the picture lay: half a step about
    each, and a twentieth more for how encoders round (``keep_bins``). Where a file does not say it,
    in blocks of clipped samples and at the borders, and where a colour is beyond black or white in
    the end, it may be further: of Classic5, cleaned, rounded and saved again, 99.8 % of the
    coefficients are the file's at quality 30, 98.9 % at 85. Areas of one colour stay what they are.
    Grey files give one channel.

    Args:
        source: A path, or the bytes of a file: grey or colour, baseline or progressive.
        model: ``"small"``; ``"medium"``, which is larger, slower and a little better with
            photographs; or the path of weights of ``coordnet train dejpeg``.
        strength: How much of the network's change is made, 0 to 1 (from quality 90 to 95 on, half
            of it, for there it errs as much as the file); with 0 and no ``keep_bins`` the
            picture is decoded, before it was rounded.
        keep_bins: Stay within what the file says.
        quality: Clean as if the file had this quality, 1 to 100 by libjpeg's tables: of a picture
            that was saved again, well, after it was saved badly. What the file says is of the
            second time then, and is not kept.
        progress: Draw a bar; when missing, in a terminal or notebook, if it takes long.

    Returns:
        float32 in [0, 1], upright.

    Raises:
        ValueError: It is no JPEG, is broken, or of a kind that is not read; an option is wrong.
        FormatError: The weights are none that clean JPEG files.
        OSError: It cannot be read.

    >>> import io
    >>> import coordnet as cn
    >>> from PIL import Image
    >>> clean, file = cn.read_image(cn.sample_image(), max_side=64), io.BytesIO()
    >>> Image.fromarray(np.uint8(clean * 255)).save(file, "JPEG", quality=30)
    >>> plain = cn.read_image(file.getvalue())
    >>> cn.psnr(dejpeg(file.getvalue()), clean) > cn.psnr(plain, clean)
    True
    """
    if not (isinstance(strength, Real) and 0 <= strength <= 1):
        msg = f"`strength` must be from 0 to 1, got {strength!r}"
        raise ValueError(msg)
    whole = isinstance(quality, Integral) and not isinstance(quality, bool)
    if quality is not None and not (whole and 1 <= int(quality) <= 100):
        msg = f"`quality` must be a whole number from 1 to 100, got {quality!r}"
        raise ValueError(msg)
    if not isinstance(source, str | os.PathLike | bytes):
        msg = f"`source` must be a path or the bytes of a JPEG file, got {type(source).__name__}"
        raise TypeError(msg)
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    name = "the bytes" if isinstance(source, bytes) else os.fspath(source)
    jpeg = read_jpeg(data, name)
    before = None
    if quality is not None:
        told = as_jpeg(np.zeros((8, 8, 3), np.uint8), int(quality))
        before = read_jpeg(told).tables[: len(jpeg.planes)]
    shown = seen(jpeg, before)
    net, _ = chosen(model, "dejpeg")
    found = cleaned(
        net, shown, strength=strength, keep_bins=keep_bins and quality is None, progress=progress
    )
    image = found[..., :1] if len(jpeg.planes) == 1 else to_rgb(found)
    image = UPRIGHT.get(jpeg.orientation, lambda v: v)(image)
    return np.ascontiguousarray((image / 255).clip(0, 1))
