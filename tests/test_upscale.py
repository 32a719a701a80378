"""The network that enlarges, and what it stands on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from coordnet.restore._upscaler import TOLD, Pairs, Upscaler, cost, told_of


def test_a_fresh_network_adds_nothing():
    net = Upscaler(8, 1, rngs=nnx.Rngs(0))
    assert len(told_of(2, 1, 0)) == TOLD
    told = jnp.asarray(told_of(2, 1, 0))[None]
    small = jax.random.uniform(jax.random.key(0), (1, 12, 14, 3))
    assert not np.asarray(net(small, told)).any()
    base = np.full((1, 12, 16, 3), 0.5, np.float32)
    batch = Pairs(np.asarray(small), np.asarray(told), base, base + np.float32(0.1))
    assert float(cost(net, batch)) == pytest.approx(0.1, rel=1e-3)
