"""Losses and gradients of batches and of whole pictures."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_fits import SPEC, ask, picture, python

from coordnet import CoordNet
from coordnet._problem import (
    Full,
    Pixels,
    Problem,
    Strips,
    chunks_of,
    make_problem,
    sampling,
    sum_over_chunks,
)

KEY = jax.random.key(5)
step = jax.jit(Problem.value_and_grad)


def build(image, spec=SPEC, **options):
    """Return a problem, the weights it is asked at, and the network from weights."""
    net = CoordNet(dataclasses.replace(spec, size=image.shape[:2], channels=image.shape[2]), seed=3)
    graphdef, params, rest = nnx.split(net, nnx.Param, ...)
    problem = make_problem(image, graphdef, rest, **options)
    return problem, params, lambda p: nnx.merge(graphdef, p, rest)


def centers(height, width):
    """Return all pixel centres (x, y), row by row, by the design's formula."""
    longest = max(height, width)
    return np.array(
        [
            ((2 * j + 1 - width) / longest, (2 * i + 1 - height) / longest)
            for i in range(height)
            for j in range(width)
        ],
        np.float32,
    )


def numbered(height, width):
    """Return a picture whose every pixel says which one it is."""
    index = np.arange(height * width, dtype=np.float32).reshape(height, width, 1)
    return index / (height * width)


FORMULAS = {
    "l2": lambda p, t: (p - t) ** 2,
    "l1": lambda p, t: jnp.abs(p - t),
    # tiny-cuda-nn: the prediction below the line is held constant
    "relative_l2": lambda p, t: (p - t) ** 2 / (jax.lax.stop_gradient(p) ** 2 + 0.01),
}


def plain_loss(image, rebuild, loss="l2", mask=None):
    """Return the mean loss of all (visible) pixels at once, as a function of the weights."""
    height, width, channels = image.shape
    points, truth = centers(height, width), image.reshape(-1, channels)
    if mask is not None:
        points, truth = points[mask.ravel()], truth[mask.ravel()]
    return lambda p: jnp.mean(FORMULAS[loss](rebuild(p)(points), truth))


def close_trees(found, expected, part):
    """Compare gradients to ``part`` of the largest entry: sums in another order differ so."""
    found, expected = jax.tree.leaves(found), jax.tree.leaves(expected)
    largest = max(float(jnp.abs(v).max()) for v in expected)
    assert largest > 1e-4  # else there is nothing to compare
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=part * largest)


# --- the full batch -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("size", "chunk", "chunks", "rows"),
    [
        ((24, 32), 128, 6, 24),
        ((23, 31), 100, 8, 24),  # one row of padding
        ((25, 31), 300, 3, 27),  # two
        ((1, 50), 16, 1, 1),
        ((50, 1), 16, 4, 52),
        ((1, 1), 2048, 1, 1),
    ],
)
def test_the_full_batch_is_the_mean_over_all_pixels(size, chunk, chunks, rows):
    image = picture(*size, turn=1.0)
    problem, params, rebuild = build(image, sampled=Full(chunk))
    assert (problem.chunks, problem.target.shape[1]) == (chunks, rows)
    loss, gradient = step(problem, params, KEY)
    expected, slope = jax.jit(jax.value_and_grad(plain_loss(image, rebuild)))(params)
    # float32 sums of some thousand positive terms, taken in another order
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    close_trees(gradient, slope, 1e-6)


@pytest.mark.parametrize(
    ("loss", "masked"), [("l2", True), ("l1", False), ("l1", True), ("relative_l2", False)]
)
def test_losses_and_masks_are_those_of_the_formulas(loss, masked):
    image = picture(23, 31)
    mask = np.random.default_rng(1).random((23, 31)) < 0.6 if masked else None
    problem, params, rebuild = build(image, sampled=Full(100), loss=loss, mask=mask)
    found, gradient = step(problem, params, KEY)
    expected, slope = jax.jit(jax.value_and_grad(plain_loss(image, rebuild, loss, mask)))(params)
    # as above; relative_l2 divides by as little as 0.01, which makes its terms uneven
    assert float(found) == pytest.approx(float(expected), rel=2e-6)
    close_trees(gradient, slope, 3e-6)


