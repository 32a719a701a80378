"""Enlarging: the network, what it learns from, tiles, consistency, and what is refused."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from test_jpeg import photo

from coordnet import FormatError, sample_image
from coordnet._cells import evaluated
from coordnet.restore import _pairs, _upscale
from coordnet.restore._pairs import pairs
from coordnet.restore._resize import brought_back, resized
from coordnet.restore._stream import Folder
from coordnet.restore._upscale import enlarged, invention_map, upscale
from coordnet.restore._upscaler import TOLD, WAVES, Upscaler, cost, told_of
from coordnet.restore._weights import write_weights


def wild(width=8, blocks=1, seed=0):
    """Return a network that says something: its last layer does not begin at zero."""
    net = Upscaler(width, blocks, rngs=nnx.Rngs(seed))
    shape = net.last.kernel.shape
    net.last.kernel[...] = 0.05 * jax.random.normal(jax.random.key(seed), shape)
    return net


@pytest.fixture
def folder(tmp_path):
    for k in range(3):
        Image.fromarray(photo(300, 320, k)).save(tmp_path / f"p{k}.png")
    return Folder(tmp_path)


@pytest.fixture
def model(tmp_path):
    """Return the path of weights that say something."""
    path = tmp_path / "wild.safetensors"
    write_weights(wild(), path, "upscale", {"width": 8, "blocks": 1}, {"name": "wild"})
    return path


def small_photo(*size):
    return photo(*size).astype(np.float32) / 255


# --- what is learnt from ------------------------------------------------------------------------
def test_a_batch_is_its_number(folder):
    options = {"folder": folder, "seed": 1, "halo": 3, "side": 20, "points": 24, "many": 6}
    first, again, other = (pairs(n, **options) for n in (4, 4, 5))
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.small.shape == other.small.shape == (6, 26, 26, 3)
    assert first.base.shape == first.truth.shape == (6, 24, 24, 3)
    assert not np.array_equal(first.truth, other.truth)
    assert first.told.shape == (6, TOLD)
    assert 0 <= first.told.min() <= first.told.max() <= 1
    # every point sees two cells within the halo, and all of their shares are one
    assert 0 <= first.rows.near.min() <= first.rows.near.max() < 20
    np.testing.assert_allclose(first.rows.weights[..., 0].sum(2), 1, atol=1e-6)


def test_points_lie_where_the_clean_picture_has_them(tmp_path, monkeypatch):
    """On a slope, cells that say their pixel's own value come to the clean picture."""
    y, x = np.mgrid[:300, :300]
    slope = np.stack([y * 0.8, x * 0.8, 20 + 0.4 * (x + y)], 2)
    Image.fromarray(np.rint(slope).astype(np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setattr(_pairs, "_DAMAGED", 0.0)
    batch = pairs(0, folder=Folder(tmp_path), seed=0, halo=3, side=20, points=30, many=8)
    inner = batch.small[:, 3:-3, 3:-3]
    cells = np.zeros((*inner.shape[:3], WAVES, WAVES, 3), np.float32)
    cells[..., 0, 0, :] = inner
    found = jax.vmap(evaluated)(jnp.asarray(cells), batch.rows, batch.columns)
    # both pictures are rounded to whole levels, 0.5 / 255 each
    np.testing.assert_allclose(found, batch.truth, atol=1.6 / 255)
    np.testing.assert_allclose(batch.base, batch.truth, atol=1.6 / 255)


def test_training_brings_pictures_nearer(folder):
    options = {"folder": folder, "seed": 1, "halo": 3, "side": 12, "points": 16, "many": 4}
    net, batch = Upscaler(8, 1, rngs=nnx.Rngs(0)), pairs(0, **options)
    off = np.sqrt(np.square(batch.base - batch.truth).mean((1, 2, 3))).mean()
    assert float(cost(net, batch)) == pytest.approx(off, rel=0.01)  # rounded off near 0
    slope = nnx.grad(cost)(net, batch)
    size = norm(slope)
    assert size > 0
    net.last.kernel[...] -= 1e-3 * slope["last"]["kernel"][...] / size
    assert float(cost(net, batch)) < float(cost(Upscaler(8, 1, rngs=nnx.Rngs(0)), batch))


def norm(tree):
    return float(jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree))))


