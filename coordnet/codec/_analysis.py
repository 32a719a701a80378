"""The first guess of a picture's latents: a pyramid of differences, and a small network's word."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._models import INPUTS
from ._pyramid import CELL, CHANNELS, FEATURES, HIDDEN, LEVELS, UNITS
from ._synthesis import MARGIN, interleaved
from ._training import activated, fence, patches

#: RGB to lightness, green and orange (YCgCo).
COLOURS = np.array([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0.0, -0.5]])
#: Weights of Keys' cubic (a = -0.6) at 1.75, 0.75, 0.25 and 1.25 nodes, with a sum of 1.
CUBIC = np.array([-0.028125, 0.240625, 0.871875, -0.084375])

_TILE = 256  # pixels along a side that are analysed at once, with a cell about them

BREADTH = 16  # units of the analysis network at every level


def unit(level: int, step: Any) -> Any:
    """Return how much a rounding step of a level's latents is, at first, in sample values.

    A node of a coarse level paints 4 ** level pixels, so an error of its there is as dear as
    one of half the size a level below; but finer levels mend some of it.
    """
    return step / 1.7**level


def _halved(v: Any) -> Any:
    c, h, w = v.shape
    return v.reshape(c, h // 2, 2, w // 2, 2).mean((2, 4))


def differences(
    image: Float[np.ndarray, "3 h w"], finest: int, step: float
) -> list[Float[np.ndarray, "_ _ _"]]:
    """Return what each level of a pyramid adds to the ones above, in rounding steps.

    Args:
        image: Pixels in [0, 1], of sides that are whole cells.
        finest: The first level that has a grid.
        step: What a rounding step is at level 0; see :func:`unit`.
    """
    colours = COLOURS.astype(np.float32) @ (image - 0.5).reshape(3, -1)
    levels = [colours.reshape(image.shape)]
    for _ in range(1, LEVELS):
        levels.append(_halved(levels[-1]))
    out = []
    for i in range(finest, LEVELS):
        found = levels[i]
        if i + 1 < LEVELS:
            margin = (MARGIN, MARGIN)
            above = np.pad(levels[i + 1], ((0, 0), margin, margin), mode="edge")
            for axis in (1, 2):
                above = interleaved(above, CUBIC.astype(np.float32), axis)
            guess = above[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
            guess[CHANNELS[i + 1] :] = 0
            found = found - guess
        out.append(found[: CHANNELS[i]] / np.float32(unit(i, step)))
    return out


def words(
    p: dict[str, Any], image: Float[Array, "3 h w"], finest: int, step: Any
) -> list[Float[Array, "_ _ _"]]:
    """Return what the analysis network adds to the differences of each level, in rounding steps.

    Args:
        p: ``inner`` (BREADTH, 9 * (3, or BREADTH + 3)) and ``inner_bias`` of every level, ``outer``
            (channels, BREADTH + 3) of every level.
        image: Pixels in [0, 1], of sides that are whole cells.
        finest: The first level that has a grid.
        step: What a rounding step is at level 0; see :func:`unit`.
    """
    small = x = image - 0.5
    out = []
    for i in range(LEVELS):
        if i:
            small = _halved(small)
            x = fence(jnp.concatenate([_halved(x), small]))
        c, h, w = x.shape
        near = patches(fence(jnp.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge")))
        sums = fence(p["inner"][i] @ near.reshape(9 * c, -1)) + p["inner_bias"][i][:, None]
        x = fence(activated(sums)).reshape(-1, h, w)
        if i >= finest:
            seen = fence(jnp.concatenate([x, small])).reshape(-1, h * w)
            out.append(fence(p["outer"][i] @ seen).reshape(-1, h, w) / unit(i, step))
    return out


def untrained(seed: int, finest: int, step: float) -> dict[str, Any]:
    """Return networks that paint a pyramid of differences as it is."""
    rng = np.random.default_rng(seed)
    columns = sum(CHANNELS[finest:-1])  # grids' channels that go through the entropy network

    def some(*shape: int, scale: float) -> np.ndarray:
        return rng.normal(scale=scale, size=shape).astype(np.float32)

    own = []
    for i in range(finest, LEVELS):
        weights = some(FEATURES, CHANNELS[i], scale=0.1)
        weights[:3] = np.eye(3)[:, : CHANNELS[i]]
        own.append(weights * np.float32(unit(i, step)))
    past = np.zeros((3, FEATURES), np.float32)
    past[:, :3] = np.linalg.inv(COLOURS)
    zeros = np.zeros
    return {
        "own": own,
        "passed": [np.eye(FEATURES, dtype=np.float32) for _ in own[:-1]],
        "taps": np.tile(CUBIC.astype(np.float32), (LEVELS - 1, 1)),
        "hidden": some(HIDDEN, FEATURES, scale=0.3),
        "hidden_bias": zeros(HIDDEN, np.float32),
        "output": some(3, HIDDEN, scale=0.02),
        "output_bias": np.full(3, 0.5, np.float32),
        "past": past,
        "around": zeros((3, 27), np.float32),
        "around_bias": zeros(3, np.float32),
        "inner": some(4, 2, UNITS, INPUTS, scale=(2 * INPUTS) ** -0.5),
        "inner_bias": some(4, UNITS, columns, scale=0.1),
        "middle": some(4, UNITS, UNITS, scale=(2 / UNITS) ** 0.5),
        "middle_bias": zeros((4, UNITS), np.float32),
        "mean": zeros((4, INPUTS), np.float32),
        "mean_bias": zeros((4, columns), np.float32),
        "mean_outer": zeros((4, UNITS), np.float32),
        "scale": zeros((4, INPUTS), np.float32),
        "scale_bias": np.full((4, columns), -1, np.float32),
        "scale_outer": some(4, UNITS, scale=0.05),
        "top_mean": zeros(CHANNELS[-1], np.float32),
        "top_octave": np.full(CHANNELS[-1], 2, np.float32),
    }


def margined(grids: Sequence[Float[Array, "_ _ _"]]) -> list[Float[Array, "_ _ _"]]:
    """Return grids with room for a margin."""
    margin = (MARGIN, MARGIN)
    return [jnp.pad(g, ((0, 0), margin, margin)) for g in grids]


_words = jax.jit(words, static_argnames="finest")


def guess(
    p: dict[str, Any], image: Float[np.ndarray, "3 h w"], finest: int, step: float
) -> list[Float[np.ndarray, "_ _ _"]]:
    """Return the latents that a fit begins with; see :func:`words`."""
    out = differences(image, finest, step)
    _, height, width = image.shape
    right, below = (-n % _TILE + CELL for n in (width, height))
    wide = np.pad(image, ((0, 0), (CELL, below), (CELL, right)), mode="edge")
    side = _TILE + 2 * CELL
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            seen = wide[:, top : top + side, left : left + side]
            for i, found in enumerate(_words(p, seen, finest, step), finest):
                part = out[i - finest][:, top >> i :, left >> i :]
                edge, n = CELL >> i, _TILE >> i
                rows, columns = (min(n, length) for length in part.shape[1:])
                inner = np.asarray(found)[:, edge : edge + rows, edge : edge + columns]
                part[:, :rows, :columns] += inner
    return out
