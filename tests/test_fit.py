"""Fitting: budgets, snapshots, sameness, compilations, trainers, errors, Ctrl-C."""

import itertools
import math
import signal
import threading
import time
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from small_fits import (
    SPEC,
    Mine,
    as_users_run_it,
    compilations,
    picture,
    python,
    same_bytes,
    weights,
)

import coordnet as cn
from coordnet._fit import _first_ctrl_c, exhaust, start
from coordnet._metrics import psnr

IMAGE = picture()
RATE = cn.adam(1e-2)
PIXELS = "pixels(points=128)"


def fit(image=IMAGE, net: Any = SPEC, **options):
    return cn.fit(image, net, **{"trainer": RATE, "sampling": PIXELS} | options)


def fitting(image=IMAGE, net: Any = SPEC, **options):
    return cn.fitting(image, net, **{"trainer": RATE, "sampling": PIXELS} | options)


# --- budgets and cadence ----------------------------------------------------------------
def test_steps_are_exact_and_recorded():
    net = fit(steps=20, every=7)
    record = net.fitted
    assert (record.steps, record.stopped, record.size) == (20, "steps", (24, 32))
    assert [row[0] for row in record.history] == [7, 14, 20]
    assert record.psnr == pytest.approx(record.history[-1][2], abs=0.001)  # rounded to three
    assert record.hidden_psnr is None
    assert 0 < record.seconds < 60
    assert isinstance(net, cn.CoordNet)
    assert net.spec.size == (24, 32)


def test_the_recorded_psnr_is_that_of_the_render():
    net = fit(steps=20)
    # one value within a float32 rounding of half a level may round to the other side: of 2304
    # samples that changes the PSNR by less than a hundredth of a dB
    assert net.fitted.psnr == pytest.approx(psnr(IMAGE, cn.render(net)), abs=0.01)


def test_no_steps_give_the_network_as_it_starts():
    net = fit(steps=0, seed=4)
    assert (net.fitted.steps, net.fitted.stopped) == (0, "steps")
    assert same_bytes(weights(net), weights(cn.CoordNet(net.spec, seed=4)))
    assert [shot.step for shot in fitting(steps=0)] == [0]


@pytest.mark.parametrize(
    ("every", "steps"),
    [
        (5, [5, 10, 12]),
        (np.int64(5), [5, 10, 12]),
        (100, [12]),
        ([3, 4, 12, 40], [3, 4, 12]),
        ((n for n in (9, 2)), [2, 9, 12]),
        (range(0, 13, 6), [0, 6, 12]),
        (np.array([1, 11]), [1, 11, 12]),
        ([], [12]),
    ],
)
def test_every_is_a_number_or_steps(every, steps):
    with as_users_run_it():  # NumPy's whole numbers are no `int`
        shots = list(fitting(steps=12, every=every))
    assert [shot.step for shot in shots] == steps
    assert all(0 <= a.seconds <= b.seconds for a, b in itertools.pairwise(shots))
    # the loss is that of the last step; before the first there is none
    assert all(shot.loss > 0 or shot.step == 0 for shot in shots)


def test_without_every_one_looks_about_twice_a_second():
    shots = list(fitting(seconds=1.2))
    # at 0.5 and 1.0 s and at the end; a busy machine may miss one
    assert 2 <= len(shots) <= 4
    assert shots[-1].seconds >= 1.2


def test_seconds_count_running_alone():
    odd = picture(21, 33)  # a size of its own, so that there is something to compile
    started = time.perf_counter()
    net = fit(odd, seconds=0.3)
    whole = time.perf_counter() - started
    assert net.fitted.stopped == "seconds"
    # the last block of steps takes up to a quarter of a second, more on a busy machine
    assert 0.3 <= net.fitted.seconds < 1.5
    assert 0.05 < net.fitted.compile_seconds < whole - net.fitted.seconds + 0.05


