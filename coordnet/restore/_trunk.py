"""The convolutions that all these networks share: residual, without padding, told of the file."""

from typing import Any, TypeVar

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

Net = TypeVar("Net", bound=nnx.Module)

_HEARD = 8  # units that what is told passes through


def conv(inputs: int, outputs: int, rngs: nnx.Rngs, *, zero: bool = False) -> nnx.Conv:
    """Return a 3 x 3 convolution without padding; ``zero``: it says nothing at first."""
    init = nnx.initializers.zeros if zero else nnx.initializers.lecun_normal()
    return nnx.Conv(inputs, outputs, (3, 3), padding="VALID", kernel_init=init, rngs=rngs)


class Trunk(nnx.Module):
    """Pairs of convolutions about which features are carried on, as in EDSR (Lim et al. 2017).

    What is told of a picture stretches and shifts the features of every layer (Perez et al., FiLM,
    2018). There are no statistics of a batch: a picture's features are its own.

    Args:
        inputs: Numbers of a cell.
        width: Features of a cell.
        blocks: Pairs of 3 x 3 convolutions.
        told: Numbers that are told of a picture.
        rngs: Of the first weights.

    >>> import jax.numpy as jnp
    >>> trunk = Trunk(3, 8, 2, 4, rngs=nnx.Rngs(0))
    >>> trunk.halo, trunk(jnp.zeros((1, 12, 11, 3)), jnp.zeros((1, 4))).shape
    (5, (1, 2, 1, 8))
    """

    def __init__(self, inputs: int, width: int, blocks: int, told: int, *, rngs: nnx.Rngs):
        self.blocks = blocks
        self.halo = 2 * blocks + 1  # cells that one is seen with, to each side
        self.first = conv(inputs, width, rngs)
        self.inner = nnx.List([conv(width, width, rngs) for _ in range(2 * blocks)])
        self.hear = nnx.Linear(told, _HEARD, rngs=rngs)
        zero = nnx.initializers.zeros
        self.turn = nnx.Linear(_HEARD, 2 * width * (2 * blocks + 1), kernel_init=zero, rngs=rngs)

    def __call__(
        self,
        shown: Float[Array, "n h w c"],
        told: Float[Array, "n k"],
        place: Float[Array, "n h1 w1 f"] | float = 0.0,
    ) -> Float[Array, "n h2 w2 f"]:
        """Return features of all cells but those of the halo; ``place`` is added to the first."""
        many = 2 * self.blocks + 1
        turns = self.turn(nnx.leaky_relu(self.hear(told), 0.1)).reshape(
            told.shape[0], many, 2, 1, 1, -1
        )

        def turned(x: Array, k: int) -> Array:
            return x * (1 + turns[:, k, 0]) + turns[:, k, 1]

        x = turned(self.first(shown) + place, 0)
        for k in range(self.blocks):
            y = nnx.leaky_relu(self.inner[2 * k](nnx.leaky_relu(x, 0.1)), 0.1)
            y = turned(y, 2 * k + 1)
            x = x[:, 2:-2, 2:-2] + turned(self.inner[2 * k + 1](y), 2 * k + 2)
        return nnx.leaky_relu(x, 0.1)


def widened(net: Net, width: int, blocks: int, *, rngs: nnx.Rngs) -> Net:
    """Return a larger network that computes what ``net`` does (after Net2Net, Chen et al. 2016).

    What is new hears of the old, and says nothing to it yet: there are zeros in the place of
    Net2Net's copies.

    Args:
        net: A ``Cleaner`` or an ``Upscaler``.
        width: Features of a cell, as many as it has or more.
        blocks: Pairs of convolutions, as many as it has or more.
        rngs: Of what is new.

    Raises:
        ValueError: The network is larger.
    """
    found: Any = net
    old, old_width = found.trunk, found.trunk.first.out_features
    if old.blocks > blocks or old_width > width:
        msg = (
            f"`width` and `blocks` must be at least the {old_width} and {old.blocks} of the "
            f"network that is begun from, got {width} and {blocks}"
        )
        raise ValueError(msg)
    make: Any = type(net)
    wide = make(width, blocks, rngs=rngs)
    new = wide.trunk
    layers = zip(
        [old.first, *old.inner, found.last],
        [new.first, *new.inner[: 2 * old.blocks], wide.last],
        strict=True,
    )
    for a, b in layers:
        i, o = a.in_features, a.out_features
        b.kernel[...] = b.kernel[...].at[..., i:, :o].set(0).at[..., :i, :o].set(a.kernel[...])
        b.bias[:o] = a.bias[...]
    for second in new.inner[2 * old.blocks + 1 :: 2]:  # pairs that are new add nothing
        second.kernel[...] = jnp.zeros_like(second.kernel[...])
    if hasattr(wide, "place"):
        wide.place[..., :old_width] = found.place[...]
    new.hear = nnx.clone(old.hear)
    for part, shape in (("kernel", (-1,)), ("bias", ())):
        a, b = (getattr(trunk.turn, part) for trunk in (old, new))
        turns = b[...].reshape(*shape, 2 * blocks + 1, 2, width)
        old_turns = a[...].reshape(*shape, 2 * old.blocks + 1, 2, old_width)
        turns = turns.at[..., : 2 * old.blocks + 1, :, :old_width].set(old_turns)
        b[...] = turns.reshape(b.shape)
    return wide
