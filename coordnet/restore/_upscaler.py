"""The network that enlarges: into pixels it writes cosines, which are evaluated anywhere."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from .._cells import Axis, evaluated
from ._trunk import Trunk

WAVES = 5  # cosines of a cell along each axis
TOLD = 3  # numbers that are told of a picture: see ``told_of``
MOST_SCALE = 4.0  # that is learnt; beyond, cells say what they say at this one
MOST_DETAIL = 4.0


def told_of(scale: float, detail: float, damage: float) -> Float[np.ndarray, " k"]:
    """Return what the network is told: all from 0 to 1.

    Args:
        scale: How many times larger the result is.
        detail: How many pixels of a scan one of the result stands for: which structures are lost,
            the strokes on an arm, or the arm.
        damage: Of the picture: 0 none, 1 as by JPEG of quality 10.

    >>> told_of(4, 1, 0).tolist()
    [1.0, 0.0, 0.0]
    """
    logs = [np.log2(min(v, most)) / 2 for v, most in ((scale, MOST_SCALE), (detail, MOST_DETAIL))]
    return np.array([*logs, damage], np.float32)


class Pairs(NamedTuple):
    """A batch to learn from.

    Attributes:
        small: Pictures, with the halo that they are seen with.
        told: Of each of them.
        rows: Where the points to learn from lie, in the cells within the halo.
        columns: The same across.
        base: The points of the picture enlarged by a cubic.
        truth: What they were.
    """

    small: Float[np.ndarray, "n h w c"]
    told: Float[np.ndarray, "n k"]
    rows: Axis
    columns: Axis
    base: Float[np.ndarray, "n p q c"]
    truth: Float[np.ndarray, "n p q c"]


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

    def __init__(self, width: int = 32, blocks: int = 4, *, rngs: nnx.Rngs):
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
    """Return the mean of the pictures' errors, roots of the mean square.

    They are rounded off below a quarter of a level.
    """
    small, told, rows, columns, base, truth = jax.tree.map(jnp.asarray, batch)
    off = base + jax.vmap(evaluated)(net(small, told), rows, columns) - truth
    return jnp.sqrt(jnp.square(off).mean((1, 2, 3)) + 1e-6).mean()
