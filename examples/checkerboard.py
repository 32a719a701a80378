"""Where checkerboards come from, and what has none.

A network that enlarges pictures may draw a pattern of its own stride, most visibly in flat,
saturated colours (Odena, Dumoulin and Olah, "Deconvolution and Checkerboard Artifacts", 2016).

random      generators that were never trained: the pattern is there before any picture is
trained     the same layers, taught to enlarge a picture four times: flat colours that it did not
            learn from (their faults magnified 20 times), a detail, and the spectrum
gradients   what strides and pooling, in a discriminator or a loss, send back to a generator

Spectra are in dB, zero frequency in the middle; the pattern of a layer that enlarges twice lies
at the borders' middles and in the corners, that of two such layers half-way there too.

    python examples/checkerboard.py [picture] [--steps 500] [--quick]
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from _picture import Numbers, keep, options, picture
from flax import nnx

import coordnet as cn
from coordnet import checkerboard as cb

FEATURES = 16
LAYERS: dict[str, Callable[[nnx.Rngs], Any]] = {
    "deconvolution, kernel 3": lambda rngs: cb.Deconv(FEATURES, FEATURES, 3, rngs=rngs),
    "deconvolution, kernel 4": lambda rngs: cb.Deconv(FEATURES, FEATURES, 4, rngs=rngs),
    "sub-pixel": lambda rngs: cb.SubPixel(FEATURES, FEATURES, init="plain", rngs=rngs),
    "sub-pixel, ICNR": lambda rngs: cb.SubPixel(FEATURES, FEATURES, rngs=rngs),
    "sub-pixel, held": lambda rngs: cb.SubPixel(FEATURES, FEATURES, hold=True, rngs=rngs),
    "nearest, convolved": lambda rngs: cb.ResizeConv(FEATURES, FEATURES, rngs=rngs),
    "bilinear, convolved": lambda rngs: cb.ResizeConv(
        FEATURES, FEATURES, mode="bilinear", rngs=rngs
    ),
    "cosine cells": lambda rngs: cb.CosineCells(FEATURES, FEATURES, rngs=rngs),
}
QUICK = ("deconvolution, kernel 3", "nearest, convolved")
SATURATED = ((0, 1, 0), (1, 0, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1))


class Enlarger(nnx.Module):
    """Features, each enlarged twice by two, and colours of them."""

    def __init__(self, make: Callable[[nnx.Rngs], Any], inputs: int, seed: int):
        rngs = nnx.Rngs(seed)
        self.first = nnx.Conv(inputs, FEATURES, (3, 3), padding="SAME", rngs=rngs)
        self.ups = nnx.List([make(rngs), make(rngs)])
        self.last = nnx.Linear(FEATURES, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Enlarge (n, h, w, c) four times."""
        x = nnx.relu(self.first(x))
        for up in self.ups:
            x = nnx.relu(up(x))
        return self.last(x)


def main() -> None:
    parser = options(__file__, __doc__)
    parser.add_argument("--steps", type=int, default=500, help="of training (%(default)s)")
    args = parser.parse_args()
    numbers = Numbers()
    image = picture(args, "lenna.png", side=512, quick_side=192)
    names = QUICK if args.quick else tuple(LAYERS)
    random(args.out, names, numbers)
    trained(args.out, image, names, 10 if args.quick else args.steps, numbers)
    gradients(args.out, numbers)
    numbers.write(args.out / "numbers.json")


def random(out: Path, names: tuple[str, ...], numbers: Numbers) -> None:
    """Draw with generators of random weights."""
    numbers.found["random"] = {}
    rng = np.random.default_rng(0)
    seeds = jnp.asarray(rng.normal(size=(1, 40, 40, 8)) + rng.normal(size=8), jnp.float32)
    shown = {}
    for name in names:
        ask = asked(Enlarger(LAYERS[name], 8, seed=0))
        drawn = np.asarray(ask(seeds))[0, 16:-16, 16:-16]
        label = measured("random", name, cb.examine(ask, 8, 4), numbers)
        shown[label] = stretched(drawn[:64, :64]), spectrum(drawn)
    keep(out / "random.jpg", sheet(shown, ("picture, 64 x 64", "spectrum")))


