"""Train the networks that the codec starts from, on a folder of pictures.

    python tools/train_codec.py FOLDER WORK

At the middle one of the codec's prices an analysis network learns, with the others, to guess the
latents of windows; then the latents of a part of every picture are fitted, as a user's will be, and
the networks with them. For every other price latents and networks of its neighbour are fitted
further. WORK keeps what each stage has made, so that a run that was stopped goes on; the last stage
writes ``models.npz`` and ``analysis-small.npz`` there; they ship in ``coordnet/codec``, the second
as ``analysis.npz``. Half an hour on two cores.
"""

import argparse
import os
import pickle
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

# NumPy's threads would wait on the cores that XLA's need: twice as slow
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np
import optax

from coordnet import read_image
from coordnet.codec import _analysis, _grids, _latents, _models
from coordnet.codec._pyramid import CHANNELS, LEVELS
from coordnet.codec._training import noisy, window_cost

SIDE = 256  # pixels of the analysis network's windows
ANALYSIS_STEPS = 3000
FIRST_STEPS = 80_000  # on windows, at the first price: 170 passes over each part
OTHER_STEPS = 20_000  # at every other
AGAIN = 0.4  # of a fit is done where the latents of a neighbour begin
RATE = 0.01  # of the networks; see ``_latents.Pace``


def fresh_analysis(seed: int) -> dict[str, Any]:
    """Return an analysis network whose word is nothing yet."""
    rng = np.random.default_rng(seed)
    units = _analysis.BREADTH
    widths = [3] + [units + 3] * (LEVELS - 1)
    return {
        "inner": [
            rng.normal(scale=(2 / (9 * c)) ** 0.5, size=(units, 9 * c)).astype(np.float32)
            for c in widths
        ],
        "inner_bias": [np.zeros(units, np.float32) for _ in widths],
        "outer": [np.zeros((c, units + 3), np.float32) for c in CHANNELS],
    }


def analysis_stage(
    images: Sequence[np.ndarray],
    nets: Any,
    analysis: Any,
    price: float,
    steps: int,
    *,
    alone: bool = False,
    seed: int = 0,
) -> Any:
    """Return networks, and the analysis network, that learnt on windows to code them at once.

    ``alone``: the networks stay as they are.
    """
    rate, step = 3e-3, _models.rounding_step(price)
    rule = optax.chain(optax.clip_by_global_norm(0.3), optax.scale_by_adam())
    place, size = jnp.zeros(2, jnp.int32), jnp.array([SIDE, SIDE])

    def cost(both: Any, pixels: Any, guesses: Any, key: Any, warm: Any) -> jax.Array:
        words = _analysis.words(both[1], pixels, 0, step)
        latents = _analysis.margined([g + w for g, w in zip(guesses, words, strict=True)])
        keys = jax.random.split(key, len(latents))
        rounded = [noisy(g, k, warm, 1.5) for g, k in zip(latents, keys, strict=True)]
        errors, bits, shown = window_cost(both[0], rounded, place, size, pixels)
        return (errors + price * bits.sum()) / shown

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(both: Any, moments: Any, pixels: Any, guesses: Any, at: Any) -> Any:
        key = jax.random.fold_in(jax.random.key(seed), at)
        value, slopes = jax.value_and_grad(cost)(both, pixels, guesses, key, 0.5 - 0.3 * at / steps)
        moves, moments = rule.update(slopes, moments)
        now = rate * jnp.minimum(1, at / 200) * 0.5 * (1 + jnp.cos(jnp.pi * at / steps))
        moved = jax.tree.map(lambda p, m: p - now * m, both, moves)
        return (both[0] if alone else moved[0], moved[1]), moments, value

    both = jax.tree.map(jnp.array, (nets, analysis))
    moments, rng, mean = rule.init(both), np.random.default_rng(seed), 0.0
    begun = time.perf_counter()
    for at in range(steps):
        image = images[int(rng.integers(len(images)))]
        top, left = (rng.integers(n - SIDE + 1) for n in image.shape[1:])
        pixels = image[:, top : top + SIDE, left : left + SIDE]
        pixels = pixels[:, :, :: rng.choice([-1, 1])]
        guesses = _analysis.differences(pixels, 0, step)
        both, moments, value = update(both, moments, pixels, guesses, at)
        mean += (float(value) - mean) / min(at + 1, 300)
        if (at + 1) % 500 == 0:
            seconds = time.perf_counter() - begun
            print(f"analysis {at + 1} {seconds:.0f} s {1e3 * mean:.4f}", flush=True)
    return jax.tree.map(np.asarray, both)


def begun(images: Sequence[np.ndarray], analysis: Any, price: float) -> list[_grids.Grids]:
    """Return latents of a part of every picture, as they are guessed."""
    rng, out = np.random.default_rng(0), []
    for image in images:
        top, left = (rng.integers(n - SIDE + 1) for n in image.shape[1:])
        one = _grids.Grids(image[:, top : top + SIDE, left : left + SIDE], 0)
        one.fill(_analysis.guess(analysis, one.image, 0, _models.rounding_step(price)))
        out.append(one)
    return out


