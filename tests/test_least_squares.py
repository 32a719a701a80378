"""Levenberg-Marquardt and the last layer in closed form, against NumPy and SciPy."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
import scipy.special
from flax import nnx
from jax.flatten_util import ravel_pytree
from small_fits import SPEC, Mine, picture, same_bytes, weights

import coordnet as cn
from coordnet import CoordNet, Spec
from coordnet._nets import tensor_name
from coordnet._problem import Full, make_problem
from coordnet.trainers import Gradient, _least_squares, _ridge, least_squares, ridge

IMAGE = picture()
LINEAR = Spec(encoding="octaves(octaves=2)", depth=0)


def fit(image=IMAGE, net: Any = SPEC, **options: Any):
    options = {"trainer": least_squares(warmup=0), "progress": False} | options
    return cn.fit(image, net, **options)


def problem_of(spec, image=IMAGE, **options):
    net = CoordNet(spec)
    graphdef, params, rest = nnx.split(net, nnx.Param, ...)
    return make_problem(image, graphdef, rest, sampled=Full(), **options), params


# --- the Jacobian ------------------------------------------------------------------------
@pytest.mark.parametrize(
    "spec",
    [
        Spec(width=7, depth=2, activation="tanh", output="sigmoid"),
        Spec(width=5, depth=1, activation="sine", encoding="octaves(octaves=3)", channels=1),
        Spec(depth=0, channels=4),
    ],
    ids=str,
)
def test_the_jacobian_is_that_of_automatic_differentiation(spec):
    net = CoordNet(spec, seed=3)
    graphdef, params, rest = nnx.split(net, nnx.Param, ...)
    flat, unravel = ravel_pytree(params)
    ys, xs = jnp.linspace(-1, 1, 6), jnp.linspace(0.5, -0.5, 6)
    expected = jax.jacrev(lambda w: nnx.merge(graphdef, unravel(w), rest).points(ys, xs))(flat)
    out, columns = net.jacobian(ys, xs)
    np.testing.assert_allclose(out, net.points(ys, xs), atol=1e-6)
    mine = np.concatenate(
        [columns[tensor_name(path)] for path, _ in jax.tree.leaves_with_path(params)]
    )
    # the same sums in another order, in float32
    np.testing.assert_allclose(mine.transpose(1, 2, 0), expected, atol=1e-5)


# --- samples -----------------------------------------------------------------------------
def pixels_of(problem, count, points, key=0):
    """The places of a sample's pixels that count, as (row, column)."""
    found = []
    for i in range(count):
        batch = problem.part(jax.random.key(key), jnp.int32(i), jnp.int32(count), points)
        kept = np.asarray(batch.weight) > 0
        ys, xs = np.asarray(batch.ys)[kept], np.asarray(batch.xs)[kept]
        found += list(zip(ys.tolist(), xs.tolist(), strict=True))
    return found


@pytest.mark.parametrize(("count", "points"), [(3, 256), (1, 768), (7, 200)])
def test_a_sample_as_large_as_the_picture_is_each_pixel_once(count, points):
    problem, _ = problem_of(SPEC)
    found = pixels_of(problem, count, points)
    assert len(found) == len(set(found)) == 24 * 32


def test_a_sample_as_large_as_what_a_mask_shows_is_that():
    mask = np.arange(24 * 32).reshape(24, 32) % 5 > 0
    problem, _ = problem_of(SPEC, mask=mask)
    found = set(pixels_of(problem, 4, 200))
    ys, xs = np.asarray(problem.ys), np.asarray(problem.xs)
    assert found == {(float(ys[i]), float(xs[j])) for i, j in np.argwhere(mask)}


@pytest.mark.parametrize("key", range(3))
@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_smaller_sample_lies_evenly(count, key):
    problem, _ = problem_of(SPEC)
    found = pixels_of(problem, count, 100, key)
    assert len(found) == count * 100
    assert len(set(found)) == count * 100  # a pixel never comes twice
    rows = np.array([y for y, _ in found])
    # of each third of the height a third, give or take a run of pixels
    for third in np.array_split(np.asarray(problem.ys[:24]), 3):
        share = np.mean((rows >= third[0]) & (rows <= third[-1]))
        assert share == pytest.approx(1 / 3, abs=0.05)


