"""The convolutions that `tools/train_dejpeg.py --torch` trains by."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from coordnet.restore._cleaner import Cleaner, cost
from coordnet.restore._degrade import crops
from coordnet.restore._learn import learn
from coordnet.restore._stream import Folder
from coordnet.restore._trunk import conv

pytest.importorskip("torch")
sys.path.append(str(Path(__file__).parent.parent / "tools"))

from _torch_convolutions import by_torch


def test_it_is_what_xla_computes():
    rng = np.random.default_rng(0)
    layer = conv(6, 6, nnx.Rngs(0))
    x = jnp.asarray(rng.normal(size=(3, 9, 8, 6)), jnp.float32)
    weights = jnp.asarray(rng.normal(size=(3, 7, 6, 6)), jnp.float32)

    def found(layer):
        def total(layer, x):
            return (layer(x) * weights).sum()

        said = jax.jit(layer)(x)
        return [said, *jax.tree.leaves(nnx.grad(total, argnums=(0, 1))(layer, x))]

    for a, b in zip(found(by_torch(layer)), found(layer), strict=True):
        # bfloat16 rounds to one in 256, three times; sums of 54 to 126 of them
        assert float(jnp.abs(a - b).max()) < 0.02 * float(jnp.abs(b).max())
    assert layer.conv_general_dilated is jax.lax.conv_general_dilated  # what was given is left


def test_other_convolutions_are_refused():
    layer = by_torch(nnx.Conv(2, 2, (3, 3), rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="without padding"):
        layer(jnp.zeros((1, 4, 4, 2)))


def test_a_network_learns_by_them(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    pictures = Folder(tmp_path)

    def losses(**options):
        seen = []
        net = learn(
            Cleaner(4, 1, rngs=nnx.Rngs(0)),
            lambda k: crops(k, folder=pictures, seed=0, halo=4, side=16, many=4),
            cost, steps=3, watch=lambda net, step, loss: seen.append(loss), every=0, **options,
        )  # fmt: skip
        return net, seen

    (net, ours), (_, plain) = losses(computing=by_torch), losses()
    assert ours != plain
    np.testing.assert_allclose(ours, plain, rtol=0.02)  # bfloat16 holds two to three digits
    inner = net.trunk.inner[0]  # but what is returned computes as it did
    assert inner.conv_general_dilated is jax.lax.conv_general_dilated
