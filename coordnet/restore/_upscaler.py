"""The network that enlarges: into pixels it writes cosines, which are evaluated anywhere."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from .._cells import decoded
from ._trunk import Trunk

WAVES = 5  # cosines of a cell along each axis
TOLD = 3  # numbers that are told of a picture: see ``told_of``


def told_of(scale: float, source: float, noise: float) -> Float[np.ndarray, " k"]:
    """Return what the network is told: all about 0 to 1.

    Args:
        scale: How many times larger the result is.
        source: How many pixels of the original one of the picture is, ``detail``: of what kind the
            structures are that are lost in it, an arm or the strokes on it.
        noise: How damaged the picture is: 0 clean, 1 by JPEG of quality 10.
    """
    return np.array([np.log2(scale) / 3, np.log2(source) / 3, noise], np.float32)


class Pairs(NamedTuple):
    """A batch to learn from.

    Attributes:
        small: Pictures, with the halo that they are seen with.
        told: Of each of them.
        base: Their inner parts, enlarged.
        truth: What they were.
    """

    small: Float[np.ndarray, "n h w c"]
    told: Float[np.ndarray, "n k"]
    base: Float[np.ndarray, "n h2 w2 c"]
    truth: Float[np.ndarray, "n h2 w2 c"]


class Upscaler(nnx.Module):
    """An encoder without padding, whose last layer says the coefficients of each pixel's cell.

    Args:
        width: Features of a pixel.
        blocks: Pairs of 3 x 3 convolutions.
        rngs: Of the first weights.

    >>> net = Upscaler(8, 1, rngs=nnx.Rngs(0))
    >>> net.halo, net(jnp.zeros((1, 12, 10, 3)), jnp.zeros((1, 3))).shape
    (3, (1, 6, 4, 5, 5, 3))
    """

    def __init__(self, width: int = 32, blocks: int = 3, *, rngs: nnx.Rngs):
        self.trunk = Trunk(3, width, blocks, TOLD, rngs=rngs)
        zero = nnx.initializers.zeros
        self.last = nnx.Linear(width, WAVES**2 * 3, kernel_init=zero, rngs=rngs)
        self.halo = self.trunk.halo

    def __call__(
        self, small: Float[Array, "n h w 3"], told: Float[Array, "n k"]
    ) -> Float[Array, "n h2 w2 5 5 3"]:
        """Return the coefficients of all pixels but those of the halo."""
        said = self.last(self.trunk(small - 0.5, told))
        return said.reshape(*said.shape[:3], WAVES, WAVES, 3)


def cost(net: Upscaler, batch: Pairs) -> Float[Array, ""]:
    """Return the mean absolute error, rounded off below a quarter of a level."""
    small, told, base, truth = (jnp.asarray(part) for part in batch)
    size = truth.shape[1], truth.shape[2]
    off = base + decoded(net(small, told), size) - truth
    return jnp.sqrt(jnp.square(off) + 1e-6).mean()