def test_what_a_mask_hides_teaches_nothing():
    image = picture(23, 31)
    mask = np.zeros((23, 31), bool)
    mask[4:9, 6:20] = True
    other = np.where(mask[..., None], image, 1 - image).astype(np.float32)
    for sampled in (Full(100), Strips(310), Pixels(64)):
        one, params, _ = build(image, sampled=sampled, mask=mask)
        two, _, _ = build(other, sampled=sampled, mask=mask)
        for a, b in zip(
            jax.tree.leaves(step(one, params, KEY)),
            jax.tree.leaves(step(two, params, KEY)),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_one_visible_pixel():
    image, mask = picture(6, 9), np.zeros((6, 9), bool)
    mask[2, 7] = True
    for sampled in (Full(16), Pixels(20)):
        problem, params, rebuild = build(image, sampled=sampled, mask=mask)
        (shown,) = ask(rebuild(params), centers(6, 9)[[2 * 9 + 7]])
        expected = float(np.mean((shown - image[2, 7]) ** 2))
        # one pixel's three terms: nothing but rounding
        assert float(step(problem, params, KEY)[0]) == pytest.approx(expected, rel=1e-6)


def test_strips_that_meet_hidden_pixels_alone_divide_by_no_zero():
    image, mask = picture(24, 8), np.zeros((24, 8), bool)
    mask[0, 0] = True
    problem, params, _ = build(image, sampled=Strips(8), mask=mask)
    for seed in range(30):
        loss, gradient = step(problem, params, jax.random.key(seed))
        assert np.isfinite(
            [float(loss), *(float(v.sum()) for v in jax.tree.leaves(gradient))]
        ).all()


# --- which pixels ---------------------------------------------------------------------
def drawn(problem, draws):
    """Return the batches of many keys, one after another, as numpy arrays."""
    keys = jax.random.split(jax.random.key(11), draws)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(problem.batch))(keys))


@pytest.mark.parametrize(
    ("points", "shown"), [(16, None), (16, 200), (100, 299), (100, 130), (100, 7), (300, None)]
)
def test_pixels_are_drawn_evenly_from_what_is_visible(points, shown):
    height, width = 15, 20
    total = height * width
    mask = None
    if shown is not None:
        mask = np.zeros(total, bool)
        mask[np.random.default_rng(2).permutation(total)[:shown]] = True
        mask = mask.reshape(height, width)
    problem, _, _ = build(numbered(height, width), sampled=Pixels(points), mask=mask)
    batch = drawn(problem, 320_000 // points)
    index = np.rint(batch.target[:, 0] * total).astype(int)
    assert index.shape[1] == points
    where = centers(height, width)[index]
    # the coordinates are those of the pixels, up to their own rounding to float32
    np.testing.assert_allclose(batch.xs, where[..., 0], atol=1e-6)
    np.testing.assert_allclose(batch.ys, where[..., 1], atol=1e-6)
    visible = np.arange(total) if mask is None else np.flatnonzero(mask)
    counts = np.bincount(index.ravel(), minlength=total)
    assert counts.sum() == counts[visible].sum()  # never a hidden one
    mean = index.size / len(visible)
    # independent draws would vary by sqrt(mean), stratified ones by less; six of these are met
    # once in a billion. Draws that repeat, as a few pixels among many must, move together.
    spread = np.sqrt(mean * max(1, points / len(visible)))
    assert np.abs(counts[visible] - mean).max() < 6 * spread
    if points <= len(visible):
        # one in each run of the picture, so none twice
        assert all(len(np.unique(row)) == points for row in index[:200])


@pytest.mark.parametrize(("points", "rows"), [(100, 5), (0, 23), (1, 1)])
def test_strips_are_whole_rows_drawn_evenly(points, rows):
    height, width = 23, 20  # 0 points are at least 4096, here the whole picture
    mask = np.random.default_rng(3).random((height, width)) < 0.5
    problem, _, _ = build(numbered(height, width), sampled=Strips(points), mask=mask)
    draws = 6000
    batch = drawn(problem, draws)
    assert batch.target.shape == (draws, 1, rows, width)
    index = np.rint(batch.target[:, 0] * height * width).astype(int)
    row = index[:, :, 0] // width
    assert (index == row[..., None] * width + np.arange(width)).all()
    np.testing.assert_array_equal(batch.weight, mask[row])
    # the coordinates are those of the rows, up to their own rounding to float32
    np.testing.assert_allclose(batch.ys, (2 * row + 1 - height) / height, atol=1e-6)
    counts = np.bincount(row.ravel(), minlength=height)
    mean = draws * rows / height
    # as for pixels: six deviations of independent draws
    assert np.abs(counts - mean).max() < 6 * np.sqrt(mean)
    # and one in each part of the height: no two rows apart by more than two parts
    assert np.diff(np.sort(row, axis=1), axis=1).max(initial=0) <= np.ceil(2 * height / rows)


def test_a_sampled_loss_is_the_mean_over_its_batch():
    image = picture(23, 31)
    for sampled in (Pixels(100), Strips(200)):
        problem, params, rebuild = build(image, sampled=sampled)
        batch = jax.jit(Problem.batch)(problem, KEY)
        ys, xs = np.asarray(batch.ys), np.asarray(batch.xs)
        if isinstance(sampled, Strips):
            ys, xs = (v.ravel() for v in np.meshgrid(ys, xs, indexing="ij"))
        shown = ask(rebuild(params), np.stack([xs, ys], axis=-1)).astype(np.float64)
        truth = np.asarray(batch.target).reshape(3, -1).T
        # float32 against float64 means of some hundred terms
        assert float(step(problem, params, KEY)[0]) == pytest.approx(
            float(np.mean((shown - truth) ** 2)), rel=2e-6
        )


def test_sampling_is_named_by_a_call():
    assert sampling("full(chunk=64)") == Full(64)
    assert sampling("strips(points=10)") == Strips(10)
    assert sampling("strips") == Strips(0)
    assert sampling("pixels") == Pixels(8192)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rows", "sampling 'rows' is unknown; known are full, pixels, strips"),
        ("pixels(points=0)", "points must be a whole number from 1, got 0"),
        ("pixels(points=2.5)", "points must be a whole number.*got 2.5"),
        ("strips(points=-1)", "points must be a whole number from 0, got -1"),
        ("full(points=5)", r"sampling 'full\(points=5\)' does not fit"),
        ("pixels(", "is not a name or a call"),
        ("pixels(points=open('x'))", "is not a name or a call"),
    ],
)
def test_a_sampling_that_is_none_says_so(text, said):
    with pytest.raises(ValueError, match=said):
        sampling(text)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (7, 300), (600, 500)])