@pytest.mark.parametrize("quality", [10, 30, 75, 90, 95])
def test_damage_is_read_from_the_steps(quality):
    found = _pairs.damage_of(_pairs.steps_of(quality))
    assert _pairs.quality_of(found) == quality


# --- enlarging ----------------------------------------------------------------------------------
def test_a_fresh_network_is_the_cubic():
    small = small_photo(21, 30)
    found = enlarged(Upscaler(8, 1, rngs=nnx.Rngs(0)), small, (50, 70), consistency=0)
    for k in range(3):
        plane = Image.fromarray(small[..., k]).resize((70, 50), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(found[..., k], np.asarray(plane), atol=1e-6)  # float32


@pytest.mark.parametrize("size", [(80, 90), (93, 100), (40, 45), (200, 47), (41, 46)])
def test_tiles_are_the_whole(size):
    small, net = small_photo(40, 45), wild()
    parts, whole = (enlarged(net, small, size, side=s, consistency=0) for s in (8, 48))
    np.testing.assert_array_equal(parts, whole)
    assert np.abs(whole - resized(small, size)).max() > 0.01


def test_the_same_scale_as_number_and_as_size(model):
    small = small_photo(20, 24)
    found = upscale(small, 2.5, model=model)
    assert found.shape == (50, 60, 3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, upscale(small, size=(50, 60), model=model))
    np.testing.assert_array_equal(found, upscale(small, size=50, model=model))


def test_the_result_reduced_is_the_picture(model):
    small = 0.3 + 0.4 * small_photo(32, 40)  # away from the ends, where the result is clipped
    found = upscale(small, 3, model=model)
    free = upscale(small, 3, model=model, consistency=0)
    off, before = (np.abs(resized(v, (32, 40)) - small).max() for v in (found, free))
    assert before > 0.01
    # three rounds leave 0.15 of the root of the mean square, and not much more of the largest
    assert off < 0.25 * before


def test_what_ships_shifts_no_colour():
    small = sample_image()[100:164, 90:140]
    off = 255 * (resized(upscale(small, 2), (64, 50)) - small)
    # of Set5 0.01 and 0.05 to 0.4 levels: what is clipped, and rounds of back-projection
    assert np.abs(off.mean((0, 1))).max() < 0.05
    assert np.sqrt(np.square(off).mean()) < 0.5


def test_back_projection_of_damage_keeps_the_mean_alone():
    small = small_photo(32, 40)
    large = resized(small, (64, 80)) + np.float32(0.1)
    brought_back(large, small, 1.0, blur=8)
    assert abs((resized(large, (32, 40)) - small).mean()) < 2e-3


def test_channels(model):
    small = small_photo(16, 20)
    grey = upscale(small[..., :1], 2, model=model)
    assert grey.shape == (32, 40, 1)
    alpha = np.zeros((16, 20, 1), np.float32)
    alpha[:, 10:] = 1
    wrong = small.copy()
    wrong[:, :10] = [0, 1, 0]  # what nobody sees
    found = upscale(np.concatenate([wrong, alpha], 2), 2, model=model)
    same = upscale(np.concatenate([np.where(alpha > 0, small, 0.5), alpha], 2), 2, model=model)
    np.testing.assert_array_equal(found, same)
    assert found.shape == (32, 40, 4)
    ramp = np.linspace(0, 1, 20, dtype=np.float32)[None, :, None].repeat(16, 0)
    slope = upscale(np.concatenate([small, ramp], 2), 2, model=model)[..., 3]
    assert (np.diff(slope, axis=1) >= 0).all()  # a soft edge has no steps of its own
    clear = upscale(np.zeros((8, 8, 4), np.float32), 2, model=model)
    assert clear.shape == (16, 16, 4)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2)])
