"""The genetic trainer: what lives on, what children inherit, what it reaches."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_fits import SPEC, Mine, ask, picture, same_bytes, weights

import coordnet as cn
from coordnet._nets import CoordNet, Spec
from coordnet._problem import Full, make_problem
from coordnet.trainers import Genetic, genetic

IMAGE = picture()
SMALL = genetic(individuals=24, elites=6, points=1024)  # more than the 768 pixels: all of them


def fit(trainer=SMALL, net: Any = SPEC, **options):
    return cn.fit(IMAGE, net, trainer=trainer, progress=False, **options)


STEP = jax.jit(lambda trainer, *a: trainer.step(*a), static_argnums=0)


def started(trainer=SMALL, spec=SPEC):
    graphdef, params, rest = nnx.split(CoordNet(spec), nnx.Param, ...)
    problem = make_problem(IMAGE, graphdef, rest, sampled=Full())
    return trainer.init(params, jax.random.key(1)), params, problem


def test_the_best_is_never_lost_on_a_whole_picture():
    losses = [shot.loss for shot in cn.fitting(IMAGE, SPEC, trainer=SMALL, steps=60, every=1)]
    assert np.diff(losses).max() <= 1e-7  # the same pixels in another order, in float32
    assert losses[-1] < 0.5 * losses[0]


def test_the_network_shown_is_the_best():
    shot = list(cn.fitting(IMAGE, SPEC, trainer=SMALL, steps=20, every=20))[-1]
    error = np.mean(np.square(cn.render(shot.net) - IMAGE))
    # `render` clips to [0, 1], which can only bring it nearer
    assert error <= shot.loss * 1.0001
    assert error == pytest.approx(shot.loss, rel=0.05)


def test_a_snapshot_has_the_population_the_best_first():
    first, last = cn.fitting(IMAGE, SPEC, trainer=SMALL, steps=40, every=20)
    assert len(first.population) == len(last.population) == SMALL.elites
    assert same_bytes(weights(last.population[0]), weights(last.net))

    def errors(shot):
        points, colours = cn.grid(24, 32), IMAGE.reshape(-1, 3)
        return [np.mean(np.square(ask(net, points) - colours)) for net in shot.population]

    found = errors(last)
    assert all(a < 1.0001 * b for a, b in itertools.pairwise(found))  # float32's sums
    assert found[-1] > found[0]
    assert sum(errors(first)) > sum(found)  # what was shown stays as it was
    one, two = last.population[-2:]
    assert same_bytes(weights(one), weights(last.population[4]))
    assert not same_bytes(weights(one), weights(two))
    with pytest.raises(IndexError, match=r"network -?\d+ of a population of \d+"):
        last.population[6]


def test_a_network_fitted_by_gradients_has_no_population():
    assert next(cn.fitting(IMAGE, SPEC, steps=1, every=1)).population == ()


def test_the_first_is_the_network_given_and_the_others_are_like_it():
    state, params, _ = started()
    assert state.elites.shape == (6, sum(v.size for v in jax.tree.leaves(params)))
    flat = jnp.concatenate([v.ravel() for v in jax.tree.leaves(params)])
    np.testing.assert_array_equal(state.elites[0], flat)
    # shuffled, signs drawn anew: the same sizes in another order
    for other in state.elites[1:4]:
        np.testing.assert_array_equal(np.sort(np.abs(other)), np.sort(np.abs(flat)))
        assert not np.array_equal(other, flat)


def test_each_weight_of_a_child_is_one_of_two_parents():
    # mutations of 1e-30 move no weight but the zeros, and those by less than 1e-28; the first
    # generation has no strides yet
    trainer = Genetic(individuals=40, elites=4, points=1024, sigma=1e-30)
    state, params, problem = started(trainer)
    after, _, _ = STEP(trainer, state, params, problem)
    parents = np.asarray(state.elites[:4])
    for child in np.where(np.abs(after.elites) < 1e-28, 0, after.elites):
        if (child == parents).all(axis=1).any():
            continue
        from_whom = [set(np.flatnonzero(parents[:, i] == child[i])) for i in range(child.size)]
        assert all(from_whom)  # no weight of nobody's
        assert any(all(who & {a, b} for who in from_whom) for a in range(4) for b in range(4))


def test_mutations_inherit_their_deviation_and_vary_it():
    trainer = Genetic(sigma=0.1)
    state, _, _ = started(trainer, Spec(width=2, depth=1))
    keys = jax.random.split(jax.random.key(3), 500)
    _, _, sigmas = jax.jit(jax.vmap(trainer._child, (0, None)))(keys, state)
    logs = np.log(np.asarray(sigmas) / 0.1)
    # normal of deviation 0.6: the bounds are some five of its standard errors
    assert logs.mean() == pytest.approx(0.0, abs=0.14)
    assert logs.std() == pytest.approx(0.6, abs=0.1)


def test_a_deviation_has_a_least():
    trainer = Genetic(sigma=0.1)
    state, _, _ = started(trainer, Spec(width=2, depth=1))
    state = state._replace(sigmas=0 * state.sigmas)
    *_, sigma = trainer._child(jax.random.key(3), state)
    assert sigma == pytest.approx(0.001)


def test_one_that_became_no_number_does_not_breed():
    state, params, problem = started()
    state = state._replace(elites=state.elites.at[1].set(jnp.nan))
    after, moved, info = STEP(SMALL, state, params, problem)
    assert np.isfinite(info["loss"])
    assert np.isfinite(np.asarray(after.elites[0])).all()
    assert all(np.isfinite(np.asarray(v)).all() for v in jax.tree.leaves(moved))


def test_solving_the_last_layer_learns_more_in_as_many_generations():
    spec = Spec(width=12, depth=2, activation="tanh", output="sigmoid")
    solving = genetic(individuals=24, elites=6, points=1024, solve_last=True)
    assert fit(solving, spec, steps=15).fitted.psnr > fit(net=spec, steps=15).fitted.psnr + 2


@pytest.mark.parametrize("points", [16, 512])
def test_a_last_layer_that_overfits_its_sample_or_has_no_solution_is_not_taken(points):
    # 129 unknowns a channel: of 16 pixels there are many solutions, of 512 smooth features
    # float32 may find none
    spec = Spec(width=128, depth=3, activation="tanh")
    small = genetic(individuals=8, elites=3, points=points, solve_last=True)
    shots = list(cn.fitting(IMAGE, spec, trainer=small, steps=5, every=1))
    assert all(np.isfinite(shot.loss) for shot in shots)
    assert shots[-1].psnr > shots[0].psnr - 1


def test_solving_wide_last_layers_comes_to_an_end():
    # two batches of systems at once once waited on each other forever, within these generations
    spec = Spec(width=128, depth=3, activation="tanh")
    small = genetic(individuals=8, elites=3, points=512, solve_last=True)
    assert fit(small, spec, steps=60).fitted.steps == 60


def test_a_stride_is_gone_again():
    state, params, problem = started()
    after, _, _ = STEP(SMALL, state, params, problem)
    # the elites keep theirs, zero; a child's leads from a parent, an elite, to the child
    parents = np.asarray(state.elites[: SMALL.elites])
    for one, stride in zip(np.asarray(after.elites), np.asarray(after.strides), strict=True):
        if not stride.any():
            assert (one == parents).all(axis=1).any()
        else:
            assert np.abs(parents - (one - stride)).max(axis=1).min() < 1e-6  # float32


def test_a_hybrid_learns_more_in_as_many_generations():
    hybrid = genetic(individuals=24, elites=6, points=1024, gradient_steps=5)
    assert fit(hybrid, steps=15).fitted.psnr > fit(steps=15).fitted.psnr + 2


def test_the_same_seed_gives_the_same_bytes_and_another_others():
    a, b, other = (fit(steps=8, every=every, seed=s) for every, s in ((2, 0), (8, 0), (8, 1)))
    assert same_bytes(weights(a), weights(b))
    assert not same_bytes(weights(a), weights(other))


def test_any_module_has_genes():
    psnrs = [s.psnr for s in cn.fitting(IMAGE, Mine(), trainer=SMALL, steps=200, every=1)]
    assert psnrs[-1] > psnrs[0] + 1


def test_a_population_larger_than_memory_is_refused_before_any_work():
    with pytest.raises(ValueError, match=r"population of 10,000,000 networks of .* takes .* GB"):
        cn.fitting(IMAGE, "lenna", trainer=genetic(individuals=10_000_000))
    # 6000 units wide: what comes out of them is more than the weights
    with pytest.raises(ValueError, match="population of 1,000 networks"):
        cn.fitting(IMAGE, "mona_lisa_shallow", trainer=genetic(individuals=1000))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"elites": 1}, "at least 2 elites"),
        ({"individuals": 4}, "more individuals than elites"),
        ({"points": 0}, "at least 1 point"),
        ({"gradient_steps": -1}, "0 gradient_steps, got .*gradient_steps=-1"),
        ({"sigma": 0.0}, "sigma must be above 0"),
        ({"rate": -1.0}, "rate must be above 0"),
    ],
)
def test_numbers_out_of_range(options, says):
    with pytest.raises(ValueError, match=says):
        genetic(**options)
