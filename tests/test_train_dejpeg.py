"""The script that trains what ships: networks that begin from smaller ones."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from coordnet.restore._cleaner import Cleaner

sys.path.append(str(Path(__file__).parent.parent / "tools"))

from train_dejpeg import widened


def random(net: Cleaner, seed: int) -> Cleaner:
    """Return a network all of whose weights say something."""
    graph, weights = nnx.split(net)
    keys = iter(jax.random.split(jax.random.key(seed), len(jax.tree.leaves(weights))))
    return nnx.merge(
        graph, jax.tree.map(lambda w: 0.2 * jax.random.normal(next(keys), w.shape), weights)
    )


@pytest.mark.parametrize(("width", "blocks"), [(9, 1), (9, 3)])
def test_a_larger_network_computes_what_the_smaller_did(width, blocks):
    small = random(Cleaner(6, 1, rngs=nnx.Rngs(0)), 1)
    wide = widened(small, width, blocks, nnx.Rngs(2))
    rng = np.random.default_rng(0)
    shown = jnp.asarray(rng.normal(size=(2, 26, 24, 20)), jnp.float32)
    told = jnp.asarray(rng.normal(size=(2, 19)), jnp.float32)
    corner = jnp.array([[0, 3], [7, 5]])
    more = wide.halo - small.halo
    inner = shown[:, more : 26 - more, more : 24 - more]
    expected = small(inner, told, corner + more)
    # float32: sums of up to 180 numbers, in another order
    np.testing.assert_allclose(wide(shown, told, corner), expected, atol=1e-4)
    assert float(jnp.abs(expected).max()) > 1
    slope = nnx.grad(lambda net: jnp.square(net(shown, told, corner)).mean())(wide)
    learnt = slope["last"]["kernel"][...][..., 6:, :]  # of what is new
    assert learnt.shape[2] == width - 6
    assert bool((learnt != 0).all())
    for k in range(3, 2 * blocks, 2):  # of pairs that are new
        assert bool((slope["trunk"]["inner"][k]["kernel"][...] != 0).any())
