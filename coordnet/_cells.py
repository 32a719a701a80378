"""Cells to points: what is written into the cells of a grid, evaluated anywhere between them."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


def cell_weights(
    cells: int, points: int, waves: int, *, blend: bool
) -> tuple[Int[np.ndarray, "p 2"], Float[np.ndarray, "p 2 k"]]:
    """Return which two cells an axis' points see, and the weight of each wave in each.

    Points lie as pixels of another size do: all of them span all cells. In a cell, wave k is
    cos(pi k (u + 1) / 2) at a distance u of -1 to 1 from its centre. Beyond the grid its last cells
    go on.

    >>> near, weights = cell_weights(2, 4, 1, blend=True)
    >>> near.tolist(), weights[:, :, 0].tolist()
    ([[0, 0], [0, 1], [0, 1], [1, 1]], [[0.25, 0.75], [0.75, 0.25], [0.25, 0.75], [0.75, 0.25]])
    """
    at = (np.arange(points) + 0.5) * cells / points - 0.5
    first = np.floor(at)
    near = np.stack([first, first + 1], 1)
    off = at[:, None] - near
    nearest = np.stack([off[:, 0] <= 0.5, off[:, 0] > 0.5], 1)
    share = 1 - np.abs(off) if blend else nearest
    waves_there = np.cos(np.pi * np.arange(waves) * (off[..., None] + 1) / 2)
    return np.clip(near, 0, cells - 1).astype(int), share[..., None] * waves_there


def decoded(
    coefficients: Float[Array, "n h w ky kx c"], size: tuple[int, int], *, blend: bool = True
) -> Float[Array, "n h2 w2 c"]:
    """Return what cells of coefficients come to on a lattice of ``size`` points.

    A point is the mean of what its four nearest cells say of it, by how near they are; without
    ``blend`` the nearest alone. Cosines are those of OPE-SR (Song et al. 2023), the blending is
    LIIF's (Chen et al. 2021); of both, a cell and an axis at a time, for points on a lattice.

    >>> ones = jnp.ones((1, 2, 3, 1, 1, 1))
    >>> decoded(ones, (5, 7)).shape, float(decoded(ones, (5, 7)).std().round(6))
    ((1, 5, 7, 1), 0.0)
    """
    _, height, width, rows, columns, _ = coefficients.shape
    near, weights = cell_weights(height, size[0], rows, blend=blend)
    found = jnp.einsum(
        "npawklc,pak->npwlc", coefficients[:, near], weights.astype(np.float32),
        precision=jax.lax.Precision.HIGHEST,
    )  # fmt: skip
    near, weights = cell_weights(width, size[1], columns, blend=blend)
    return jnp.einsum(
        "npqalc,qal->npqc", found[:, :, near], weights.astype(np.float32),
        precision=jax.lax.Precision.HIGHEST,
    )  # fmt: skip