# --- steps -------------------------------------------------------------------------------
def of_lstsq(spec, image):
    """The picture of the best last layer, by NumPy in float64."""
    net = CoordNet(spec)
    ys, xs = cn.grid(*image.shape[:2])[:, ::-1].T
    features = np.asarray(net.last_features(jnp.asarray(ys), jnp.asarray(xs)), np.float64).T
    design = np.concatenate([features, np.ones_like(features[:, :1])], axis=1)
    target = image.reshape(-1, image.shape[2])
    solution, *_ = np.linalg.lstsq(design, target, rcond=None)
    return (design @ solution).reshape(image.shape)


def test_a_linear_network_is_solved_in_a_few_steps():
    net = fit(net=LINEAR, steps=6)  # the damping falls threefold at each: 1e-2 / 3^5
    error = np.mean(np.square(cn.render(net) - IMAGE))
    assert error == pytest.approx(np.mean(np.square(of_lstsq(LINEAR, IMAGE) - IMAGE)), rel=1e-3)


def test_scipy_finds_no_better_from_there():
    spec = Spec(width=6, depth=1, activation="tanh")
    net = fit(net=spec, steps=200)
    graphdef, params, rest = nnx.split(net, nnx.Param, ...)
    problem = make_problem(IMAGE, graphdef, rest, sampled=Full())
    flat, unravel = ravel_pytree(params)
    batch = problem.part(jax.random.key(0), jnp.int32(0), jnp.int32(1), 24 * 32)

    @jax.jit
    def residuals(w):
        return (problem.predict(unravel(w), batch) - batch.target).ravel()

    jacobian = jax.jit(jax.jacfwd(residuals))
    theirs = scipy.optimize.least_squares(
        lambda w: np.asarray(residuals(jnp.asarray(w, jnp.float32)), np.float64),
        np.asarray(flat, np.float64),
        jac=lambda w: np.asarray(jacobian(jnp.asarray(w, jnp.float32)), np.float64),  # type: ignore
        method="lm",
        max_nfev=100,
    )
    ours = float(jnp.sum(jnp.square(residuals(flat))))
    # valleys are long and flat, and SciPy walks them in float64
    assert ours < 1.02 * 2 * theirs.cost


def test_the_warm_up_is_adams_and_ends():
    shots = list(cn.fitting(IMAGE, SPEC, trainer=least_squares(warmup=3), steps=12, every=1))
    psnrs = [shot.psnr for shot in shots]
    assert psnrs[2] > psnrs[0] + 1
    # what follows is as good as ever: from there a few steps bring what Adam takes hundreds for
    assert psnrs[-1] > psnrs[2] + 3


def test_a_warm_up_that_would_shake_a_network_apart_slows_down():
    # sines come undone at Adam's usual rate
    spec = Spec(width=24, depth=3, activation="sine(omega=30)")
    net = fit(picture(48, 48), spec, trainer=least_squares(warmup=8), steps=8, every=1)
    psnrs = [psnr for _, _, psnr in net.fitted.history]
    assert all(b > a - 0.5 for a, b in itertools.pairwise(psnrs))  # samples differ
    assert psnrs[-1] > 25


def test_conjugate_gradients_come_near_the_exact_step():
    exact = fit(steps=10).fitted.psnr
    iterated = fit(steps=10, trainer=least_squares(warmup=0, iterations=40)).fitted.psnr
    start = fit(steps=0).fitted.psnr
    assert exact > start + 8
    assert iterated > start + 0.7 * (exact - start)


def test_a_larger_sample_is_solved_by_the_matrix_of_a_smaller_one(monkeypatch):
    image = picture(96, 96)
    monkeypatch.setattr(_least_squares, "_POINTS", 256)  # the picture is 36 parts
    problem, params = problem_of(SPEC, image)
    trainer = least_squares(warmup=0)

    def walked(matrix, count):
        monkeypatch.setattr(_least_squares, "_MATRIX", matrix)
        state = trainer.init(params, jax.random.key(0))._replace(parts=jnp.int32(count))
        step = jax.jit(lambda *a: trainer.step(*a))  # a new function: nothing patched is kept
        now, losses = params, []
        for _ in range(12):
            state, now, info = step(state, now, problem)
            losses.append(float(info["loss"]))
        return losses

    exact, iterated = walked(36, 36), walked(4, 36)
    assert iterated[1] == pytest.approx(exact[1], rel=0.02)  # the first step, to 1 % of a residual
    assert iterated[-1] < 2 * exact[-1]  # later ones part, for dampings do


