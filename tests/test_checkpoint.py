"""Checkpoints: kills, resumes, refusals, broken files."""

import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors
from flax import nnx
from small_fits import (
    SPEC,
    Mine,
    as_users_run_it,
    child_environment,
    compilations,
    picture,
    python,
    same_bytes,
    weights,
)

import coordnet as cn
from coordnet import _fit, _plan, _run
from coordnet._checkpoint import fingerprint, read_checkpoint, write_checkpoint

IMAGE = picture()
RATE = cn.adam(1e-2)


def options(**more):
    return {"trainer": RATE, "sampling": "pixels(points=128)", "seed": 3} | more


def fit(image: Any = IMAGE, net: Any = SPEC, **more: Any):
    return cn.fit(image, net, **options(**more))


def step_of(path):
    """Return the step of a checkpoint, read by the plain format."""
    with safetensors.safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["record"])["step"]


# --- real kills -------------------------------------------------------------------------
STEPS, EVERY = 1200, 40
MINE = optax.chain(optax.clip_by_global_norm(1.0), optax.adan(5e-3))
KINDS = {
    "adam": {"trainer": cn.adam(1e-2, warmup=20), "sampling": "strips(points=128)"},
    "rprop": {"trainer": cn.rprop()},
    "foreign": {"trainer": MINE, "sampling": "pixels(points=128)"},
}

_CHILD = """
import sys
import numpy as np
from small_fits import SPEC, picture, weights
from test_checkpoint import EVERY, KINDS, STEPS
import coordnet as cn

folder = sys.argv[1]
for name, more in KINDS.items():
    shot = None
    path = f"{folder}/{name}.ckpt"
    # one look every 2 steps: enough work for a kill to fall into the middle of it
    for shot in cn.fitting(picture(), SPEC, steps=STEPS, every=2, seed=3,
                           checkpoint=path, checkpoint_every=EVERY, **more):
        if shot.step % EVERY == 2:
            print(name, shot.step, flush=True)
    np.savez(f"{folder}/{name}.npz", *weights(shot.net))
    print(name, "done", flush=True)
"""


def run_child(folder, kill_after):
    """Run the fits; kill at a moment, ``(kind, step)`` and a little more; return its lines."""
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    lines = []
    assert child.stdout is not None
    for line in child.stdout:
        name, step = line.split()
        lines.append((name, step))
        if kill_after and name == kill_after[0] and step != "done" and int(step) > kill_after[1]:
            time.sleep(random.Random(str(kill_after)).uniform(0, 0.05))
            os.kill(child.pid, signal.SIGKILL)
            break
    child.stdout.close()
    return lines, child.wait(60)


def test_killed_fits_end_as_uninterrupted_ones(tmp_path):
    kills = [("adam", 100), ("adam", 700), ("rprop", 500), ("foreign", 400)]
    last = {}
    for kill in kills:
        lines, code = run_child(tmp_path, kill)
        assert code == -signal.SIGKILL
        path = tmp_path / f"{kill[0]}.ckpt"
        assert 0 < step_of(path) < STEPS
        assert not (tmp_path / f"{kill[0]}.npz").exists()
        begun = next(int(step) for name, step in lines if name == kill[0])
        # it went on where the checkpoint was, not from the start
        assert begun >= last.get(kill[0], 0)
        last[kill[0]] = step_of(path)
    lines, code = run_child(tmp_path, None)
    assert code == 0
    assert int(next(step for name, step in lines if name == "foreign")) > last["foreign"]
    # the first two had been finished: no more than their last word
    assert [line for line in lines if line[0] != "foreign"] == [("adam", "done"), ("rprop", "done")]
    for name, more in KINDS.items():
        whole = cn.fit(picture(), SPEC, steps=STEPS, seed=3, **more)
        with np.load(tmp_path / f"{name}.npz") as file:
            assert same_bytes(list(file.values()), weights(whole)), name


# --- going on in one process ------------------------------------------------------------
@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.ckpt"


