"""What a decoder paints is what the fit saw, on any size, and anywhere between the pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_fits import picture
from test_entropy import random_latents

from coordnet.codec import _analysis, _models, _resample, _synthesis, _training
from coordnet.codec._entropy import walk
from coordnet.codec._laplace import FINE, LEAST_OCTAVE, LIMIT, SCALE_UNIT, bits
from coordnet.codec._pyramid import CELL, shapes
from coordnet.codec._synthesis import MARGIN


def padded(latents, size, finest, beyond):
    """Grids of whole cells with margins: the last nodes go on, or there are zeros beyond."""
    out = []
    for i, grid in enumerate(latents, finest):
        cells = [-(-n // CELL) * (CELL >> i) for n in size]
        more = [(MARGIN, MARGIN + c - n) for c, n in zip(cells, grid.shape[1:], strict=True)]
        widths = [(0, 0), *more]
        wide = np.pad(grid, widths, mode="edge") if beyond == "edge" else np.pad(grid, widths)
        out.append(jnp.asarray(wide, jnp.float32))
    return out


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (150, 200)])
@pytest.mark.parametrize("model", [2, 5])
def test_whole_numbers_paint_what_floats_do(size, model):
    finest = _models.FINEST[model]
    latents = random_latents(size[0], size[1], finest)
    synthesis = _models.synthesis_of(_models.kept(model))
    found = _synthesis.painted(synthesis, latents, size)
    params = jax.tree.map(jnp.asarray, _models.floats(_models.kept(model)))
    grids = padded(latents, size, finest, "edge")
    floats = np.asarray(jax.jit(_training.painted)(params, grids))
    floats = floats[:, : size[0], : size[1]].transpose(1, 2, 0)
    off = np.abs(np.clip(floats, 0, 1) * 255 - found)
    # half a level is the rounding; a quarter more is that of features on the way
    assert off.max() < 0.75


def test_strips_have_no_seams(monkeypatch):
    latents = random_latents(70, 90, 0)
    synthesis = _models.synthesis_of(_models.kept(2))
    whole = _synthesis.painted(synthesis, latents, (70, 90))
    monkeypatch.setattr(_synthesis, "_PIXELS", 90 * 6)
    assert (_synthesis.painted(synthesis, latents, (70, 90)) == whole).all()


@pytest.mark.parametrize("model", [2, 5])
@pytest.mark.parametrize("expected", [True, False])
def test_the_bits_that_a_fit_sees_are_those_of_the_file(model, expected):
    size, finest = (130, 90), _models.FINEST[model]
    numbers, rng, told = _models.kept(model), np.random.default_rng(0), []

    def code(values, means, scales, _):
        if values is None:  # then it is drawn as the networks expect it
            spread = 2.0 ** (scales / SCALE_UNIT + LEAST_OCTAVE)
            values = np.rint(means / FINE.mean_unit + rng.laplace(scale=spread))
            values = np.clip(values, -LIMIT, LIMIT).astype(np.int64)
        told.append(bits(FINE, values, means, scales).sum())
        return values

    given = None if expected else random_latents(*size, finest, spread=1.0)
    latents = walk(_models.entropy_of(numbers, FINE), shapes(*size, finest), given, code)
    params = jax.tree.map(jnp.asarray, _models.floats(numbers))
    grids = padded(latents, size, finest, "zeros")
    there = [g != 0 for g in padded([np.ones_like(g[:1]) for g in latents], size, finest, "zeros")]
    there = [t[0, MARGIN:-MARGIN, MARGIN:-MARGIN] for t in there]
    seen = float(jax.jit(_training.bits)(params, grids, there).sum())
    # means and hidden units to 64ths, scales to eighths of an octave; a fit counts 20 bits at most
    # for what nothing made expect
    assert sum(told) == pytest.approx(seen, rel=0.003 if expected else 0.03)


def test_guesses_paint_the_picture():
    image = picture(70, 100).transpose(2, 0, 1)
    wide = np.pad(image, ((0, 0), (0, 58), (0, 28)), mode="edge")
    step = _models.rounding_step(1e-4)
    found = _analysis.differences(wide, 0, step)
    params = jax.tree.map(jnp.asarray, _analysis.untrained(0, 0, step))
    params["output"] *= 0  # what is left of a fresh network undoes the differences
    grids = [jnp.pad(g, ((0, 0), (4, 4), (4, 4)), mode="edge") for g in found]
    out = np.asarray(jax.jit(_training.painted)(params, grids))
    # colours have no level of their own at the finest two
    assert np.abs(out - wide).mean() < 0.01
    with_words = _analysis.guess(_models.analysis(), wide, 0, step)
    assert all(w.shape == f.shape for w, f in zip(with_words, found, strict=True))


def source(size, model=2, seed=0):
    latents = random_latents(size[0], size[1], _models.FINEST[model], spread=0.7, seed=seed)
    synthesis = _models.synthesis_of(_models.kept(model))
    samples = _synthesis.painted(synthesis, latents, size)
    return _resample.of_features(_synthesis.features(synthesis, latents, size), synthesis), samples


@pytest.mark.parametrize("size", [(1, 1), (37, 50), (64, 9)])
@pytest.mark.parametrize("model", [2, 5])
def test_at_native_size_the_function_is_the_picture(size, model, monkeypatch):
    monkeypatch.setattr(_resample, "_POINTS", 200)  # several parts, of odd sides too
    lattice, samples = source(size, model)
    found = _resample.drawn(lattice, size, (0, 0, *size))
    # the same features, rounded to levels but for the last convolution
    assert np.abs(np.clip(found, 0, 1) * 255 - samples).max() < 0.75


def test_parts_make_the_whole(monkeypatch):
    size = (37, 50)
    latents = random_latents(*size, _models.FINEST[2], spread=0.7, seed=0)
    synthesis = _models.synthesis_of(_models.kept(2))
    whole = _synthesis.painted(synthesis, latents, size)
    monkeypatch.setattr(_synthesis, "_PIXELS", 60)
    monkeypatch.setattr(_synthesis, "_WIDEST", 12)
    np.testing.assert_array_equal(_synthesis.painted(synthesis, latents, size), whole)


def test_a_part_is_a_part_of_the_whole():
    lattice, _ = source((40, 60))
    whole = _resample.drawn(lattice, (120, 180), (0, 0, 40, 60))
    part = _resample.drawn(lattice, (30, 60), (10, 20, 10, 20))
    np.testing.assert_allclose(part, whole[30:60, 60:120], atol=1e-5)


def test_samples_are_averaged():
    lattice, _ = source((40, 60))
    large = _resample.drawn(lattice, (40, 60), (0, 0, 40, 60))
    small = _resample.drawn(lattice, (20, 30), (0, 0, 40, 60), samples=2)
    expected = large.reshape(20, 2, 30, 2, 3).mean((1, 3))
    np.testing.assert_allclose(small, expected, atol=1e-6)


def test_kept_samples_are_interpolated_by_keys_cubic():
    # by hand: between 0, 0, 1, 1 the middle is (-0 + 9 * 0 + 9 * 1 - 1) / 16
    samples = np.array([0, 0, 0, 255, 255, 255], np.uint8).reshape(1, 6, 1)
    lattice = _resample.of_samples(samples)
    found = _resample.drawn(lattice, (1, 12), (0, 0.25, 1, 6))
    np.testing.assert_allclose(found[0, 5, 0], 0.5, atol=1e-6)
    np.testing.assert_allclose(found[0, 3, 0], 0, atol=1e-6)
    np.testing.assert_allclose(found[0, 4, 0], 0, atol=1e-6)