def test_it_never_goes_up_on_a_whole_picture():
    # 768 pixels are less than one part: every step sees all of them
    shots = cn.fitting(IMAGE, SPEC, trainer=least_squares(warmup=0), steps=30, every=1)
    history = [shot.psnr for shot in shots]
    assert np.diff(history).min() > -0.02  # dB: of rounding to 8 bits
    assert history[-1] > 30


@pytest.mark.parametrize("net", [SPEC, Spec(width=8, depth=1, activation="relu")], ids=str)
def test_a_flat_picture_leaves_no_nan(net):
    net = fit(np.full((12, 12, 1), 0.5, np.float32), net, steps=40)
    assert all(np.isfinite(leaf).all() for leaf in weights(net))
    assert net.fitted.psnr > 40


def test_a_mask_hides_its_pixels():
    mask = np.ones((24, 32), bool)
    mask[8:16, 8:24] = False
    wrong = IMAGE.copy()
    wrong[~mask] = 1 - wrong[~mask]
    a, b = (fit(image, steps=8, mask=mask) for image in (IMAGE, wrong))
    assert same_bytes(weights(a), weights(b))


def test_the_same_seed_gives_the_same_bytes_whatever_the_cadence():
    a, b = (fit(steps=9, every=every, seed=4) for every in (2, 9))
    assert same_bytes(weights(a), weights(b))


def test_a_checkpoint_goes_on_bit_for_bit(tmp_path):
    path = tmp_path / "fit.ckpt"
    fit(steps=5, checkpoint=path)
    assert same_bytes(weights(fit(steps=9, checkpoint=path)), weights(fit(steps=9)))


def test_any_module_by_conjugate_gradients():
    def reached(trainer):
        return list(cn.fitting(IMAGE, Mine(), trainer=trainer, steps=15, every=15))[-1].psnr

    assert reached(least_squares(warmup=0, iterations=20)) > reached(cn.adam()) + 3


@pytest.mark.parametrize(
    ("net", "says"),
    [
        (Spec(width=400, depth=3), "up to 20,000 weights, .* has 323,203 weights; .*iterations=20"),
        ("grid", "has weights beside its layers; .*iterations=20"),
    ],
    ids=["large", "grid"],
)
def test_what_it_cannot_serve_is_refused_before_any_work(net, says):
    with pytest.raises(ValueError, match=says):
        cn.fitting(IMAGE, net, trainer=least_squares())


@pytest.mark.parametrize("trainer", [least_squares(), ridge(least_squares())], ids=["", "ridge"])
@pytest.mark.parametrize("other", [{"loss": "l1"}, {"dtype": "bfloat16"}], ids=str)
def test_another_loss_or_precision_is_refused(trainer, other):
    with pytest.raises(ValueError, match="loss='l2', in dtype='float32' alone"):
        cn.fitting(IMAGE, SPEC, trainer=trainer, **other)
    cn.fitting(IMAGE, SPEC, trainer="auto", **other)  # which then takes the preset's


@pytest.mark.parametrize("trainer", [least_squares(), cn.genetic()], ids=["", "genetic"])
def test_a_sampling_that_would_have_no_effect_is_refused(trainer):
    with pytest.raises(ValueError, match="draws samples of its own; leave out sampling='strips"):
        cn.fitting(IMAGE, SPEC, trainer=trainer, sampling="strips(points=64)")
    cn.fitting(IMAGE, SPEC, trainer="auto", sampling="strips(points=64)")  # the preset's


def test_a_population_has_no_last_layer_for_ridge():
    with pytest.raises(ValueError, match=r"its own population.*genetic\(solve_last=True\)"):
        cn.fitting(IMAGE, SPEC, trainer=ridge(cn.genetic()))


class Layers(Mine):
    """Another's module, whose weights are named as those of a CoordNet."""

    def __init__(self):
        super().__init__()
        self.layers = nnx.List([self.first, self.last])
        del self.first, self.last

    def __call__(self, points):
        return self.layers[1](jnp.sin(5 * self.layers[0](points)))