def test_psnr_stops_at_the_first_look_that_reaches_it():
    free = [shot.psnr for shot in fitting(steps=60, every=5)]
    goal = (free[0] + free[-1]) / 2
    first = next(i for i, value in enumerate(free) if value >= goal)
    shots = list(fitting(steps=60, psnr=goal, every=5))
    assert [shot.psnr for shot in shots] == free[: first + 1]
    assert fit(psnr=goal, every=5).fitted.stopped == "psnr"


def test_patience_waits_so_many_steps_for_a_hundredth_of_a_db():
    still = optax.sgd(0.0)
    net = fit(trainer=still, patience=20, every=5)
    # the first look, at 5, is the best; 20 steps later there is none better
    assert (net.fitted.steps, net.fitted.stopped) == (25, "plateau")
    assert [shot.step for shot in fitting(trainer=still, patience=20)] == list(range(2, 23, 2))
    assert fit(patience=20, every=5, steps=30).fitted.stopped == "steps"  # it still learns


def test_the_first_budget_that_is_met_stops():
    assert fit(steps=3, seconds=60, psnr=99, patience=50).fitted.stopped == "steps"
    assert fit(steps=10**9, seconds=0.0).fitted.stopped == "seconds"
    assert fit(steps=10**9, psnr=0.0, every=4).fitted.steps == 4


def test_the_presets_steps_are_the_budget_of_none(monkeypatch):
    preset = cn.PRESETS["lenna"]._replace(steps=3)
    monkeypatch.setitem(cn.PRESETS, "short", preset)
    assert fit(net="short", sampling=None, trainer=None).fitted.steps == 3


# --- snapshots and sameness -------------------------------------------------------------
def test_the_network_of_a_snapshot_does_not_change():
    shots, kept = [], []
    for shot in fitting(steps=12, every=3):
        shots.append(shot)
        kept.append(weights(shot.net))
    assert not same_bytes(kept[0], kept[1])
    assert all(same_bytes(weights(s.net), k) for s, k in zip(shots, kept, strict=True))
    # and each is whole: it can be rendered after the fit is over
    assert psnr(IMAGE, cn.render(shots[0].net)) == pytest.approx(shots[0].psnr, abs=0.01)


@pytest.mark.parametrize("sampling", ["full", "strips(points=128)", PIXELS])
def test_one_seed_gives_the_same_bytes_whatever_the_cadence(sampling):
    nets = [fit(steps=40, seed=1, sampling=sampling, every=every) for every in (7, 7, 100, [1, 39])]
    assert all(same_bytes(weights(nets[0]), weights(net)) for net in nets[1:])
    stopped = fit(steps=50, psnr=nets[0].fitted.psnr - 1e-3, seed=1, sampling=sampling, every=40)
    assert same_bytes(weights(nets[0]), weights(stopped))
    assert not same_bytes(weights(nets[0]), weights(fit(steps=40, seed=2, sampling=sampling)))


def test_the_seed_draws_the_pixels_too():
    given = cn.CoordNet(SPEC, seed=0)
    a, b = (fit(init=given, net=None, steps=3, seed=seed) for seed in (1, 2))
    assert not same_bytes(weights(a), weights(b))


# --- compilations -----------------------------------------------------------------------
def test_the_second_picture_compiles_nothing():
    fit(steps=9, every=4)
    other = picture(turn=2.0)
    with compilations() as counted:
        net = fit(other, steps=11, every=3, seed=8)
        *_, shot = fitting(other, steps=5, every=[2])
    assert counted == [0]
    assert net.fitted.steps == 11
    assert shot.step == 5
    with compilations() as counted:
        fit(picture(24, 33), steps=1)
    assert counted[0] > 0  # the count counts


