"""Pictures from networks that nobody trained, one of the field's oldest pleasures."""

import jax
import jax.numpy as jnp
import numpy as np

from ._nets import CoordNet, Spec


def random_art(
    seed: int,
    *,
    width: int = 24,
    depth: int = 6,
    activation: str = "tanh",
    contrast: float = 2.0,
    size: tuple[int, int] = (512, 512),
) -> CoordNet:
    """Return a network of random weights whose picture is worth a look.

    The tradition of compositional pattern-producing networks (Stanley 2007): many narrow
    layers of wide weights fold the plane into curves. Draw it at any size with ``render``;
    the same seed gives the same picture at every resolution.

    Args:
        seed: Which picture.
        width: Units of each hidden layer.
        depth: Hidden layers; more fold the plane more often.
        activation: Any of ``coordnet.ACTIVATIONS``, as a name or a call.
        contrast: Deviation of the hidden layers' weights, in units of 1/sqrt(fan_in); around 1
            the picture is smooth, above 3 it is noise.
        size: The native (height, width).

    Raises:
        ValueError: A number is out of range, or the activation is unknown.

    >>> from coordnet import render
    >>> render(random_art(7), (4, 6)).shape
    (4, 6, 3)
    """
    if not (contrast > 0 and np.isfinite(contrast)):
        msg = f"`contrast` must be above 0, got {contrast!r}"
        raise ValueError(msg)
    spec = Spec(width=width, depth=depth, activation=activation, output="sigmoid", size=size)
    net = CoordNet(spec, seed=seed)
    for i, (layer, key) in enumerate(
        zip(net.layers, jax.random.split(jax.random.key(seed), depth + 1), strict=True)
    ):
        fan_out, fan_in = layer.weight.shape
        # the first layer sees two coordinates of about 1: wider weights give it more to fold,
        # and biases as wide keep the folds from all meeting in the middle
        reach = 3.0 * contrast if i == 0 else contrast
        kw, kb = jax.random.split(key)
        layer.weight[...] = jax.random.normal(kw, (fan_out, fan_in)) * reach / jnp.sqrt(fan_in)
        layer.bias[...] = jax.random.normal(kb, (fan_out,)) * (0.7 * reach if i == 0 else 0.3)
    # three channels that share most of their weights are light and shade with tints of colour;
    # of weights all their own, they would be saturated red, green and blue
    last = net.layers[-1].weight
    own = last[...] / contrast
    shared = own.sum(axis=0, keepdims=True) / 3**0.5
    last[...] = 2.0 * shared + 1.4 * own
    return net
