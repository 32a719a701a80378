"""Cells to points: what is written into the cells of a grid, evaluated anywhere between them."""

from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Axis(NamedTuple):
    """The two cells that each point of an axis sees, and the weight of each wave in each."""

    near: Int[np.ndarray, "p 2"]
    weights: Float[np.ndarray, "p 2 k"]


def axis_at(at: Float[np.ndarray, " p"], cells: int, waves: int, *, blend: bool = True) -> Axis:
    """Return what points see of a row of cells.

    In a cell, wave k is cos(pi k (u + 1) / 2) at a distance u of -1 to 1 from its centre. Beyond
    the row its last cells go on.

    Args:
        at: Where the points lie, in cells from the centre of the first.
        cells: Of the row.
        waves: Of a cell.
        blend: A point sees both cells by how near they are, and not the nearer alone.

    >>> near, weights = axis_at(np.array([-0.25, 0.25, 0.75]), 2, 1)
    >>> near.tolist(), weights[:, :, 0].tolist()
    ([[0, 0], [0, 1], [0, 1]], [[0.25, 0.75], [0.75, 0.25], [0.25, 0.75]])
    """
    first = np.floor(at)
    near = np.stack([first, first + 1], 1)
    off = at[:, None] - near
    nearest = np.stack([off[:, 0] <= 0.5, off[:, 0] > 0.5], 1)
    share = 1 - np.abs(off) if blend else nearest
    waves_there = np.cos(np.pi * np.arange(waves) * (off[..., None] + 1) / 2)
    weights = (share[..., None] * waves_there).astype(np.float32)
    return Axis(np.clip(near, 0, cells - 1).astype(np.int32), weights)


def lattice_at(cells: int, points: int) -> Float[np.ndarray, " p"]:
    """Return where points lie as pixels of another size do: all of them span all cells.

    >>> lattice_at(2, 4).tolist()
    [-0.25, 0.25, 0.75, 1.25]
    """
    return (np.arange(points) + 0.5) * cells / points - 0.5


def evaluated(
    coefficients: Float[Array, "h w ky kx c"], rows: Axis, columns: Axis
) -> Float[Array, "p q c"]:
    """Return what cells of coefficients come to on a lattice of points.

    Cosines are those of OPE-SR (Song et al. 2023), the blending of the four nearest cells is LIIF's
    (Chen et al. 2021); of both, a cell and an axis at a time, for points on a lattice.
    """
    # term by term, and not as a product of matrices, whose rounding is another at other sizes
    terms = [*np.ndindex(*rows.weights.shape[1:])]
    down = [
        coefficients[rows.near[:, a], :, k] * rows.weights[:, a, k, None, None, None]
        for a, k in terms
    ]
    found = reduce(jnp.add, down)
    terms = [*np.ndindex(*columns.weights.shape[1:])]
    across = [found[:, columns.near[:, a], k] * columns.weights[:, a, k, None] for a, k in terms]
    return reduce(jnp.add, across)


def decoded(
    coefficients: Float[Array, "n h w ky kx c"], size: tuple[int, int], *, blend: bool = True
) -> Float[Array, "n h2 w2 c"]:
    """Return what cells of coefficients come to as a picture of ``size`` pixels.

    >>> ones = jnp.ones((1, 2, 3, 1, 1, 1))
    >>> decoded(ones, (5, 7)).shape, float(decoded(ones, (5, 7)).std().round(6))
    ((1, 5, 7, 1), 0.0)
    """
    _, *cells, ky, kx, _ = coefficients.shape
    rows, columns = (
        axis_at(lattice_at(many, points), many, waves, blend=blend)
        for many, points, waves in zip(cells, size, (ky, kx), strict=True)
    )
    return jax.vmap(lambda one: evaluated(one, rows, columns))(coefficients)