@pytest.mark.parametrize("module", [Mine, Layers])
@pytest.mark.parametrize(
    ("trainer", "kind"),
    [
        (least_squares(), ValueError),
        (ridge(cn.adam()), TypeError),
        (cn.genetic(solve_last=True), TypeError),
    ],
    ids=["least squares", "ridge", "genetic"],
)
def test_what_knows_layers_refuses_other_modules_before_any_work(module, trainer, kind):
    with pytest.raises(kind, match=f"in a CoordNet, got {module.__name__}|of a CoordNet, got"):
        cn.fitting(IMAGE, module(), trainer=trainer)


@pytest.mark.parametrize("trainer", [least_squares(), cn.genetic(), ridge(cn.adam())])
@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 3, 1), (6, 7, 4)], ids=str)
def test_the_smallest_grey_and_transparent_pictures(trainer, shape):
    net = fit(np.full(shape, 0.25, np.float32), Spec(width=6, depth=1), trainer=trainer, steps=3)
    assert all(np.isfinite(leaf).all() for leaf in weights(net))


def test_auto_is_least_squares_where_it_is_ahead():
    auto, by_name, ours = (
        weights(fit(steps=4, trainer=trainer))
        for trainer in ("auto", "least_squares", least_squares())
    )
    assert same_bytes(auto, by_name)
    assert same_bytes(auto, ours)
    wide = Spec(width=52, depth=2, activation="tanh")  # 3071 weights
    for net in (wide, "grid", Spec(width=8, depth=1, activation="relu")):
        usual = weights(fit(net=net, steps=4, trainer=None))
        assert same_bytes(weights(fit(net=net, steps=4, trainer="auto")), usual)


@pytest.mark.parametrize(
    "options", [{"damping": 0.0}, {"iterations": -1}, {"damping": np.nan}, {"warmup": -1}], ids=str
)
def test_numbers_out_of_range(options):
    with pytest.raises(ValueError, match="damping above 0"):
        least_squares(**options)


# --- the last layer ------------------------------------------------------------------------
def test_the_last_layer_is_that_of_numpy():
    still = Gradient(optax.sgd(0.0))
    spec = Spec(width=12, depth=2, activation="tanh")
    net = fit(net=spec, trainer=ridge(still, share=1e-6), steps=1)
    error = np.mean(np.square(cn.render(net) - IMAGE))
    best = np.mean(np.square(of_lstsq(spec, IMAGE) - IMAGE))
    assert error == pytest.approx(best, rel=0.02)  # a little regularised


def test_of_a_sigmoid_the_logits_are_solved_for():
    still = Gradient(optax.sgd(0.0))
    spec = Spec(width=12, depth=2, activation="tanh", output="sigmoid")
    net = fit(net=spec, trainer=ridge(still, share=1e-5), steps=1)
    expected = scipy.special.expit(of_lstsq(spec, scipy.special.logit(IMAGE)))
    # a little regularised, which no logit near 0 or 1 enlarges: the picture is within 0.05..0.95
    assert net.fitted.psnr == pytest.approx(cn.psnr(expected, IMAGE), abs=0.1)


def test_a_solution_that_is_no_better_is_not_taken():
    # where all is black or white the logits' least squares are far from those of the picture
    still = Gradient(optax.sgd(0.0))
    spec = Spec(width=8, depth=2, activation="tanh", output="sigmoid")
    image = (picture() > 0.5).astype(np.float32)
    good = fit(image, spec, steps=60)
    again = cn.fit(
        image, init=good, trainer=ridge(still, every=1, share=1e-5), steps=3, progress=False
    )
    assert again.fitted.psnr >= good.fitted.psnr - 0.01


def _last(net: Any):
    return net.layers[1].weight[...]


@pytest.mark.parametrize(("every", "solved"), [(0, [1]), (1, [1, 2, 3, 4, 5, 6]), (3, [1, 4])])
def test_it_is_solved_as_often_as_asked(monkeypatch, every, solved):
    monkeypatch.setattr(_ridge, "solved", lambda params, *_: jax.tree.map(lambda v: v + 1, params))
    spec = Spec(width=12, depth=1, activation="tanh")
    trainer = ridge(Gradient(optax.sgd(0.0)), every=every)
    shots = cn.fitting(IMAGE, spec, trainer=trainer, steps=6, every=1)
    layers = [_last(CoordNet(spec, seed=0))]
    layers += [_last(shot.net) for shot in shots if shot.step]
    changed = [i for i in range(1, 7) if not np.array_equal(layers[i - 1], layers[i])]
    assert changed == solved
