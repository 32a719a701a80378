"""The network that gives back what JPEG took, and what it sees of a file."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from ._jpeg import BLOCK, Bins, Jpeg, bins, flat, unrounded
from ._planes import RGB_OF_YCC, checked, enlarged, spread
from ._trunk import Trunk, conv

PERIOD = 8  # cells of 2 x 2 pixels after which blocks of chroma repeat (of 4:2:0, 16 pixels)
_SEEN = 20  # numbers of a cell: 4 pixels of Y, Cb, Cr and of chroma guided by luma
_SAID = 12  # numbers of a cell that are given back: 4 pixels of Y, Cb, Cr
_ZONES = 8  # of a table of steps, from low to high frequencies
# Steps of luma, in the mean, below which less of a change is made: 12 is quality 90, 6 is 95.
# There a network errs as much as the file: Kodak at 95 gains 0.1 dB by all of it, 0.5 by half
_COARSE, _LEAST = 12.0, 0.5
TOLD = 2 * _ZONES + 3  # numbers that are told of a file
_USUAL = 0.01  # 2.5 levels of R, G and B: errors of so much count as they are


class Seen(NamedTuple):
    """What a network is shown of a file.

    Attributes:
        planes: Y, Cb, Cr and guided Cb, Cr at full size, 0 to 255, not yet rounded.
        told: Logarithms of the steps by zones of frequency, and how chroma is stored.
        bins: What the file says of each stored plane.
        stored: The size of each of them.
        flat: Where all blocks about a pixel are of one colour; planes are rounded there.
        shares: How much of a change is to be made: of luma, and of each chroma beyond what is
            stored of it.
    """

    planes: Float[np.ndarray, "h w 5"]
    told: Float[np.ndarray, " k"]
    bins: tuple[Bins, ...]
    stored: tuple[tuple[int, int], ...]
    flat: Bool[np.ndarray, "h w"]
    shares: tuple[float, ...]


def seen(jpeg: Jpeg, tables: tuple[Int[np.ndarray, "8 8"], ...] | None = None) -> Seen:
    """Make of a decoded file what a network is shown of it.

    ``tables`` are told in the place of the file's own: those by which it was saved before.
    """
    tables = tables or jpeg.tables
    said = tuple(bins(p, t) for p, t in zip(jpeg.planes, jpeg.tables, strict=True))
    luma, *chroma = (unrounded(p, s) for p, s in zip(jpeg.planes, said, strict=True))
    planes = np.full((*jpeg.size, 5), 128, np.float32)
    planes[..., 0] = luma
    shares = [float(np.clip(tables[0].mean() / _COARSE, _LEAST, 1))]
    for k, plane in enumerate(chroma):
        planes[..., 1 + k] = planes[..., 3 + k] = enlarged(plane, jpeg.size)
        served = 1.0
        if plane.shape != jpeg.size:
            planes[..., 3 + k], served = checked(luma, plane)
        shares.append(max(served, shares[0]))
    even = flat(jpeg.planes[0])
    for plane in jpeg.planes[1:]:
        even &= spread(flat(plane), jpeg.size)
    planes[even] = np.rint(planes[even].clip(0, 255))
    stored = tuple((p.shape[0], p.shape[1]) for p in jpeg.planes)
    told = told_of(jpeg._replace(tables=tables))
    return Seen(planes, told, said, stored, even, tuple(shares))


def told_of(jpeg: Jpeg) -> Float[np.ndarray, " k"]:
    """Return what a network is told of a file."""
    u, v = np.mgrid[:BLOCK, :BLOCK]
    zone = np.minimum((u + v) * _ZONES // (2 * BLOCK - 1), _ZONES - 1)
    found = np.zeros(TOLD, np.float32)
    for k, table in enumerate((jpeg.tables[0], jpeg.tables[-1])):
        logs = np.log2(table.astype(np.float32))
        found[k * _ZONES : (k + 1) * _ZONES] = [
            logs[zone == z].mean() / 4 - 1 for z in range(_ZONES)
        ]
    chroma = jpeg.planes[-1].shape
    found[-3:] = len(jpeg.planes) > 1, chroma[0] < jpeg.size[0], chroma[1] < jpeg.size[1]
    return found


def cells(planes: Float[np.ndarray, "*n h w c"]) -> Float[np.ndarray, "*n h2 w2 c4"]:
    """Lay 2 x 2 pixels into a cell; both sides are even.

    >>> cells(np.arange(4.0).reshape(2, 2, 1)).tolist()
    [[[0.0, 1.0, 2.0, 3.0]]]
    """
    *n, h, w, c = planes.shape
    split = planes.reshape(*n, h // 2, 2, w // 2, 2, c)
    return np.moveaxis(split, -4, -3).reshape(*n, h // 2, w // 2, 4 * c)


def uncelled(said: Float[np.ndarray, "*n h w c4"]) -> Float[np.ndarray, "*n h2 w2 c"]:
    """Lay the cells' pixels out again: the inverse of ``cells``."""
    *n, h, w, c = said.shape
    split = said.reshape(*n, h, w, 2, 2, c // 4)
    return np.moveaxis(split, -4, -3).reshape(*n, 2 * h, 2 * w, c // 4)


class Crops(NamedTuple):
    """A batch to learn from; cells are of 2 x 2 pixels.

    Attributes:
        shown: What the network sees.
        told: What it is told of each file.
        corner: Where each crop begins, in cells.
        truth: Clean Y, Cb and Cr of the cells within the halo, about their middle.
    """

    shown: Float[np.ndarray, "n h w 20"]
    told: Float[np.ndarray, "n k"]
    corner: Int[np.ndarray, "n 2"]
    truth: Float[np.ndarray, "n h2 w2 12"]


class Cleaner(nnx.Module):
    """A small residual network on cells of 2 x 2 pixels, told how coarse the file's steps are.

    To the decoded picture it adds a part of what luma says of chroma, and a difference. Without
    padding and without statistics of a batch: what it says of a pixel depends on the pixels
    within ``halo`` of it and on where in its block it lies, and on nothing else.

    Args:
        width: Features of a cell.
        blocks: Pairs of 3 x 3 convolutions.
        rngs: Of the first weights.

    >>> net = Cleaner(8, 1, rngs=nnx.Rngs(0))
    >>> shown = jnp.zeros((1, 12, 10, 20)), jnp.zeros((1, 19)), jnp.zeros((1, 2), int)
    >>> net.halo, net(*shown).shape
    (4, (1, 4, 2, 12))
    """

    def __init__(self, width: int = 32, blocks: int = 4, *, rngs: nnx.Rngs):
        self.trunk = Trunk(_SEEN, width, blocks, TOLD, rngs=rngs)
        self.last = conv(width, _SAID + 8, rngs, zero=True)
        self.place = nnx.Param(jnp.zeros((PERIOD, PERIOD, width)))
        self.halo = self.trunk.halo + 1  # cells that one is seen with, to each side

    def __call__(
        self,
        shown: Float[Array, "n h w 20"],
        told: Float[Array, "n k"],
        corner: Int[Array, "n 2"],
    ) -> Float[Array, "n h2 w2 12"]:
        """Return cells of cleaned Y, Cb, Cr, about their middle in whole ranges.

        Args:
            shown: Cells, 2 ``halo`` more than are returned along each axis.
            told: Of each file.
            corner: Row and column, in cells, at which each begins in its picture.
        """
        h, w = shown.shape[1] - 2, shown.shape[2] - 2
        rows = (corner[:, :1] + 1 + jnp.arange(h)) % PERIOD
        columns = (corner[:, 1:] + 1 + jnp.arange(w)) % PERIOD
        place = self.place[...][rows[:, :, None], columns[:, None]]
        said = self.last(self.trunk(shown, told, place))
        edge = self.halo
        own = shown[:, edge:-edge, edge:-edge].reshape(*said.shape[:3], 4, 5)
        gate = jax.nn.sigmoid(said[..., _SAID:].reshape(*said.shape[:3], 4, 2))
        chroma = own[..., 1:3] + gate * (own[..., 3:] - own[..., 1:3])
        base = jnp.concatenate([own[..., :1], chroma], -1)
        return base.reshape(*said.shape[:3], _SAID) + said[..., :_SAID]


def cost(net: Cleaner, batch: Crops) -> Float[Array, ""]:
    """Return the mean of the crops' errors: roots of the mean square of R, G and B.

    They are rounded off below a quarter of a level. Crops that JPEG hurt more count for less, by
    the root: decibels are of a file's own error.
    """
    shown, told, corner, truth = (jnp.asarray(part) for part in batch)
    edge = net.halo
    plain = shown[:, edge:-edge, edge:-edge].reshape(*truth.shape[:3], 4, 5)[..., :3]

    def error(found: Array) -> Float[Array, " n"]:
        off = found.reshape(plain.shape) - truth.reshape(plain.shape)
        return jnp.sqrt(jnp.square(off @ RGB_OF_YCC.T).mean((1, 2, 3, 4)) + 1e-6)

    before = jnp.maximum(error(plain), _USUAL / 5)
    return (error(net(shown, told, corner)) * jnp.sqrt(_USUAL / before)).mean()