@pytest.mark.parametrize(
    "trainer",
    [cn.least_squares(), cn.lbfgs(), cn.ridge(RATE), cn.genetic(individuals=8, points=64)],
    ids=lambda trainer: type(trainer).__name__,
)
def test_the_second_picture_compiles_nothing_for(trainer):
    cn.fit(IMAGE, SPEC, trainer=trainer, steps=3)
    with compilations() as counted:
        cn.fit(picture(turn=2.0), SPEC, trainer=trainer, steps=4, seed=8)
    assert counted == [0]


def test_the_second_mask_compiles_nothing():
    draw = np.random.default_rng(0)
    masks = [draw.random((24, 32)) < part for part in (0.9, 0.1)]
    masks.append(np.ones((24, 32), bool))
    for sampling in ("full", PIXELS):
        fit(mask=masks[0], steps=3, sampling=sampling)
        with compilations() as counted:
            for mask in masks[1:]:
                fit(mask=mask, steps=3, sampling=sampling)
        assert counted == [0]


def test_a_preset_by_name_compiles_once():
    cn.fit(IMAGE, "lenna", steps=3)
    with compilations() as counted:
        cn.fit(1 - IMAGE, "lenna", steps=4)
    assert counted == [0]


# --- trainers ---------------------------------------------------------------------------
OPTIMIZERS = {
    "adam": (optax.adam(1e-2), PIXELS),
    "momentum": (optax.sgd(3e-2, momentum=0.9), PIXELS),
    "lbfgs": (optax.lbfgs(), "full"),
    "muon": (optax.contrib.muon(1e-2), PIXELS),
    "schedule_free": (optax.contrib.schedule_free_adamw(2e-2), PIXELS),
    "clipped schedule_free": (
        optax.chain(optax.clip(1.0), optax.contrib.schedule_free_adamw(2e-2)),
        PIXELS,
    ),
    "adan": (optax.adan(2e-2), PIXELS),
    "clipped": (optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2)), PIXELS),
    "scheduled": (optax.adam(optax.cosine_decay_schedule(2e-2, 60)), PIXELS),
    "half precision": (optax.adam(1e-2, mu_dtype=jnp.bfloat16), PIXELS),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_optax_transformation_trains(name):
    optimizer, sampling = OPTIMIZERS[name]
    shots = list(fitting(trainer=optimizer, sampling=sampling, steps=60, every=[1]))
    # the start is at about 9 dB, the mean colour at about 13
    assert shots[-1].psnr > max(shots[0].psnr + 1, 12.5)


def test_rprop_trains_on_the_full_picture():
    shots = list(fitting(trainer=cn.rprop(), sampling=None, steps=60, every=10))
    assert shots[-1].psnr > 15  # dB; the mean colour reaches about 13
    assert shots[-1].loss < shots[0].loss


def test_a_trainer_of_ones_own():
    class Halving:
        """Weights that halve, whatever the picture; state and numbers of one's own."""

        sampling = "full"

        def init(self, params, key):
            return {"steps": 0}

        def step(self, state, params, problem):
            loss = problem.loss_of(params, jax.random.key(0))
            halved = jax.tree.map(lambda p: p / 2, params)
            return {"steps": state["steps"] + 1}, halved, {"loss": loss}

        def shown(self, state, params):
            return params

    net = fit(trainer=Halving(), sampling=None, steps=3)
    begun = weights(cn.CoordNet(net.spec))
    assert same_bytes(weights(net), [w / 8 for w in begun])


# --- networks ---------------------------------------------------------------------------
def test_a_module_of_ones_own_is_fitted_and_rendered():
    mine = Mine()
    before = weights(mine)
    shots = list(fitting(net=mine, steps=60, every=10))
    assert shots[-1].psnr > shots[0].psnr + 1
    net = fit(net=mine, steps=60, every=10)
    assert type(net) is Mine
    assert same_bytes(weights(net), weights(shots[-1].net))
    assert same_bytes(weights(mine), before)
    image = cn.render(net)
    assert image.shape == (24, 32, 3)
    assert psnr(IMAGE, image) == pytest.approx(shots[-1].psnr, abs=0.01)  # roundings, as above


