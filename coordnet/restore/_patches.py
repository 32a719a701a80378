"""The first of these networks: an MLP on overlapping blocks, as UnJPEG trained it in 2016."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

CELL = 8  # pixels of a side: JPEG's blocks
#: Middle and spread of the original's samples in [0, 1]: what it took from each and divided by.
MIDDLE, SPREAD = 0.58, 0.38


def scaled_tanh(x: Array) -> Array:
    """1.7159 tanh(2x/3), of which the variance of 1 stays about 1 (LeCun et al. 1998)."""
    return 1.7159 * jnp.tanh(2 / 3 * x)


def _on_cells(planes: Float[Array, "n h w c"]) -> Float[Array, "n h8 w8 k"]:
    n, h, w, c = planes.shape
    split = planes.reshape(n, h // CELL, CELL, w // CELL, CELL, c)
    return split.transpose(0, 1, 3, 2, 4, 5).reshape(n, h // CELL, w // CELL, -1)


def _off_cells(cells: Float[Array, "n h w k"]) -> Float[Array, "n h8 w8 c"]:
    n, h, w, c = cells.shape
    split = cells.reshape(n, h, w, CELL, CELL, c // CELL**2)
    return split.transpose(0, 1, 3, 2, 4, 5).reshape(n, h * CELL, w * CELL, -1)


def _bias(layer: nnx.Linear) -> Array:
    assert layer.bias is not None
    return layer.bias[...]


class PatchMLP(nnx.Module):
    """A dense network from blocks to blocks of the same place; where blocks overlap, their mean.

    UnJPEG (Chinery 2016), after Burger, Schuler and Harmeling (2012). Written as convolutions on
    cells of 8 x 8 pixels: the first layer sees 3 x 3 cells, the last says as many, and what is said
    of a cell is added up where it lies, so that no block is ever copied.

    Args:
        block: Pixels of a side, of 8 times an odd number.
        hidden: Units of each layer. The original's last had ``(6912,) * 3``, its best ``(8000,) *
            4``: 119,461,824 and 219,681,728 weights.
        channels: 3 for Y, Cb and Cr; 1 for luma.
        residual: Add the input; the original had to learn it.
        activation: Of all layers, the last included; of a residual network the last has none.
        rngs: Of the first weights, uniform within 1 / sqrt(inputs).

    >>> net = nnx.eval_shape(lambda: PatchMLP(hidden=(6912,) * 3, rngs=nnx.Rngs(0)))
    >>> sum(leaf.size for leaf in jax.tree.leaves(nnx.state(net, nnx.Param)))
    119461824
    """

    def __init__(
        self,
        block: int = 24,
        hidden: Sequence[int] = (8000,) * 4,
        channels: int = 3,
        *,
        residual: bool = False,
        activation: Callable[[Array], Array] = scaled_tanh,
        rngs: nnx.Rngs,
    ):
        self.span, odd = block // CELL, block // CELL % 2
        if block % CELL or not odd:
            msg = f"`block` must be 8 times an odd number, such as 24, got {block}"
            raise ValueError(msg)
        if not hidden:
            msg = "`hidden` must name the units of at least one layer, got none"
            raise ValueError(msg)
        self.residual, self.activation = residual, activation
        widths = [block**2 * channels, *hidden, block**2 * channels]

        def uniform(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
            edge = shape[0] ** -0.5
            return jax.random.uniform(key, shape, dtype, -edge, edge)

        self.layers = nnx.List(
            nnx.Linear(a, b, kernel_init=uniform, rngs=rngs) for a, b in pairwise(widths)
        )

    def __call__(self, planes: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Clean planes, less ``MIDDLE`` and over ``SPREAD``, whose sides are of whole cells.

        Cells within a block of the border are seen by fewer blocks, and are the means of fewer.
        """
        cells = _on_cells(planes)
        hidden = self._hidden(cells)
        total, count = jnp.zeros_like(cells), np.zeros(cells.shape[1:3])
        h, w = hidden.shape[1:3]
        for i, j in np.ndindex(self.span, self.span):
            total = total.at[:, i : i + h, j : j + w].add(self._said(hidden, i, j, cells))
            count[i : i + h, j : j + w] += 1
        return _off_cells(total / count[..., None].astype(np.float32))

    def blocks(self, blocks: Float[Array, "n b b c"]) -> Float[Array, "n b b c"]:
        """Clean single blocks: what training sees."""
        cells = _on_cells(blocks)
        hidden = self._hidden(cells)
        rows = [
            jnp.concatenate([self._said(hidden, i, j, cells) for j in range(self.span)], 2)
            for i in range(self.span)
        ]
        return _off_cells(jnp.concatenate(rows, 1))

    def _hidden(self, cells: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 k"]:
        first, *inner = self.layers[:-1]
        kernel = first.kernel[...].reshape(self.span, self.span, cells.shape[-1], -1)
        x = jax.lax.conv_general_dilated(
            cells, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = self.activation(x + _bias(first))
        for layer in inner:
            x = self.activation(layer(x))
        return x

    def _said(self, hidden: Array, i: int, j: int, cells: Array) -> Array:
        """Return what blocks say of the cell in their row ``i`` and column ``j``."""
        last, own = self.layers[-1], cells.shape[-1]
        part = slice((i * self.span + j) * own, (i * self.span + j + 1) * own)
        said = hidden @ last.kernel[...][:, part] + _bias(last)[part]
        if not self.residual:
            return self.activation(said)
        h, w = hidden.shape[1:3]
        return said + cells[:, i : i + h, j : j + w]