def test_a_finished_checkpoint_returns_at_once(path, monkeypatch):
    first = fit(steps=40, every=10, checkpoint=path)
    before = path.read_bytes()
    # reading a key from a file compiles one copy of two numbers, once in a process
    fit(steps=40, every=10, checkpoint=path)

    def no_training(*_):
        pytest.fail("it trains")

    monkeypatch.setattr(_run, "_advance", no_training)
    monkeypatch.setattr(_run, "_squared_errors", no_training)
    with compilations() as counted:
        again = fit(steps=40, every=10, checkpoint=path)
    assert counted == [0]
    assert same_bytes(weights(first), weights(again))
    assert (again.fitted.steps, again.fitted.stopped) == (40, "steps")
    assert again.fitted.psnr == first.fitted.psnr
    assert again.fitted.history == first.fitted.history
    assert path.read_bytes() == before
    # a smaller budget is met too, and so is a PSNR that was reached
    assert fit(steps=30, checkpoint=path).fitted.steps == 40
    assert fit(psnr=first.fitted.psnr - 1, checkpoint=path).fitted.steps == 40


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"trainer": cn.rprop(), "sampling": None},
        {"trainer": optax.contrib.schedule_free_adamw(1e-2)},
        {"trainer": optax.adam(1e-2, mu_dtype=jnp.bfloat16)},  # a state of another type
        {"trainer": optax.chain(optax.add_noise(0.1, 0.5, 7), optax.sgd(0.05))},  # with a key
    ],
)
def test_more_steps_go_on_as_if_never_stopped(path, more):
    fit(steps=20, checkpoint=path, **more)
    gone_on = fit(steps=45, checkpoint=path, **more)
    assert gone_on.fitted.steps == 45
    assert [row[0] for row in gone_on.fitted.history] == [20, 45]
    assert same_bytes(weights(gone_on), weights(fit(steps=45, **more)))


def test_a_plateau_is_an_end_too(path):
    still = optax.sgd(0.0)
    more: dict[str, Any] = {"trainer": still, "patience": 10, "every": 5, "checkpoint": path}
    assert fit(**more).fitted.stopped == "plateau"
    again = fit(**more)
    assert (again.fitted.steps, again.fitted.stopped) == (15, "plateau")
    more["patience"] = 30
    patient = fit(**more)  # more of it, and the fit goes on
    assert (patient.fitted.steps, patient.fitted.stopped) == (35, "plateau")


def test_checkpoints_are_written_as_often_as_asked(path, monkeypatch):
    written = []

    def note(path, tree, *, belongs, record):
        written.append(record["step"])
        write_checkpoint(path, tree, belongs=belongs, record=record)

    monkeypatch.setattr(_run, "write_checkpoint", note)
    fit(steps=25, every=100, checkpoint=path, checkpoint_every=10)
    assert written == [10, 20, 25]


def test_leaving_the_loop_leaves_a_checkpoint_of_that_moment(path):
    for shot in cn.fitting(IMAGE, SPEC, steps=60, every=7, checkpoint=path, **options()):
        if shot.step == 21:
            break
    assert step_of(path) == 21
    assert same_bytes(weights(fit(steps=60, checkpoint=path)), weights(fit(steps=60)))


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_leaves_a_checkpoint(path, times):
    def watch(shot):
        if shot.step == 8:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    started = _fit.start(
        {"image": IMAGE, "net": SPEC, "steps": 10**6, "every": 4, "checkpoint": path} | options()
    )
    kind = pytest.warns(RuntimeWarning) if times == 1 else pytest.raises(KeyboardInterrupt)
    with kind:
        _fit.exhaust(started, False, watch)
    step = step_of(path)
    assert 8 <= step < 10**6
    assert same_bytes(weights(fit(steps=step + 9, checkpoint=path)), weights(fit(steps=step + 9)))