@pytest.mark.parametrize("as_init", [True, False])
def test_a_fit_goes_on_from_a_fitted_network(as_init):
    given = fit(steps=60, trainer=optax.adam(1e-2))  # no average: what moves is what is shown
    before = weights(given)
    options = {"net": None, "init": given} if as_init else {"net": given}
    assert fit(**options, steps=0).fitted.psnr == pytest.approx(given.fitted.psnr, abs=1e-6)
    further = fit(**options, steps=60, seed=5)
    assert further.fitted.psnr > given.fitted.psnr
    assert same_bytes(weights(given), before)
    assert given.fitted.steps == 60


def test_a_network_goes_on_with_a_larger_picture():
    small = fit(steps=10)
    larger = picture(48, 64)
    net = fit(larger, None, init=small, steps=0)
    assert net.spec.size == (48, 64)
    assert same_bytes(weights(net), weights(small))
    assert net.fitted.psnr == pytest.approx(psnr(larger, cn.render(net)), abs=0.01)


def test_a_grid_goes_on_with_pictures_of_its_proportions():
    grid = cn.CoordNet(cn.Spec(encoding="grid(levels=(8,))", width=8, depth=1, size=(24, 32)))
    plan = start({"image": picture(48, 64), "init": grid}).run.plan
    assert getattr(plan.net, "spec").size == (48, 64)  # noqa: B009, of a module of any class
    assert same_bytes(weights(plan.net), weights(grid))
    with pytest.raises(ValueError, match=r"of a picture of \(24, 32\).*\(32, 24\)"):
        fitting(picture(32, 24), None, init=grid)


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_alpha(channels):
    image = picture(channels=channels)
    net = fit(image, steps=60)
    assert cn.render(net).shape == image.shape
    assert psnr(image, cn.render(net)) == pytest.approx(net.fitted.psnr, abs=0.01)  # as above
    assert net.fitted.psnr > 12


@pytest.mark.parametrize(
    ("size", "net"), [((1, 1), "grid"), ((1, 40), "lenna"), ((40, 1), "grid"), ((40, 1), "lenna")]
)
def test_the_thinnest_pictures(size, net):
    image = picture(*size, turn=1.0)
    fitted = fit(image, net, trainer=None, sampling=None, steps=3)
    assert cn.render(fitted).shape == image.shape
    # of so few samples one that rounds to the other side counts for more
    assert psnr(image, cn.render(fitted)) == pytest.approx(fitted.fitted.psnr, abs=0.2)


def test_a_mask_reports_both_sides():
    mask = np.zeros((24, 32), bool)
    mask[:, :20] = True
    net = fit(mask=mask, steps=300)
    error = (np.rint(np.clip(cn.render(net), 0, 1) * 255) - np.rint(IMAGE * 255)) ** 2
    inside, outside = (10 * np.log10(255**2 / error[m].mean()) for m in (mask, ~mask))
    # one value that rounds to the other side, as above
    assert net.fitted.psnr == pytest.approx(inside, abs=0.02)
    assert net.fitted.hidden_psnr == pytest.approx(outside, abs=0.02)
    assert net.fitted.psnr > net.fitted.hidden_psnr  # the right of the picture was not seen


def test_half_precision_products_train():
    a, b = (fit(steps=60, dtype=dtype) for dtype in ("float32", "bfloat16"))
    assert not same_bytes(weights(a), weights(b))
    assert weights(b)[0].dtype == np.float32
    assert b.fitted.psnr > a.fitted.psnr - 1  # dB: 8 bits of mantissa suffice at 15 dB


# --- errors -----------------------------------------------------------------------------
def _grey():
    return IMAGE[..., 0]


def _nan():
    image = IMAGE.copy()
    image[3, 4, 1] = np.nan
    return image