def rescaled(parts: Sequence[_grids.Grids], factor: float, finest: int) -> list[_grids.Grids]:
    """Return latents whose rounding steps are ``factor`` times as large."""
    out = []
    for part in parts:
        one = _grids.Grids(part.image, finest)
        for values, old in zip(one.values, part.values[finest - part.finest :], strict=True):
            values[:] = old / np.float32(factor)
        out.append(one)
    return out


def latent_stage(
    parts: Sequence[_grids.Grids], nets: Any, price: float, steps: int, done: float, seed: int = 0
) -> Any:
    """Return networks that learnt while the latents of all parts were fitted, in place.

    Args:
        parts: Of pictures.
        nets: The networks.
        price: Squared error that a bit may cost.
        steps: Windows to look at.
        done: How much of a fit the latents have behind them.
        seed: Of noise and order.
    """
    rng = np.random.default_rng(seed)
    state = _latents.nets(jax.tree.map(jnp.asarray, nets), tuned=nets, free=True)
    _latents.compiled(state, parts[0])
    key, start, at = jax.random.key(seed), time.perf_counter(), 0
    while at < steps:
        was, one = at, parts[int(rng.integers(len(parts)))]
        now = _latents.pace(done + (1 - done) * at / steps, price, nets=RATE)
        noise = jax.random.fold_in(key, at)
        state = _latents.make_pass(state, one, now, noise, rng)
        at += len(one.places())
        if at // (steps // 8) > was // (steps // 8):
            found = [_latents.cost(state.params, part) for part in parts[::4]]
            mse = np.mean([e for e, _ in found])
            psnr = np.mean([-10 * np.log10(e) for e, _ in found])
            bpp = np.mean([b.sum() for _, b in found])
            print(
                f"price {price:g}: {at} steps {time.perf_counter() - start:.0f} s {psnr:.2f} dB "
                f"{bpp:.4f} bpp {1e3 * (mse + price * bpp):.4f}",
                flush=True,
            )
    return jax.tree.map(np.asarray, state.params)


def _keep(path: Path, nets: Any) -> None:
    flat: dict[str, Any] = _models.flattened(nets)
    np.savez(path, **flat)


def _narrow(value: np.ndarray) -> np.ndarray:
    """Return whole numbers in 16 bits if they fit: a sixth of the file."""
    return value.astype(np.int16 if np.abs(value).max() < 2**15 else np.int32)


def main() -> None:
    """Run all stages that WORK does not hold yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("work", type=Path)
    options = parser.parse_args()
    pictures = (read_image(p).transpose(2, 0, 1) for p in sorted(options.folder.glob("*.png")))
    # grey ones too
    images = [np.array(np.broadcast_to(p, (3, *p.shape[1:])))[:3] for p in pictures]
    options.work.mkdir(parents=True, exist_ok=True)
    if not images or min(min(image.shape[1:]) for image in images) < SIDE:
        parser.error(f"{options.folder}: PNG pictures of {SIDE} pixels a side and more are needed")
    middle = _models.PRICES.index(1e-3)
    # each from its neighbour: towards higher prices, then towards lower ones
    order = [middle, *range(middle + 1, 6), 7, 8, *reversed(range(middle)), 6]
    kept: dict[int, Any] = {}
    latents: dict[int, list[_grids.Grids]] = {}
    analysis_path = options.work / "analysis.npz"
    for k in order:
        path = options.work / f"{_models.PRICES[k]:g}.pickle"
        price, finest = _models.PRICES[k], _models.FINEST[k]
        if path.exists():
            kept[k], latents[k] = pickle.loads(path.read_bytes())
            continue
        if k == middle:
            nets = _analysis.untrained(0, finest, _models.rounding_step(price))
            nets, analysis = analysis_stage(images, nets, fresh_analysis(1), price, ANALYSIS_STEPS)
            _keep(analysis_path, analysis)
            latents[k] = begun(images, analysis, price)
            kept[k] = latent_stage(latents[k], nets, price, FIRST_STEPS, 0.0)
            _, analysis = analysis_stage(
                images, kept[k], analysis, price, ANALYSIS_STEPS // 2, alone=True
            )
            _keep(analysis_path, analysis)
        else:
            near = {6: 0, 7: 5}.get(k, k - 1 if k > middle else k + 1)
            factor = (price / _models.PRICES[near]) ** 0.5
            kept[k] = _models.scaled(kept[near], factor, finest)
            latents[k] = []
            if k != 6:  # which is so near to exact samples that nothing is to be learnt
                latents[k] = rescaled(latents[near], factor, finest)
                kept[k] = latent_stage(latents[k], kept[k], price, OTHER_STEPS, AGAIN)
        partial_path = path.with_suffix(".partial")
        partial_path.write_bytes(pickle.dumps((kept[k], latents[k])))
        partial_path.replace(path)
    whole: dict[str, Any] = {
        f"{k}.{name}": _narrow(value)
        for k in sorted(kept)
        for name, value in _models.flattened(_models.whole(kept[k])).items()
    }
    np.savez_compressed(options.work / "models.npz", **whole)
    with np.load(analysis_path) as found:  # a guess: half precision will do
        halves: dict[str, Any] = {name: found[name].astype(np.float16) for name in found}
    np.savez_compressed(options.work / "analysis-small.npz", **halves)


if __name__ == "__main__":
    main()