def test_an_interrupt_inside_a_step_saves_nothing_half_moved(path, monkeypatch):
    advance = _run._advance
    calls = []

    def interrupted(trainer, params, state, problem, steps):
        step = sum(calls)
        out = advance(trainer, params, state, problem, steps)
        calls.append(steps)
        if step != 6:  # the checkpoint is that of step 4
            return out

        class Late:
            def __float__(self):  # the weights have moved, the step has not been counted
                raise KeyboardInterrupt

        return out[0], out[1], Late()

    monkeypatch.setattr(_run, "_advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(steps=40, every=[6], checkpoint=path, checkpoint_every=4)
    monkeypatch.undo()
    assert step_of(path) == 4
    assert same_bytes(weights(fit(steps=40, checkpoint=path)), weights(fit(steps=40)))


def test_a_fit_that_diverges_keeps_the_last_good_checkpoint(path):
    bursting = optax.sgd(lambda count: jnp.where(jnp.asarray(count) < 12, 5e-2, jnp.nan))
    with pytest.warns(cn.DivergedWarning):
        fit(trainer=bursting, steps=40, every=4, checkpoint=path, checkpoint_every=8)
    assert step_of(path) == 8
    with safetensors.safe_open(path, framework="numpy") as file:
        assert all(np.isfinite(file.get_tensor(name)).all() for name in file.keys())  # noqa: SIM118, no mapping


# --- checkpoints of another fit ---------------------------------------------------------
OTHERS = {
    "picture": {"image": picture(turn=1.0)},
    "picture's size": {"image": picture(24, 33)},
    "network": {"net": cn.Spec(width=17, depth=2, activation="tanh")},
    "activation": {"net": cn.Spec(width=16, depth=2, activation="gelu")},
    "learning rate": {"trainer": cn.adam(2e-2)},
    "optimizer": {"trainer": optax.adam(1e-2)},
    "seed": {"seed": 4},
    "points": {"sampling": "pixels(points=64)"},
    "loss": {"loss": "l1"},
    "dtype": {"dtype": "bfloat16"},
    "mask": {"mask": np.arange(24 * 32).reshape(24, 32) % 3 > 0},
    "start": {"net": None, "init": cn.CoordNet(SPEC, seed=9)},
    "start as net": {"net": cn.CoordNet(SPEC, seed=9)},
}
WHICH = {
    "picture": "another picture;",
    "picture's size": "another picture and another network;",
    "network": "another network;",
    "activation": "another network;",
    "learning rate": "another trainer;",
    "optimizer": "another trainer;",
    "seed": "another seed;",
    "points": "another sampling;",
    "loss": "another loss;",
    "dtype": "another dtype;",
    "mask": "another mask;",
    "start": "another .*starting network;",
    "start as net": "another .*starting network;",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "fit.ckpt"
    fit(steps=5, checkpoint=path)
    return path


@pytest.mark.parametrize("name", OTHERS)
def test_a_checkpoint_of_another_fit_is_refused_by_name(finished, name):
    before = finished.read_bytes()
    with pytest.raises(ValueError, match=f"belongs to {WHICH[name]}") as raised:
        fit(**OTHERS[name], steps=9, checkpoint=finished)
    assert not isinstance(raised.value, cn.FormatError)
    assert str(finished) in str(raised.value)
    assert finished.read_bytes() == before


def test_two_modules_of_ones_own_are_told_apart(path):
    first = fit(net=Mine(), steps=3, checkpoint=path)
    assert same_bytes(weights(fit(net=Mine(), steps=3, checkpoint=path)), weights(first))
    with pytest.raises(ValueError, match="another starting network;"):
        fit(net=Mine(seed=1), steps=3, checkpoint=path)


# --- broken files -----------------------------------------------------------------------
def _foreign(good, tmp_path):
    cn.save(cn.CoordNet(SPEC), tmp_path / "net.safetensors")
    return (tmp_path / "net.safetensors").read_bytes()


def _with_header(good, change):
    length = struct.unpack("<Q", good[:8])[0]
    header = json.loads(good[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + good[8 + length :]


def _metadata(name, text):
    return lambda good, _: _with_header(good, lambda h: h["__metadata__"].update({name: text}))


def _fewer(good, _):
    def change(header):
        names = sorted(n for n in header if n != "__metadata__")
        last = max(names, key=lambda n: header[n]["data_offsets"][1])
        header[last]["shape"] = [*header[last]["shape"], 1]

    return _with_header(good, change)


BROKEN = {
    "empty": lambda good, _: b"",
    "text": lambda good, _: b"not a checkpoint at all",
    "half": lambda good, _: good[: len(good) // 2],
    "a byte short": lambda good, _: good[:-1],
    "a byte more": lambda good, _: good + b"x",
    "huge header": lambda good, _: struct.pack("<Q", 2**60) + good[8:],
    "a saved network": _foreign,
    "no record": _metadata("record", "{}"),
    "record of a number": _metadata("record", "5"),
    "record no JSON": _metadata("record", "{"),
    "deep record": _metadata("record", "[" * 100_000),
    "belongs a list": _metadata("belongs", "[]"),
    "another shape": _fewer,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_checkpoint_is_a_format_error(finished, path, tmp_path, name):
    path.write_bytes(BROKEN[name](finished.read_bytes(), tmp_path))
    before = path.read_bytes()
    with pytest.raises(cn.FormatError, match=str(path)):
        fit(steps=9, checkpoint=path)
    assert path.read_bytes() == before  # it may be somebody's file


def test_a_flipped_byte_of_the_header_is_an_error_or_harmless(finished, path):
    good = finished.read_bytes()
    length = struct.unpack("<Q", good[:8])[0]
    draw = random.Random(0)
    tree = {"a": jnp.zeros(3)}
    for _ in range(300):
        broken = bytearray(good)
        broken[draw.randrange(8 + length)] ^= 1 << draw.randrange(8)
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=str(path)):  # of which FormatError is one
            read_checkpoint(path, tree, belongs={})


# --- where it is written ----------------------------------------------------------------
def test_a_folder_that_is_missing_is_an_error_before_any_work(tmp_path, monkeypatch):
    def no_work(*_, **__):
        pytest.fail("it works")

    monkeypatch.setattr(_plan, "CoordNet", no_work)
    monkeypatch.setattr(_fit, "make_plan", no_work)
    with pytest.raises(FileNotFoundError, match="does not exist; create it first"):
        cn.fitting(IMAGE, SPEC, steps=3, checkpoint=tmp_path / "no" / "fit.ckpt")
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        cn.fitting(IMAGE, SPEC, steps=3, checkpoint=tmp_path)


def test_a_write_that_fails_leaves_the_checkpoint_before(path, monkeypatch):
    fit(steps=8, checkpoint=path)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("coordnet._files.os.replace", full)
        with pytest.warns(RuntimeWarning, match="no checkpoint was written: .*No space left"):
            net = fit(steps=30, checkpoint=path)
    assert same_bytes(weights(net), weights(fit(steps=30)))  # and the fit itself is whole
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert same_bytes(weights(fit(steps=30, checkpoint=path)), weights(fit(steps=30)))


# --- fingerprints -----------------------------------------------------------------------
def _closing_over(value):
    return lambda x: (x, value)


class _Thing:
    def __init__(self, number):
        self.number = number

    def method(self, x):
        return x * self.number

    def other(self, x):
        return x + self.number


def described():
    """Return things whose fingerprints must all differ, and be the same in any process."""
    constant = {"b", "a", "c"}
    return [
        optax.adam(1e-3),
        optax.adam(2e-3),
        optax.adam(1e-3, b1=0.8),
        optax.sgd(1e-3),
        optax.lbfgs(),
        optax.adam(optax.cosine_decay_schedule(1e-3, 100)),
        optax.adam(optax.cosine_decay_schedule(1e-3, 200)),
        optax.chain(optax.clip(1.0), optax.adam(1e-3)),
        optax.chain(optax.clip(2.0), optax.adam(1e-3)),
        cn.adam(1e-3),
        cn.adam(1e-3, average=8.0),
        cn.rprop(),
        cn.rprop(0.02),
        _closing_over(1),
        _closing_over(1.0),
        _closing_over("1"),
        _closing_over(None),
        _closing_over(_Thing),
        _closing_over(random.Random),
        _closing_over(math_module()),
        _closing_over(jnp),
        _closing_over(jax.random.key(1)),
        _closing_over(jax.random.key(2)),
        _Thing(1).method,
        _Thing(2).method,
        _Thing(1).other,
        partial(max, 3),
        partial(max, 4),
        partial(min, 3),
        lambda x, y=1: x,
        lambda x, y=2: x,
        lambda x: x in {"b", "a", "c"},
        lambda x: x in {"b", "a", "d"},
        constant,
        np.arange(3),
        np.arange(3.0),
        np.arange(3)[:, None],
        jnp.square,
        jnp.sin,
        np.sin,
        (1, (2, 3)),
        ((1, 2), 3),
        {"a": 1},
        {"a": 2},
        True,
        1,
    ]


def math_module():
    import math

    return math


def test_a_fingerprint_tells_what_differs():
    prints = [fingerprint(value) for value in described()]
    again = [fingerprint(value) for value in described()]
    assert prints == again
    same = [(i, j) for i in range(len(prints)) for j in range(i) if prints[i] == prints[j]]
    assert not same


def test_a_fingerprint_is_the_same_in_every_process():
    code = (
        "from test_checkpoint import described, fingerprint;"
        "from coordnet._plan import make_plan; from small_fits import Mine, picture;"
        "plan, _ = make_plan(picture(), Mine());"
        "print([fingerprint(v) for v in described()], plan.belongs())"
    )
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda seed: python(code, PYTHONHASHSEED=seed), ("1", "2")))
    assert runs[0].returncode == 0, runs[0].stderr[-2000:]
    assert runs[0].stdout == runs[1].stdout


def test_a_module_with_a_function_in_it_is_the_same_in_every_process():
    mine = Mine()
    setattr(mine, "activation", lambda x: x)  # noqa: B010, the class knows none; its text says where it lies in memory
    with as_users_run_it():
        plan, _ = _plan.make_plan(IMAGE, mine)
    text = str(nnx.split(mine)[0])
    assert " at 0x" in text  # else this test has nothing to hold
    setattr(mine, "activation", lambda x: x)  # noqa: B010, as above
    assert _plan.make_plan(IMAGE, mine)[0].belongs() == plan.belongs()