class Noisy(Mine):
    """A network that is not a function of the point alone."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def __call__(self, points):
        return self.layer(super().__call__(points))


BAD = {
    "two axes": ({"image": _grey()}, ValueError, r"`image`.*got \(24, 32\).*None"),
    "two channels": ({"image": IMAGE[..., :2]}, ValueError, r"`image`.*got \(24, 32, 2\)"),
    "no rows": ({"image": IMAGE[:0]}, ValueError, r"`image`.*got \(0, 32, 3\)"),
    "bytes": ({"image": IMAGE.astype(np.uint8)}, TypeError, "`image`.*got uint8; divide"),
    "nan": ({"image": _nan()}, ValueError, "`image`.*got 1 NaN"),
    "a path": ({"image": "lenna.png"}, TypeError, "`image`.*got str; .*read_image"),
    "net name": (
        {"net": "sirene"},
        ValueError,
        r"preset 'sirene' is unknown; did you mean 'siren'\? known are grid",
    ),
    "net kind": ({"net": 5}, TypeError, "`net` must be.*got int"),
    "net and init": (
        {"net": cn.CoordNet(SPEC), "init": cn.CoordNet(SPEC)},
        ValueError,
        "as `net` or as `init`; got both",
    ),
    "init kind": ({"net": None, "init": "a.safetensors"}, TypeError, "`init`.*got str"),
    "init's spec": (
        {"init": cn.CoordNet(cn.Spec(width=5, depth=1))},
        ValueError,
        "`init` is Spec.*width=5.*not the Spec.*width=16",
    ),
    "channels": ({"net": Mine(1)}, ValueError, r"\(2, 1\).*must be \(2, 3\)"),
    "steps": ({"steps": -1}, ValueError, "`steps` must be.*at least 0, got -1"),
    "half steps": ({"steps": 2.5}, ValueError, "`steps` must be a whole number.*got 2.5"),
    "seconds": ({"seconds": -0.5}, ValueError, "`seconds` must be at least 0, got -0.5"),
    "seconds text": ({"seconds": "5"}, ValueError, "`seconds` must be at least 0, got '5'"),
    "psnr": ({"psnr": math.nan}, ValueError, "`psnr` must be at least 0, got nan"),
    "patience": ({"patience": 0}, ValueError, "`patience` must be.*at least 1, got 0"),
    "every": ({"every": 0}, ValueError, "`every` must be at least 1 step.*got 0"),
    "every half": ({"every": 0.5}, ValueError, "`every` must be.*got 0.5"),
    "every text": ({"every": "5"}, ValueError, "`every` must be.*got '5'"),
    "trainer": ({"trainer": 5}, TypeError, "`trainer` must be.*got 5"),
    "trainer's name": ({"trainer": "adan"}, ValueError, "trainer 'adan' is unknown; did you mean"),
    "trainer's number": ({"trainer": "rprop(growth=2)"}, ValueError, "option 'growth' is unknown"),
    "sampling": ({"sampling": "rows"}, ValueError, "sampling 'rows' is unknown"),
    "loss": ({"loss": "l3"}, ValueError, "loss 'l3' is unknown; .*known are l2, l1, relative_l2"),
    "loss kind": ({"loss": abs}, ValueError, "loss <built-in function abs> is unknown"),
    "a name for ones own": (
        {"net": "lenna", "init": Mine()},
        ValueError,
        "`init` is Mine, not the Spec.*asked for",
    ),
    "dtype": ({"dtype": "float16"}, ValueError, "`dtype` must be.*got 'float16'"),
    "their dtype": ({"net": Mine(), "dtype": "bfloat16"}, ValueError, "`dtype` is for CoordNet"),
    "mask shape": ({"mask": np.ones((3, 3), bool)}, ValueError, r"`mask`.*got bool \(3, 3\)"),
    "mask kind": ({"mask": np.ones((24, 32))}, ValueError, "`mask`.*got float64"),
    "mask of none": ({"mask": np.zeros((24, 32), bool)}, ValueError, "`mask` hides every pixel"),
    "checkpoint_every": (
        {"checkpoint_every": 5},
        ValueError,
        "`checkpoint_every` needs a file.*`checkpoint`",
    ),
    "checkpoint_every what": ({"checkpoint_every": 0}, ValueError, "from 1, got 0"),
    "dropout": ({"net": Noisy(nnx.Dropout(0.5, rngs=nnx.Rngs(0)))}, ValueError, "random keys"),
    "batch norm": (
        {"net": Noisy(nnx.BatchNorm(3, rngs=nnx.Rngs(0)))},
        ValueError,
        "Noisy holds.*running statistics",
    ),
    "too wide": ({"net": cn.Spec(width=10**6)}, ValueError, "weights are too many, .* GB"),
    "uncalled": ({"trainer": cn.adam}, TypeError, "or this function called"),
    "trainer's rate": ({"trainer": "adam(rate=-1)"}, ValueError, "rate must be above 0, got -1"),
}


@pytest.mark.parametrize("name", BAD)
def test_errors_come_before_any_work_and_say_what(name):
    options, kind, said = BAD[name]
    with as_users_run_it():
        with pytest.raises(kind, match=said):
            fitting(**options)  # not even asked for its first snapshot
        with pytest.raises(kind, match=said):
            fit(**options)


# --- when it goes wrong -----------------------------------------------------------------
def bursting(step, after=1e30):
    """Return a rate that is good until a step and absurd from it on."""
    return optax.sgd(lambda count: jnp.where(jnp.asarray(count) < step, 5e-2, after))


def test_a_fit_that_diverges_returns_the_best_network():
    trainer = bursting(12)
    with pytest.warns(cn.DivergedWarning, match=r"diverged at step 1\d.*network of step 12"):
        net = fit(trainer=trainer, steps=40, every=4)
    assert (net.fitted.stopped, net.fitted.steps) == ("diverged", 12)
    assert all(np.isfinite(w).all() for w in weights(net))
    assert same_bytes(weights(net), weights(fit(trainer=trainer, steps=12, every=4)))


def test_a_fit_that_diverges_at_once_is_an_error():
    with pytest.raises(FloatingPointError, match=r"diverged by step.*a lower rate"):
        fit(trainer=bursting(0), steps=40, every=100)


def test_a_stream_that_diverges_ends_with_a_warning():
    with pytest.warns(cn.DivergedWarning, match=r"diverged at step 1\d") as caught:
        shots = list(fitting(trainer=bursting(12), steps=40, every=4))
    assert [shot.step for shot in shots] == [4, 8, 12]
    assert caught[0].filename == __file__
    assert all(math.isfinite(shot.psnr) for shot in shots)


def test_a_huge_rate_gives_finite_weights_or_an_error():
    try:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            net = fit(trainer=optax.sgd(1e6), steps=200, every=1)
    except FloatingPointError:
        return
    assert all(np.isfinite(w).all() for w in weights(net))
    assert math.isfinite(net.fitted.psnr)


def test_a_last_step_that_breaks_the_network_is_seen():
    # the loss of a step is that before its update: only the look at the end can tell
    explode = optax.sgd(lambda count: jnp.where(jnp.asarray(count) < 7, 5e-2, jnp.nan))
    with pytest.warns(cn.DivergedWarning, match="network of step 4"):
        net = fit(trainer=explode, steps=8, every=4)
    assert net.fitted.steps == 4
    assert all(np.isfinite(w).all() for w in weights(net))


# --- Ctrl-C -----------------------------------------------------------------------------
def test_ctrl_c_returns_the_best_network_so_far():
    before = signal.getsignal(signal.SIGINT)

    def press():
        deadline = time.monotonic() + 60
        while signal.getsignal(signal.SIGINT) is before and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.warns(RuntimeWarning, match=r"was interrupted at step \d+"):
        net = fit(seconds=60)
    thread.join()
    assert net.fitted.stopped == "interrupt"
    assert net.fitted.seconds < 30
    assert psnr(IMAGE, cn.render(net)) == pytest.approx(net.fitted.psnr, abs=0.01)  # as above
    assert signal.getsignal(signal.SIGINT) is before


_PROCESS = """
import os, signal, threading, time, warnings
import coordnet as cn
from small_fits import SPEC, picture
from test_fit import bursting

