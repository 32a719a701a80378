"""Checkerboards: where they come from, that they are measured, and what has none."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.ndimage
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from coordnet import checkerboard as cb
from coordnet._cells import axis_at, decoded, lattice_at

FEATURES = 16
ANY: Any = cb  # for what a type checker would refuse


# --- the measures ------------------------------------------------------------------------------
@given(st.integers(1, 12), st.integers(1, 8))
def test_overlaps_are_those_of_painted_kernels(kernel, stride):
    painted = np.zeros(40 * stride + kernel)
    for k in range(40):
        painted[k * stride : k * stride + kernel] += 1
    middle = painted[16 * stride : 17 * stride]
    assert sorted(cb.overlap(kernel, stride)) == sorted(middle)


def test_a_board_of_known_contrast_is_measured():
    rows, columns = np.indices((96, 96))
    board = 1 + 0.1 * (-1.0) ** (rows + columns)[..., None]
    # phases of 1.1 and 0.9: they lie 0.1 about a mean, of an RMS of sqrt(1.01)
    assert cb.phase_dc(board, 2) == pytest.approx(0.1 / 1.01**0.5, rel=1e-9)
    # in noise of 0.01: a Hann window of n x n gathers (n/2)**4 of a wave's power and 9 n**2 / 64
    # of the noise's; one line of the three has the wave
    noise = np.random.default_rng(0).normal(scale=0.01, size=(512, 512, 1))
    rows, columns = np.indices((512, 512))
    board = noise + 0.1 * (-1.0) ** (rows + columns)[..., None]
    told = 0.1**2 * 32**4 / (0.01**2 * 9 * 64**2 / 64) / 3
    # a ring's median is that of some hundred bins: half a dB
    assert cb.stride_peak(board, 2) == pytest.approx(10 * np.log10(told), abs=0.5)


@pytest.mark.parametrize("stride", [2, 3, 4, 8])
def test_white_noise_has_no_peak(stride):
    noise = np.random.default_rng(stride).normal(size=(512, 512, 3))
    # means of some hundred tiles: a tenth about the truth, a few of which are a line's neighbours
    assert cb.stride_peak(noise, stride) == pytest.approx(0, abs=1)


def test_patterns_of_photographs_are_found_by_their_stride(monkeypatch):
    from coordnet import sample_image

    image = sample_image()[:256, :256]
    assert cb.stride_peak(image, 2) < 3
    nearest = image[::2, ::2].repeat(2, 0).repeat(2, 1)
    pattern = image + 0.02 * (np.indices((256, 256))[0] % 3 == 0)[..., None]
    assert cb.stride_peak(pattern, 3) > 10 > 3 > cb.stride_peak(nearest, 2)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: cb.overlap(0, 2), "at least 1"),
        (lambda: cb.phase_dc(np.ones((8, 8, 1)), 1), "at least 2"),
        (lambda: cb.phase_dc(np.ones((8, 3, 1)), 4), "at least 4 pixels"),
        (lambda: cb.stride_peak(np.ones((63, 64, 1)), 2), "at least 64 pixels"),
        (lambda: cb.stride_peak(np.ones((64, 64, 1)), 33), "at most 32"),
        (lambda: cb.Deconv(3, 3, 0, rngs=nnx.Rngs(0)), "`kernel` must be at least 1"),
        (lambda: cb.SubPixel(3, 3, 0, rngs=nnx.Rngs(0)), "`scale` must be at least 1"),
        (lambda: ANY.SubPixel(3, 3, init="zero", rngs=nnx.Rngs(0)), "icnr, plain"),
        (lambda: ANY.ResizeConv(3, 3, mode="cubic", rngs=nnx.Rngs(0)), "nearest, bilinear"),
        (lambda: ANY.ResizeConv(3, 3, pad="wrap", rngs=nnx.Rngs(0)), "reflect, edge, constant"),
        (lambda: cb.CosineCells(3, 3, waves=0, rngs=nnx.Rngs(0)), "`waves` must be at least 1"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(call, match):
    with pytest.raises(ValueError, match=match):
        call()


# --- the layers --------------------------------------------------------------------------------
def flat(layer):
    """The same deconvolution, of which each kernel is even: overlap alone is left."""
    layer.paint.kernel[...] = jnp.ones_like(layer.paint.kernel[...])
    return layer


SHAPES = (FEATURES, FEATURES)
LAYERS = {
    "deconv 3": lambda r: cb.Deconv(*SHAPES, 3, 2, rngs=r),
    "deconv 4": lambda r: cb.Deconv(*SHAPES, 4, 2, rngs=r),
    "deconv 3, flat": lambda r: flat(cb.Deconv(*SHAPES, 3, 2, rngs=r)),
    "deconv 4, flat": lambda r: flat(cb.Deconv(*SHAPES, 4, 2, rngs=r)),
    "sub-pixel": lambda r: cb.SubPixel(*SHAPES, init="plain", rngs=r),
    "sub-pixel, ICNR": lambda r: cb.SubPixel(*SHAPES, rngs=r),
    "sub-pixel, held": lambda r: cb.SubPixel(*SHAPES, init="plain", hold=True, rngs=r),
    "nearest": lambda r: cb.ResizeConv(*SHAPES, rngs=r),
    "bilinear": lambda r: cb.ResizeConv(*SHAPES, mode="bilinear", rngs=r),
    "cells": lambda r: cb.CosineCells(*SHAPES, rngs=r),
}
# phase_dc and stride_peak of random layers. A flat kernel of 3 paints 4, 2, 2 and 1 times: spread
# 1.09 about 2.25, of an RMS of 2.5. The others are of 8 seeds, within three deviations of the mean
TABLE = {
    "deconv 3": (0.86, 26.5),
    "deconv 4": (0.86, 26.4),
    "deconv 3, flat": (0.436, 30),
    "deconv 4, flat": (0, -17),
    "sub-pixel": (0.86, 27),
    "sub-pixel, ICNR": (0, -18),
    "sub-pixel, held": (0, -18),
    "nearest": (0, -18),
    "bilinear": (0, -35),
    "cells": (0.77, 27),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_pattern_of_random_layers(name):
    found = []
    for seed in range(8):
        graphdef, state = nnx.split(LAYERS[name](nnx.Rngs(seed)))
        found.append(
            cb.examine(lambda x, g=graphdef, s=state: _ask(g, s, x), FEATURES, 2, seed=seed)
        )
    dc, peak = np.mean(found, 0)
    told = TABLE[name]
    assert dc == pytest.approx(told[0], abs=0.05 if told[0] else 1e-6)
    assert peak == pytest.approx(told[1], abs=4 if told[1] == 30 else 2)
    clean = told[0] == 0
    assert all((p.stride_peak < 3) if clean else (p.stride_peak > 10) for p in found)


@jax.jit(static_argnums=0)
def _ask(graphdef, state, x):
    return nnx.merge(graphdef, state)(x)


def test_a_flat_deconvolution_counts_its_overlaps():
    layer = flat(cb.Deconv(1, 1, 5, 3, rngs=nnx.Rngs(0)))
    found = np.asarray(layer(jnp.ones((1, 9, 9, 1))))[0, 9:12, 9:12, 0]
    counts = cb.overlap(5, 3)
    assert sorted(found.ravel()) == sorted(np.outer(counts, counts).ravel())


def test_channels_become_the_pixels_of_their_cell():
    layer = cb.SubPixel(4, 3, scale=3, init="plain", rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 5, 6, 4)), jnp.float32)
    spread = layer.spread(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect"))
    out = np.asarray(layer(x))
    for i, j in np.ndindex(15, 18):
        channels = slice(first := 3 * (3 * (i % 3) + j % 3), first + 3)
        np.testing.assert_array_equal(out[0, i, j], spread[0, i // 3, j // 3, channels])


def test_icnr_begins_as_a_resize_convolution():
    layer = cb.SubPixel(4, 3, scale=2, rngs=nnx.Rngs(1))
    x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 6, 5, 4)), jnp.float32)
    out = np.asarray(layer(x))
    np.testing.assert_array_equal(out, out[:, ::2, ::2].repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize("scale", [2, 3])
def test_holding_is_a_mean_of_pixels(scale):
    plain, held = (
        cb.SubPixel(4, 3, scale, init="plain", hold=h, rngs=nnx.Rngs(2)) for h in (False, True)
    )
    x = jnp.asarray(np.random.default_rng(2).normal(size=(1, 8, 7, 4)), jnp.float32)
    for ours, theirs in zip(held(x)[0].T, np.asarray(plain(x))[0].T, strict=True):
        told = scipy.ndimage.uniform_filter(theirs, scale, mode="nearest")
        np.testing.assert_allclose(ours, told, atol=1e-5)


@pytest.mark.parametrize("pad", ["reflect", "edge", "constant"])
def test_a_picture_of_one_pixel_is_enlarged(pad):
    for layer in (
        cb.Deconv(2, 3, rngs=nnx.Rngs(0)),
        cb.SubPixel(2, 3, hold=True, rngs=nnx.Rngs(0)),
        cb.ResizeConv(2, 3, pad=pad, rngs=nnx.Rngs(0)),
        cb.CosineCells(2, 3, rngs=nnx.Rngs(0)),
    ):
        out = layer(jnp.ones((1, 1, 1, 2)))
        assert out.shape == (1, 2, 2, 3)
        assert np.isfinite(out).all()


def test_an_even_picture_has_no_peak():
    assert cb.stride_peak(np.full((64, 64, 3), 0.7), 2) == 0
    assert cb.stride_peak(np.zeros((64, 64, 1)), 2) == 0


def test_reflected_borders_are_not_dark():
    x = jnp.ones((1, 6, 6, 4))
    even, dark = (
        np.asarray(cb.ResizeConv(4, 1, pad=pad, rngs=nnx.Rngs(3))(x)).std()
        for pad in ("reflect", "constant")
    )
    assert even < 1e-6 < 1e-2 < dark


# --- cells -------------------------------------------------------------------------------------
@given(st.integers(1, 9), st.integers(1, 40), st.booleans())
def test_weights_of_the_first_wave_are_a_partition_of_unity(cells, points, blend):
    near, weights = axis_at(lattice_at(cells, points), cells, 3, blend=blend)
    np.testing.assert_allclose(weights[..., 0].sum(1), 1)
    assert near.min() >= 0
    assert near.max() < cells


@pytest.mark.parametrize("blend", [True, False])
def test_cells_are_the_sum_that_they_are_written_as(blend):
    rng = np.random.default_rng(0)
    coefficients, size = rng.normal(size=(3, 4, 2, 3, 1)), (7, 9)
    found = decoded(jnp.asarray(coefficients[None], jnp.float32), size, blend=blend)[0, :, :, 0]
    for i in range(size[0]):
        for j in range(size[1]):
            y, x = (i + 0.5) * 3 / 7 - 0.5, (j + 0.5) * 4 / 9 - 0.5
            told = 0.0
            for a in (np.floor(y), np.floor(y) + 1):
                for b in (np.floor(x), np.floor(x) + 1):
                    u, v = y - a, x - b
                    share = (1 - abs(u)) * (1 - abs(v))
                    if not blend:  # the first of two as near
                        share = -0.5 < u <= 0.5 and -0.5 < v <= 0.5
                    cell = coefficients[int(np.clip(a, 0, 2)), int(np.clip(b, 0, 3)), :, :, 0]
                    waves = np.outer(
                        np.cos(np.pi * np.arange(2) * (u + 1) / 2),
                        np.cos(np.pi * np.arange(3) * (v + 1) / 2),
                    )
                    told += share * (cell * waves).sum()
            assert found[i, j] == pytest.approx(told, abs=1e-5)


def test_blended_cells_are_continuous():
    coefficients = jnp.asarray(np.random.default_rng(1).normal(size=(1, 4, 4, 5, 5, 1)))
    jumps = {
        blend: np.abs(np.diff(decoded(coefficients, (512, 512), blend=blend)[0], axis=0)).max()
        for blend in (True, False)
    }
    # of 128 points in a cell, neighbours differ by the slope of the fourth wave at most
    assert jumps[True] < 0.5 < 2 < jumps[False]


def test_cells_that_begin_at_zero_say_nothing():
    layer = cb.CosineCells(4, 3, zero=True, rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 5, 5, 4)), jnp.float32)
    assert not np.any(layer(x, (11, 13)))


# --- after training ----------------------------------------------------------------------------
class Enlarger(nnx.Module):
    """A small network about a layer that enlarges; ``base`` adds a bilinear enlargement."""

    def __init__(self, up, rngs, *, base=False):
        self.first = nnx.Conv(3, FEATURES, (3, 3), padding="SAME", rngs=rngs)
        self.up, self.base = up, base
        self.last = nnx.Linear(FEATURES, 3, rngs=rngs)

    def __call__(self, x):
        out = self.last(self.up(nnx.relu(self.first(x))))
        if not self.base:
            return out
        n, h, w, c = x.shape
        return out + jax.image.resize(x, (n, 2 * h, 2 * w, c), "bilinear")


def smooth(rng, count, side):
    """Even colours and gradients, small and enlarged."""
    colours = rng.random((count, 1, 1, 3)) + np.zeros((count, side, side, 3))
    at = np.linspace(-1, 1, side)
    slopes = (
        rng.normal(scale=0.2, size=(2, count, 1, 1, 3))
        * (np.arange(count) % 2)[:, None, None, None]
    )
    return np.float32(colours + slopes[0] * at[:, None, None] + slopes[1] * at[:, None])


@pytest.fixture(scope="module")
def trained():
    """Networks of each layer after 200 steps of Adam on smooth pictures, by L1."""
    rule, found = optax.adam(3e-3), {}
    rng = np.random.default_rng(0)
    large = smooth(rng, 200 * 2, 32).reshape(200, 2, 32, 32, 3)
    small = large.reshape(200, 2, 16, 2, 16, 2, 3).mean((3, 5))
    for name in ("deconv 3", "sub-pixel, ICNR", "sub-pixel, held", "nearest", "bilinear", "cells"):
        rngs = nnx.Rngs(4)
        net = Enlarger(LAYERS[name](rngs), rngs, base=name == "cells")
        graphdef, state = nnx.split(net)

        @jax.jit
        def learn(state, small, large, graphdef=graphdef):
            def loss(state, x, y):
                return jnp.mean(jnp.abs(nnx.merge(graphdef, state)(x) - y))

            def step(carry, pair):
                state, moments = carry
                value, slopes = jax.value_and_grad(loss)(state, *pair)
                moves, moments = rule.update(slopes, moments, state)
                return (optax.apply_updates(state, moves), moments), value

            return jax.lax.scan(step, (state, rule.init(state)), (small, large))

        (state, _), losses = learn(state, small, large)
        assert losses[-20:].mean() < 0.3 * losses[:5].mean(), name
        found[name] = lambda x, g=graphdef, s=state: _ask(g, s, x)
    return found


# the hard case: colours that no step saw, as far from the mean as colours are
SATURATED = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], float)


def of_saturated(up):
    flat = jnp.asarray(SATURATED[:, None, None] + np.zeros((6, 24, 24, 3)), jnp.float32)
    return max(cb.phase_dc(one[None, 8:-8, 8:-8], 2) for one in np.asarray(up(flat)))


@pytest.mark.parametrize("name", ["sub-pixel, held", "nearest", "bilinear"])
def test_what_is_clean_stays_so(trained, name):
    found = cb.examine(trained[name], 3, 2)
    assert max(found.phase_dc, of_saturated(trained[name])) < 0.01
    assert found.stride_peak < 3


def test_training_does_not_cure_a_deconvolution(trained):
    assert of_saturated(trained["deconv 3"]) > 0.01
    assert cb.examine(trained["deconv 3"], 3, 2).stride_peak > 10


def test_icnr_is_a_start_and_no_cure(trained):
    """Reported: 0.067, +19 dB, of saturated colours 0.081."""
    found = cb.examine(trained["sub-pixel, ICNR"], 3, 2)
    assert found.phase_dc > 0.01
    assert found.stride_peak > 10
    assert of_saturated(trained["sub-pixel, ICNR"]) > 0.01


def test_cells_on_a_base_are_cleaner_and_not_clean(trained):
    """0.011, +16 dB, where a deconvolution has 0.072, +18 dB; half as much of saturated colours."""
    cells, deconv = (cb.examine(trained[name], 3, 2) for name in ("cells", "deconv 3"))
    assert cells.phase_dc < 0.4 * deconv.phase_dc
    assert of_saturated(trained["cells"]) < of_saturated(trained["deconv 3"])


# --- what discriminators do to generators -------------------------------------------------------
def slope_of(layer):
    """The gradient of a random sum of a layer's outputs with respect to its input."""
    x = np.random.default_rng(0).normal(size=(1, 96, 96, 4)).astype(np.float32)
    weights = np.random.default_rng(1).normal(size=8)
    return np.asarray(jax.grad(lambda x: jnp.sum(layer(x) * weights[: layer(x).shape[-1]]))(x))


def test_strides_put_their_pattern_into_gradients():
    def conv(kernel, stride):
        return nnx.Conv(4, 8, (kernel, kernel), (stride, stride), padding="SAME", rngs=nnx.Rngs(0))

    def measured(layer):
        slope = slope_of(layer)[:, 16:-16, 16:-16]
        return cb.phase_dc(slope, 2), cb.stride_peak(slope, 2)

    for kernel in (3, 4):  # even overlaps do not help random kernels
        dc, peak = measured(conv(kernel, 2))
        assert dc > 0.3
        assert peak > 30  # of an even sum they are nothing but the pattern: 168 dB
    dc, peak = measured(conv(3, 1))
    assert dc < 1e-6
    assert peak < 3
    assert measured(lambda x: nnx.avg_pool(x, (2, 2), (2, 2)))[0] < 1e-6
    # the largest of four lies anywhere: gradients are sparse, and of no pattern
    most = measured(lambda x: nnx.max_pool(x, (2, 2), (2, 2)))
    assert most[0] < 0.1
    # windows of three that overlap by one prefer what two of them see
    assert measured(lambda x: nnx.max_pool(x, (3, 3), (2, 2)))[0] > 0.1
