"""What the networks share: larger ones begin from smaller ones."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from coordnet.restore._cleaner import Cleaner
from coordnet.restore._trunk import widened
from coordnet.restore._upscaler import Upscaler


def random(net: Any, seed: int) -> Any:
    """Return a network all of whose weights say something."""
    graph, weights = nnx.split(net)
    keys = iter(jax.random.split(jax.random.key(seed), len(jax.tree.leaves(weights))))
    return nnx.merge(
        graph, jax.tree.map(lambda w: 0.2 * jax.random.normal(next(keys), w.shape), weights)
    )


@pytest.mark.parametrize(("width", "blocks"), [(9, 1), (9, 3)])
def test_a_larger_cleaner_computes_what_the_smaller_did(width, blocks):
    small = random(Cleaner(6, 1, rngs=nnx.Rngs(0)), 1)
    wide = widened(small, width, blocks, rngs=nnx.Rngs(2))
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
    wide.trunk.hear.bias[...] = wide.trunk.hear.bias[...] + 1  # which is its own
    np.testing.assert_array_equal(small(inner, told, corner + more), expected)
    slope = nnx.grad(lambda net: jnp.square(net(shown, told, corner)).mean())(wide)
    learnt = slope["last"]["kernel"][...][..., 6:, :]  # of what is new
    assert learnt.shape[2] == width - 6
    assert bool((learnt != 0).all())
    for k in range(3, 2 * blocks, 2):  # of pairs that are new
        assert bool((slope["trunk"]["inner"][k]["kernel"][...] != 0).any())


def test_a_larger_upscaler_computes_what_the_smaller_did():
    small = random(Upscaler(6, 1, rngs=nnx.Rngs(0)), 1)
    wide = widened(small, 9, 2, rngs=nnx.Rngs(2))
    rng = np.random.default_rng(0)
    shown = jnp.asarray(rng.normal(size=(2, 20, 18, 3)), jnp.float32)
    told = jnp.asarray(rng.normal(size=(2, 3)), jnp.float32)
    more = wide.halo - small.halo
    expected = small(shown[:, more:-more, more:-more], told)
    # float32: sums of up to 81 numbers, in another order
    np.testing.assert_allclose(wide(shown, told), expected, atol=1e-4)
    assert float(jnp.abs(expected).max()) > 1


@pytest.mark.parametrize(("width", "blocks"), [(5, 1), (6, 0)])
def test_a_smaller_network_is_refused(width, blocks):
    with pytest.raises(ValueError, match="at least the 6 and 1 of the network"):
        widened(Cleaner(6, 1, rngs=nnx.Rngs(0)), width, blocks, rngs=nnx.Rngs(2))