before = signal.getsignal(signal.SIGINT)

def press():
    while signal.getsignal(signal.SIGINT) is before:
        time.sleep(0.01)
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=press).start()
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    print(cn.fit(picture(), SPEC, seconds=60).fitted.stopped)
    print(cn.fit(picture(), SPEC, trainer=bursting(3), steps=20, every=2).fitted.stopped)
print([(warning.category.__name__, warning.filename) for warning in seen])
"""


def test_ctrl_c_and_warnings_in_a_process_of_their_own():
    done = python(_PROCESS)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [
        "interrupt",
        "diverged",
        # at the line that called fit, not inside the library
        "[('RuntimeWarning', '<string>'), ('DivergedWarning', '<string>')]",
    ]


def test_the_best_is_not_the_last():
    # after step 8 it climbs away from the picture, without bursting
    climbing = optax.sgd(lambda count: jnp.where(jnp.asarray(count) < 8, 5e-2, -5e-2))
    options = {"image": IMAGE, "net": SPEC, "trainer": climbing, "sampling": "full", "every": 4}

    def watch(shot):
        if shot.step == 16:
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(RuntimeWarning, match="network of step 8"):
        net = exhaust(start(options | {"steps": 10**6}), False, watch)
    assert net.fitted.steps == 8
    assert net.fitted.psnr == pytest.approx(max(row[2] for row in net.fitted.history), abs=1e-3)


def test_a_second_ctrl_c_raises():
    before = signal.getsignal(signal.SIGINT)

    def watch(shot):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    options = {"image": IMAGE, "net": SPEC, "trainer": RATE, "sampling": PIXELS}
    with pytest.raises(KeyboardInterrupt):
        exhaust(start(options | {"steps": 10**6, "every": 4}), False, watch)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_two_seconds_later_is_a_first_one(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("coordnet._fit.time.monotonic", lambda: now[0])
    with _first_ctrl_c() as pressed:
        assert not pressed()
        signal.raise_signal(signal.SIGINT)
        assert pressed()
        now[0] += 2.1
        signal.raise_signal(signal.SIGINT)
        now[0] += 1.9
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_fit_in_another_thread():
    nets = []
    thread = threading.Thread(target=lambda: nets.append(fit(steps=9, seed=1)))
    thread.start()
    thread.join()
    assert same_bytes(weights(nets[0]), weights(fit(steps=9, seed=1)))


def test_a_caller_may_leave():
    shot = None
    for shot in fitting(steps=10**9, every=3):
        if shot.step == 6:
            break
    assert shot is not None
    assert shot.step == 6
    assert cn.render(shot.net).shape == IMAGE.shape  # what it has stays its own


# --- the progress bar -------------------------------------------------------------------
def test_progress_is_drawn_when_asked_for_and_off_when_nobody_watches(capfd):
    fit(steps=9)
    assert capfd.readouterr() == ("", "")
    net = fit(steps=9, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "step 9" in err
    assert f"{net.fitted.psnr:.2f} dB" in err


def test_a_hosts_own_handler_is_left_alone(monkeypatch):
    # one that was not set from Python reads as None, and could not be put back
    monkeypatch.setattr(signal, "getsignal", lambda _: None)
    monkeypatch.setattr(signal, "signal", None)  # not to be called
    with _first_ctrl_c() as interrupted:
        assert not interrupted()
