"""Muon for the hidden matrices, Adam for all else."""

from functools import lru_cache
from typing import Any

import jax
import optax

from .._calls import check_positive
from .._nets import tensor_name
from ._gradient import Gradient

# a weight is (out, in)
_OUT_IN = optax.contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=0)


def _kinds(params: Any) -> Any:
    """Return "hidden" for each matrix between hidden layers, "rest" for all else."""
    names = [tensor_name(path) for path, _ in jax.tree.leaves_with_path(params)]
    numbers = [n.split(".")[1] for n in names if n.startswith("layers.")]
    last = max((int(n) for n in numbers if n.isdecimal()), default=0)
    hidden = {f"layers.{i}.weight" for i in range(1, last)}
    return jax.tree.map_with_path(
        lambda path, _: "hidden" if tensor_name(path) in hidden else "rest", params
    )


def muon(rate: float = 0.02, *, adam_rate: float = 1e-3, average: float = 16.0) -> Gradient:
    """Return Muon for a CoordNet's matrices between hidden layers, Adam for all other weights.

    Muon moves a matrix by its orthogonalised momentum (Jordan et al., Muon, 2024; for
    coordinate networks: McGinnis et al., arXiv 2512.14366).

    Args:
        rate: Of the hidden matrices.
        adam_rate: Of all else.
        average: See :class:`Gradient`.

    Raises:
        ValueError: A rate is not above 0, or ``average`` below 0.

    >>> muon() is muon(0.02)
    True
    """
    check_positive(rate=rate, adam_rate=adam_rate)
    if average < 0:
        msg = f"average must be at least 0, got {average!r}"
        raise ValueError(msg)
    return _muon(rate, adam_rate, average)


@lru_cache(maxsize=64)
def _muon(rate: float, adam_rate: float, average: float) -> Gradient:
    hidden = optax.contrib.muon(
        rate, muon_weight_dimension_numbers=lambda tree: jax.tree.map(lambda _: _OUT_IN, tree)
    )
    rest = optax.adam(adam_rate, b2=0.99, eps=1e-15)
    return Gradient(optax.partition({"hidden": hidden, "rest": rest}, _kinds), average=average)
