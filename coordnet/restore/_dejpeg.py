"""JPEG files to pictures without blocks, ringing and washed-out colours."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from ._cleaner import Cleaner, Seen, cells, uncelled
from ._jpeg import project
from ._planes import reduced, spread
from ._tiles import tiled

SIDE = 128  # cells of a tile: 256 pixels


@partial(jax.jit, static_argnums=0)
def _said(graph: Any, weights: Any, shown: Any, told: Any, corner: Any) -> jax.Array:
    return nnx.merge(graph, weights)(shown, told, corner)


def cleaned(
    net: Cleaner,
    shown: Seen,
    *,
    strength: float = 1.0,
    keep_bins: bool = True,
    side: int = SIDE,
    done: Any = lambda count: None,
) -> Float[np.ndarray, "h w 3"]:
    """Return Y, Cb and Cr, 0 to 255, of a file that the network has seen.

    ``strength`` is the part of the network's change that is made. With ``keep_bins`` the result
    lies where the file's coefficients say the picture lay.
    """
    height, width = shown.planes.shape[:2]
    even = np.pad(shown.planes, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    graph, weights = nnx.split(net)
    told = jnp.asarray(shown.told[None])

    def apply(part: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
        found = _said(graph, weights, part, told, jnp.array([corner], jnp.int32))
        return np.asarray(found)

    said = tiled(apply, cells((even - 128) / 255), net.halo, side, done)
    found = 255 * uncelled(said)[:height, :width] + 128
    plain = shown.planes[..., :3]
    found = plain + np.float32(strength) * (found - plain)
    many = len(shown.bins)
    found[..., many:] = 128  # grey stays grey
    if keep_bins:
        for k, said_of in enumerate(shown.bins):
            small = reduced(found[..., k], shown.stored[k])
            found[..., k] += spread(project(small, said_of) - small, (height, width))
    return np.where(shown.flat[..., None], plain, found)
