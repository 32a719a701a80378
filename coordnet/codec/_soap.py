"""SOAP (Vyas et al. 2024): Adam in the axes in which a matrix's gradients are uncorrelated.

Shampoo's two sums of squared gradients, one for the rows of a weight matrix and one for its
columns, have eigenvectors; Adam's moments are kept in that basis. In NumPy: the networks of a
codec are some thousand weights, and jaxlib's batched factorizations can wait on one another
(docs/architecture.md).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_BETA = 0.95  # of all moments, as Cool-Chic 5 has it
_REFRESH = 10  # steps after which the axes are found anew
_SKIPPED = 20  # steps that only gather moments: axes of one gradient are none


class Moments(NamedTuple):
    """Of one tensor as a matrix (m, n): gradient, its square by axis, sums and their axes."""

    first: Float[np.ndarray, "m n"]
    second: Float[np.ndarray, "m n"]
    sums: tuple[np.ndarray, np.ndarray]
    axes: tuple[np.ndarray, np.ndarray]


class State(NamedTuple):
    """How many steps were made, and the moments of the tensors."""

    steps: int
    moments: list[Moments]


def init(tensors: Sequence[np.ndarray]) -> State:
    """Return the state before the first step."""
    found = []
    for v in tensors:
        m, n = _matrix(np.asarray(v)).shape
        sums = np.zeros((m, m)), np.zeros((n, n))
        found.append(Moments(np.zeros((m, n)), np.zeros((m, n)), sums, (np.eye(m), np.eye(n))))
    return State(0, found)


def moves(state: State, slopes: Sequence[np.ndarray]) -> tuple[State, list[np.ndarray]]:
    """Return the next state, and by how much each tensor should fall, about 1 a weight.

    >>> state, gradient = init([np.zeros((2, 3))]), np.ones((2, 3))
    >>> for _ in range(40):
    ...     state, (move,) = moves(state, [gradient])
    >>> print(move.round(2))
    [[0.41 0.41 0.41]
     [0.41 0.41 0.41]]
    """
    steps = state.steps + 1
    unbiased = 1 - _BETA**steps
    moments, out = [], []
    for old, slope in zip(state.moments, slopes, strict=True):
        new, move = _moved(old, _matrix(np.asarray(slope, np.float64)), steps)
        move = move / np.sqrt(unbiased) if steps > _SKIPPED else np.zeros_like(move)
        moments.append(new)
        out.append(move.reshape(np.shape(slope)).astype(np.float32))
    return State(steps, moments), out


def _moved(old: Moments, g: Float[np.ndarray, "m n"], steps: int) -> tuple[Moments, np.ndarray]:
    rows, columns = old.axes
    first = old.first + (1 - _BETA) * (g - old.first)
    left, right = old.sums
    if len(g) > 1:  # a vector keeps its own axes: plain Adam
        left = left + (1 - _BETA) * (g @ g.T - left)
        right = right + (1 - _BETA) * (g.T @ g - right)
        if steps == 1:
            rows, columns = (np.linalg.eigh(v)[1][:, ::-1] for v in (left, right))
        elif steps % _REFRESH == 0:  # a power iteration, the largest first
            rows, columns = np.linalg.qr(left @ rows)[0], np.linalg.qr(right @ columns)[0]
    second = old.second + (1 - _BETA) * (np.square(rows.T @ g @ columns) - old.second)
    move = (rows.T @ first @ columns) / (np.sqrt(second) + 1e-12)
    return Moments(first, second, (left, right), (rows, columns)), rows @ move @ columns.T


def _matrix(v: np.ndarray) -> Float[np.ndarray, "m n"]:
    """Return a tensor as a matrix, of a vector with one row."""
    return v.reshape(-1, v.shape[-1])