def trained(
    out: Path, image: np.ndarray, names: tuple[str, ...], steps: int, numbers: Numbers
) -> None:
    """Teach each to enlarge the picture, and look at colours that it has not seen."""
    numbers.found["trained"] = {}
    height, width = (n // 4 * 4 for n in image.shape[:2])
    large = image[:height, :width]
    small = cn.downscale_area(large, (height // 4, width // 4))
    shown = {}
    for name in names:
        ask = asked(taught(Enlarger(LAYERS[name], 3, seed=0), small, large, steps))
        enlarged = np.asarray(ask(jnp.asarray(small[None])))[0]
        found = [np.asarray(ask(even(colour)))[0, 32:-32, 32:-32] for colour in SATURATED]
        worst = max(cb.phase_dc(one, 4) for one in found)
        dB = cn.psnr(np.clip(enlarged, 0, 1), large)
        label = measured("trained", name, cb.examine(ask, 3, 4), numbers, saturated=worst, dB=dB)
        chart = np.block([[[found[0]], [found[1]]], [[found[2]], [found[3]]]])
        mean = np.block(
            [[[one.mean((0, 1)) + 0 * one] for one in pair] for pair in (found[:2], found[2:4])]
        )
        detail = enlarged[height // 2 : height // 2 + 64, width // 2 : width // 2 + 64]
        shown[label] = 0.5 + 20 * (chart - mean), detail, spectrum(enlarged)
    columns = ("faults of even colours, x20", "detail, 64 x 64", "spectrum of the picture")
    keep(out / "trained.jpg", sheet(shown, columns))


def taught(net: Enlarger, small: np.ndarray, large: np.ndarray, steps: int) -> Enlarger:
    """Learn from crops of 16 pixels and what they are a reduction of, by L1 and Adam."""
    graphdef, state = nnx.split(net)
    rule = optax.adam(optax.cosine_decay_schedule(3e-3, steps))
    rng = np.random.default_rng(0)
    side = 16
    corners = rng.integers(0, np.array(small.shape[:2]) - side + 1, (steps, 4, 2))
    sources, targets = jnp.asarray(small), jnp.asarray(large)

    @jax.jit
    def learn(state: Any) -> Any:
        def crop(corner: jax.Array) -> tuple[jax.Array, jax.Array]:
            x = jax.lax.dynamic_slice(sources, (*corner, 0), (side, side, 3))
            y = jax.lax.dynamic_slice(targets, (*(4 * corner), 0), (4 * side, 4 * side, 3))
            return x, y

        def loss(state: Any, x: jax.Array, y: jax.Array) -> jax.Array:
            return jnp.mean(jnp.abs(nnx.merge(graphdef, state)(x) - y))

        def step(carry: Any, some: jax.Array) -> tuple[Any, None]:
            state, moments = carry
            slopes = jax.grad(loss)(state, *jax.vmap(crop)(some))
            moves, moments = rule.update(slopes, moments, state)
            return (optax.apply_updates(state, moves), moments), None

        return jax.lax.scan(step, (state, rule.init(state)), jnp.asarray(corners))[0][0]

    return nnx.merge(graphdef, learn(state))


def gradients(out: Path, numbers: Numbers) -> None:
    """Show the gradient of what strides and pooling make of a picture, with respect to it."""
    numbers.found["gradients"] = {}
    conv = partial(nnx.Conv, 3, 8, padding="SAME", rngs=nnx.Rngs(0))
    ways: dict[str, Callable[[jax.Array], jax.Array]] = {
        "convolution 3, stride 2": conv((3, 3), (2, 2)),
        "convolution 4, stride 2": conv((4, 4), (2, 2)),
        "largest of 3 x 3, stride 2": lambda x: nnx.max_pool(x, (3, 3), (2, 2)),
        "largest of 2 x 2": lambda x: nnx.max_pool(x, (2, 2), (2, 2)),
        "mean of 2 x 2": lambda x: nnx.avg_pool(x, (2, 2), (2, 2)),
        "convolution 3, stride 1": conv((3, 3)),
    }
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(1, 128, 128, 3)), jnp.float32)
    weights = jnp.asarray(rng.normal(size=8), jnp.float32)
    shown = {}
    for name, way in ways.items():

        def told(x: jax.Array, way: Any = way) -> jax.Array:
            found = jnp.tanh(way(x))  # a slope that depends on the picture
            return jnp.sum(found * weights[: found.shape[-1]])

        slope = np.asarray(jax.grad(told)(x))[0, 16:-16, 16:-16]
        pattern = cb.Pattern(cb.phase_dc(slope, 2), cb.stride_peak(slope, 2))
        label = measured("gradients", name, pattern, numbers)
        shown[label] = stretched(slope[:48, :48]), spectrum(slope)
    keep(out / "gradients.jpg", sheet(shown, ("gradient, 48 x 48", "spectrum")))


def asked(net: Enlarger) -> Callable[[Any], jax.Array]:
    """Return the network as one compiled program."""
    graphdef, state = nnx.split(net)
    return partial(jax.jit(lambda state, x: nnx.merge(graphdef, state)(x)), state)


def even(colour: tuple[int, int, int]) -> jax.Array:
    """Return a small picture of one colour."""
    return jnp.asarray(np.zeros((1, 24, 24, 3)) + np.array(colour), jnp.float32)


def measured(part: str, name: str, found: cb.Pattern, numbers: Numbers, **more: float) -> str:
    """Keep the figures of a layer, and return them as its label."""
    figures = {"phase_dc": found.phase_dc, "stride_peak": found.stride_peak} | more
    numbers.add(part, {}, **{name: figures})
    numbers.found[part][name] = figures
    return f"{name}\nphases {found.phase_dc:.3f}, peak {found.stride_peak:+.0f} dB"


def stretched(drawn: np.ndarray) -> np.ndarray:
    """Return a picture of any range within [0, 1]: three deviations about its mean."""
    return 0.5 + (drawn - drawn.mean((0, 1))) / max(6 * float(drawn.std()), 1e-12)


def spectrum(drawn: np.ndarray) -> np.ndarray:
    """Return the power of a picture's waves in dB, from -80 below the strongest to it, as grey."""
    sides = [np.hanning(n) for n in drawn.shape[:2]]
    tile = (drawn - drawn.mean((0, 1))) * sides[0][:, None, None] * sides[1][:, None]
    power = np.square(np.abs(np.fft.fft2(tile, axes=(0, 1)))).sum(-1)
    dB = 10 * np.log10(power / power.max() + 1e-8)
    return np.repeat(np.fft.fftshift(1 + dB / 80)[..., None], 3, axis=2)


def sheet(shown: dict[str, tuple[np.ndarray, ...]], columns: tuple[str, ...]) -> Any:
    """Return a figure: a column for each layer, a row for each kind of picture."""
    figure, axes = plt.subplots(
        len(columns), len(shown), figsize=(2.6 * len(shown), 2.9 * len(columns)),
        layout="constrained", squeeze=False,
    )  # fmt: skip
    for pictures, label, column in zip(shown.values(), shown, axes.T, strict=True):
        column[0].set_title(label, fontsize=9)
        for axis, drawn in zip(column, pictures, strict=True):
            axis.imshow(np.clip(drawn, 0, 1), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
    for axis, name in zip(axes[:, 0], columns, strict=True):
        axis.set_ylabel(name, fontsize=9)
    return figure


if __name__ == "__main__":
    main()