@pytest.mark.parametrize("points", [1, 1000, 2048, 10**9])
def test_chunks_hold_every_row(size, points):
    chunks = chunks_of(size, points)
    rows = -(-size[0] // chunks)
    assert rows * chunks >= size[0]
    assert (chunks - 1) * rows < size[0]  # none of them is padding alone
    assert rows == 1 or rows * size[1] <= 1.5 * points


# --- what an 8-bit file would show ------------------------------------------------------
@pytest.mark.parametrize(
    ("size", "masked"), [((24, 32), False), ((23, 31), True), ((1, 40), False), ((40, 1), True)]
)
def test_squared_errors_are_those_of_8_bits(size, masked):
    image = picture(*size) * 1.4 - 0.2  # beyond 0 and 1, where both are clipped
    mask = np.random.default_rng(4).random(size) < 0.6 if masked else None
    problem, params, rebuild = build(image, sampled=Full(100), mask=mask)
    shown = ask(rebuild(params), centers(*size)).reshape(image.shape)
    levels = [np.rint(np.clip(v, 0, 1) * 255).astype(int) for v in (shown, image)]
    error = ((levels[0] - levels[1]) ** 2).sum(axis=2)
    inside = np.ones(size, bool) if mask is None else mask
    found = np.asarray(jax.jit(Problem.squared_errors)(problem, params), np.float64).sum(axis=1)
    # one value within a float32 rounding of a half may round to the other side
    np.testing.assert_allclose(found, [error[inside].sum(), error[~inside].sum()], atol=511)
    assert (found[1] > 0) == masked


def test_bfloat16_is_close_to_float32_and_is_used():
    image = picture(23, 31)
    exact, params, _ = build(image, sampled=Full(100))
    rounded, _, _ = build(image, sampled=Full(100), dtype="bfloat16")
    (a, ga), (b, gb) = (step(p, params, KEY) for p in (exact, rounded))
    # a bfloat16 has 8 bits: 0.4 % in each product, less in their sums
    assert 0 < abs(float(a) - float(b)) < 0.02 * float(a)
    va, vb = (np.concatenate([v.ravel() for v in jax.tree.leaves(g)]) for g in (ga, gb))
    assert va.dtype == vb.dtype == np.float32
    # so the gradients point the same way to about a degree
    assert va @ vb / np.linalg.norm(va) / np.linalg.norm(vb) > 0.999


# --- the sum over chunks ----------------------------------------------------------------
def _chunk(p, data, i):
    return jnp.sum(jnp.sin(p["a"] * data[i]) * p["b"])


DATA = jnp.asarray(np.random.default_rng(6).normal(size=(5, 4)), jnp.float32)
AT = {"a": jnp.array([0.3, -0.7, 1.1, 0.2]), "b": jnp.array(0.8)}


def test_the_sum_over_chunks_against_finite_differences():
    gradient = jax.grad(lambda p: sum_over_chunks(_chunk, p, DATA, 5))(AT)

    def value(a, b):  # in float64
        return float(np.sum(np.sin(a * np.asarray(DATA, np.float64)) * b))

    a, b, h = np.asarray(AT["a"], np.float64), 0.8, 1e-5
    steps = [(value(a + h * e, b) - value(a - h * e, b)) / (2 * h) for e in np.eye(4)]
    # the gradient's float32 holds 1e-7, of numbers of a few units
    np.testing.assert_allclose(gradient["a"], steps, atol=3e-6)
    assert float(gradient["b"]) == pytest.approx(value(a, 1.0), abs=3e-6)


def test_the_gradient_of_a_function_of_the_sum():
    def through(total):
        return lambda p: total(p) ** 2 / 3 + jnp.sum(jnp.square(p["a"])) - 4 * total(p)

    def chunked(p):
        return sum_over_chunks(_chunk, p, DATA, 5)

    def plain(p):
        return sum(_chunk(p, DATA, i) for i in range(5))

    found, expected = (jax.jit(jax.grad(through(total)))(AT) for total in (chunked, plain))
    close_trees(found, expected, 1e-6)  # another order of float32 sums
    assert float(chunked(AT)) == pytest.approx(float(plain(AT)), rel=1e-6)


# --- several devices --------------------------------------------------------------------
_TWO_DEVICES = """
import jax, numpy as np
from jax.sharding import Mesh
from small_fits import SPEC, compilations, picture, weights
from test_problem import KEY, build, close_trees, step
from coordnet import adam, fit, fitting, genetic
from coordnet._problem import Full, Pixels, Strips
import coordnet._plan as plan

assert jax.device_count() == 2
mesh = Mesh(np.array(jax.devices()), ("batch",))
image = picture(23, 31)
mask = np.random.default_rng(1).random((23, 31)) < 0.6
for sampled in (Full(100), Strips(186), Pixels(64)):
    one, params, _ = build(image, sampled=sampled, mask=mask)
    two, _, _ = build(image, sampled=sampled, mask=mask, mesh=mesh)
    (la, ga), (lb, gb) = step(one, params, KEY), step(two, params, KEY)
    assert abs(float(la) - float(lb)) <= 1e-5 * float(la), (sampled, la, lb)
    close_trees(gb, ga, 1e-5)
    draw = two.batch if not isinstance(sampled, Full) else lambda _: two.chunk(0)
    batch = jax.jit(draw)(KEY)
    shards = batch.target.addressable_shards
    assert [s.device.id for s in shards] == [0, 1]
    halves = [s.data.shape[1] for s in shards]  # channels first, then rows or points
    assert halves == [batch.target.shape[1] // 2] * 2, halves
    assert not np.array_equal(shards[0].data, shards[1].data)

# a whole fit: the same as on one device, and no program is compiled after the first look
shared = plan._mesh
bred = dict(trainer=genetic(individuals=8, elites=3, points=64))
for how in (dict(trainer=adam(1e-2), sampling="strips(points=186)"), bred):
    options = dict(steps=6, every=2, **how)
    plan._mesh = shared
    stream = fitting(image, SPEC, **options)
    first = next(stream)
    assert len(jax.tree.leaves(plan.nnx.state(first.net))[0].sharding.device_set) == 2
    with compilations() as counted:
        *_, last = stream
    assert counted == [0], counted
    plan._mesh = lambda: None
    single = fit(image, SPEC, **options)
    for a, b in zip(weights(last.net), weights(single), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
print("two devices agree")
"""


def test_two_devices_share_a_batch_and_agree_with_one():
    # one step to 1e-5; after six of Adam, whose first steps divide by tiny gradients, to 1e-4
    flags = "--xla_force_host_platform_device_count=2"
    done = python(_TWO_DEVICES, XLA_FLAGS=flags, JAX_PLATFORMS="cpu")
    assert done.stdout.strip() == "two devices agree", done.stderr[-3000:]
