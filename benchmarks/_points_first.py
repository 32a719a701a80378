"""The codec's cost as one would write it down: whole grids, points first, gradients by JAX.

The peer of ``codec.py``'s part a. The same function as ``coordnet.codec`` fits, of the same
networks, to a picture whose sides are whole cells; nothing in it minds caches or threads.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from coordnet.codec._entropy import PHASES, PLANES, seen
from coordnet.codec._latents import Pace
from coordnet.codec._pyramid import CHANNELS
from coordnet.codec._synthesis import MARGIN, SLOPE
from coordnet.codec._training import laplace_bits, noisy

Grids = Sequence[Array]  # (h, w, c), the finest first


def _doubled(v: Array, taps: Array, axis: int) -> Array:
    v = jnp.moveaxis(v, axis, 0)
    n = len(v) - 4
    near = [v[i : i + n] for i in range(5)]
    even = sum(taps[k] * near[k] for k in range(4))
    odd = sum(taps[3 - k] * near[k + 1] for k in range(4))
    out = jnp.stack([even, odd], 1).reshape(2 * n, *v.shape[1:])
    return jnp.moveaxis(out, 0, axis)


def _neighbours(v: Array) -> Array:
    """Return (h, w, 9 c) of (h + 2, w + 2, c), place by place."""
    h, w = v.shape[0] - 2, v.shape[1] - 2
    return jnp.concatenate([v[y : y + h, x : x + w] for y in range(3) for x in range(3)], -1)


def painted(p: Any, grids: Grids) -> Array:
    """Return (h, w, 3) of latents."""
    u = jnp.zeros(())
    for i in reversed(range(len(grids))):
        padded = jnp.pad(grids[i], ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
        mixed = padded @ p["own"][i].T
        if i + 1 < len(grids):
            u = _doubled(_doubled(u, p["taps"][i], 0), p["taps"][i], 1)
            mixed += u @ p["passed"][i].T
        u = mixed
    u = u[MARGIN - 1 : 1 - MARGIN, MARGIN - 1 : 1 - MARGIN]
    hidden = u @ p["hidden"].T + p["hidden_bias"]
    hidden = jnp.where(hidden > 0, hidden, hidden / SLOPE)
    out = hidden @ p["output"].T + u @ p["past"].T + p["output_bias"]
    return out[1:-1, 1:-1] + _neighbours(out) @ p["around"].T + p["around_bias"]


def bits(p: Any, grids: Grids) -> Array:
    """Return the bits of all latents."""
    total = jnp.sum(laplace_bits(grids[-1] - p["top_mean"], p["top_octave"]))
    column = sum(CHANNELS[: len(grids) - 1])
    for i in reversed(range(len(grids) - 1)):
        h, w, channels = grids[i].shape
        column -= channels
        places = [grids[i][a::2, b::2] for a, b in PHASES]  # (h / 2, w / 2, c) each
        far = jnp.zeros((h // 2, w // 2, channels))
        if i + 2 < len(grids):
            up = jnp.repeat(jnp.repeat(grids[i + 2], 2, 0), 2, 1)[: h // 2, : w // 2]
            far = up[..., np.minimum(np.arange(channels), up.shape[-1] - 1)]
        for c in range(channels):
            above = grids[i + 1][..., min(c, grids[i + 1].shape[-1] - 1)]
            planes = jnp.stack([above, *(v[..., c] for v in places[:3])], -1)
            near = _neighbours(jnp.pad(planes, ((1, 1), (1, 1), (0, 0))))
            near = near.reshape(h // 2, w // 2, 9, PLANES).swapaxes(2, 3)
            known = [far[..., c : c + 1]]
            for d in range(1, max(CHANNELS)):
                known.append(
                    jnp.stack([v[..., c - d] for v in places], -1)
                    if c >= d
                    else jnp.zeros((h // 2, w // 2, len(PHASES)))
                )
            known.append(near.reshape(h // 2, w // 2, -1))
            inputs = jnp.concatenate(known, -1).reshape(h * w // 4, -1)
            for k, values in enumerate(places):
                x = inputs * (np.arange(inputs.shape[1]) < seen(k))
                sizes = jnp.log2(1 + jnp.abs(x))
                hidden = sizes @ p["inner"][k, 0].T + (jnp.sign(x) * sizes) @ p["inner"][k, 1].T
                hidden = jax.nn.relu(hidden + p["inner_bias"][k, :, column + c])
                hidden = jax.nn.relu(hidden @ p["middle"][k].T + p["middle_bias"][k])
                mean = x @ p["mean"][k] + hidden @ p["mean_outer"][k]
                mean += p["mean_bias"][k, column + c]
                octave = sizes @ p["scale"][k] + hidden @ p["scale_outer"][k]
                octave += p["scale_bias"][k, column + c]
                total += jnp.sum(laplace_bits(values[..., c].ravel() - mean, octave))
    return total


def cost(p: Any, grids: Grids, image: Array, price: float) -> Array:
    """Return squared error and bits a pixel times their price."""
    error = jnp.mean(jnp.square(painted(p, grids) - image))
    return error + price * bits(p, grids) / (image.shape[0] * image.shape[1])


def stepping(params: Any, grids: Grids, image: Array, now: Pace) -> Callable[[], None]:
    """Return what makes a step of Adam on all latents and networks."""
    rule = optax.adam(now.rate)

    @jax.jit
    def step(both: Any, moments: Any, key: Array) -> Any:
        def noised(both: Any) -> Array:
            keys = jax.random.split(key, len(both[1]))
            found = zip(both[1], keys, strict=True)
            return cost(
                both[0], [noisy(v, k, now.warm, now.peaked) for v, k in found], image, now.price
            )

        moves, moments = rule.update(jax.grad(noised)(both), moments)
        return optax.apply_updates(both, moves), moments

    state = (params, list(grids))
    state = (state, rule.init(state))

    def go() -> None:
        nonlocal state
        state = jax.block_until_ready(step(*state, jax.random.key(0)))

    return go