def test_the_smallest_pictures(size, model):
    found = upscale(np.full((*size, 3), 0.5, np.float32), 8, model=model)
    assert found.shape == (8 * size[0], 8 * size[1], 3)


def test_a_jpeg_says_how_damaged_it_is(tmp_path, monkeypatch, model):
    told = []
    monkeypatch.setattr(_upscale, "told_of", lambda *v: told.append(v[2]) or told_of(*v))
    Image.fromarray(photo(16, 16)).save(tmp_path / "a.jpg", quality=52)
    Image.fromarray(photo(16, 16)).save(tmp_path / "a.png")
    for source, repair in ((tmp_path / "a.jpg", None), (tmp_path / "a.png", None),
                           (tmp_path / "a.jpg", 1.0)):  # fmt: skip
        upscale(source, 1, model=model, repair=repair)
    assert told == [pytest.approx(0.5, abs=0.02), 0, 1]


def test_the_map_shows_what_is_invented(model):
    small = small_photo(16, 20)
    found = invention_map(small, 2, model=model)
    assert found.shape == (32, 40)
    plain = resized(small, (32, 40))
    brought_back(plain, small, 1.0)
    expected = np.abs(upscale(small, 2, model=model) - plain.clip(0, 1)).mean(2)
    inside = ((plain > 0.1) & (plain < 0.9)).all(2) & (expected < 0.05)
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-6)
    seen = np.ones((16, 20, 1), np.float32)
    with_alpha = invention_map(np.concatenate([small, seen], 2), 2, model=model)
    np.testing.assert_array_equal(with_alpha, found)
    with pytest.raises(ValueError, match="`scale` must enlarge"):
        invention_map(small, 0.5, model=model)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "give `scale`"),
        ({"scale": 0}, "`scale` must be above 0"),
        ({"scale": -2}, "`scale` must be above 0"),
        ({"scale": 0.5}, "`scale` must enlarge 1 to 30 times, got 4x4 for a picture of 8x8"),
        ({"scale": 1e9}, "whole numbers from 1"),
        ({"scale": 31}, "`scale` must enlarge"),
        ({"scale": 0.99}, "`scale` must enlarge 1 to 30 times, got 8x8 for a picture of 8x8"),
        ({"size": (4, 16)}, "`size` must enlarge"),
        ({"scale": 2, "detail": 0}, "`detail` must be from 1"),
        ({"scale": 2, "consistency": 2}, "`consistency` must be from 0 to 1"),
        ({"scale": 2, "repair": -1}, "`repair` must be from 0 to 1"),
        ({"scale": 2, "model": "cats"}, "`model` must be 'photos' or 'paintings' or 'medium' or"),
        ({"scale": float("nan")}, "`scale` must be above 0"),
    ],
)
def test_what_is_refused(options, match, model):
    with pytest.raises(ValueError, match=match):
        upscale(np.zeros((8, 8, 3), np.float32), **{"model": model} | options)


def test_results_that_no_memory_holds_are_refused(model):
    with pytest.raises(ValueError, match="pixels; at most"):
        upscale(np.zeros((600, 600, 3), np.float32), 30, model=model)


def test_weights_of_another_kind_are_refused(tmp_path, model):
    with pytest.raises(OSError, match="none"):
        upscale(np.zeros((8, 8, 3), np.float32), 2, model=tmp_path / "none.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(model.read_bytes()[:-50])
    with pytest.raises(FormatError, match="broken"):
        upscale(np.zeros((8, 8, 3), np.float32), 2, model=broken)


def test_a_broken_picture_is_named(tmp_path, model):
    buffer = io.BytesIO()
    Image.fromarray(photo(64, 64)).save(buffer, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[:400])
    with pytest.raises(ValueError, match=r"cut\.jpg"):
        upscale(tmp_path / "cut.jpg", 2, model=model)
